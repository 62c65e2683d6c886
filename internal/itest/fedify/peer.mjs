// A fediverse server for tests, built on Fedify. It reads commands as lines of JSON from its standard input and writes
// events and answers as lines of JSON to its standard output; ../fedify.go is the other side. It ends with its input.
//
// usage: node peer.mjs '{"address":"127.0.0.6:8443","cert":"cert.pem","key":"key.pem","users":["alice"]}'
//
// It runs without a queue: what it sends has been answered when the command is, and what it takes in has been verified and
// told as event before its answer goes out.
import { createServer } from "node:https";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { AsyncLocalStorage } from "node:async_hooks";
import { Temporal } from "@js-temporal/polyfill";
import { createFederation, generateCryptoKeyPair, MemoryKvStore } from "@fedify/fedify";
import {
  Accept, Activity, Announce, Application, Article, Block, Collection, Create, Delete, Document, EmojiReact, Endpoints, Flag, Follow,
  Hashtag, Like, Mention, Move, Note, Person, PUBLIC_COLLECTION, Question, Reject, Tombstone, Undo, Update,
} from "@fedify/vocab";

const options = JSON.parse(process.argv[2]);
const base = new URL(`https://${options.address}/`);
const maxBody = 4 << 20;
const instance = "instance"; // identifier of the actor that signs for the server
const cavage = "draft-cavage-http-signatures-12";
const knobs = { first: options.first ?? "rfc9421", secure: options.secure ?? false };

// Everything that the server knows. Users are by name, objects and activities by address.
const users = new Map();
const objects = new Map(); // address -> {user, object, visibility, mentions}
const gone = new Set(); // addresses of what was deleted
const activities = new Map(); // address -> {user, activity, inboxes}
const received = new Map(); // address -> activity that came in
const current = new AsyncLocalStorage(); // the request that is being answered

let serial = 0;
const now = () => Temporal.Now.instant();
const emit = (event) => process.stdout.write(JSON.stringify(event) + "\n");
const address = (path) => new URL(path, base);
const same = (a, b) => a?.href === b?.href;

async function addUser(name, locked) {
  users.set(name, {
    name, locked, keys: [await generateCryptoKeyPair("RSASSA-PKCS1-v1_5"), await generateCryptoKeyPair("Ed25519")],
    followers: new Map(), following: new Map(), aliases: [], movedTo: null, displayName: name, summary: null,
  });
}

// federation makes the server. There is one for each kind of signature to try first, for Fedify fixes that when it is made.
function federation(first) {
  const f = createFederation({ kv: new MemoryKvStore(), allowPrivateAddress: true, firstKnock: first, circuitBreaker: false });
  f.setNodeInfoDispatcher("/nodeinfo/2.1", () => ({
    software: { name: "itest-peer", version: "1.0.0" }, protocols: ["activitypub"],
    usage: { users: { total: users.size }, localPosts: objects.size, localComments: 0 },
  }));
  f.setActorDispatcher("/users/{identifier}", actorOf)
    .setKeyPairsDispatcher((_ctx, name) => users.get(name)?.keys ?? [])
    .authorize(async (ctx, name) => name === instance || !knobs.secure || await signer(ctx) !== null);
  f.setInboxListeners("/users/{identifier}/inbox", "/inbox")
    .setSharedKeyDispatcher(() => ({ identifier: instance }))
    .onUnverifiedActivity((_ctx, _activity, reason) => { note(reason); })
    .onError((_ctx, error) => emit({ kind: "failed", error: String(error?.stack ?? error) }))
    .on(Activity, take);
  f.setOutboxDispatcher("/users/{identifier}/outbox", (_ctx, name) => ({
    items: [...activities.values()].filter((a) => a.user === name && a.public).map((a) => a.activity).reverse(),
  }));
  f.setFollowersDispatcher("/users/{identifier}/followers", (_ctx, name) => users.has(name) ? { items: [...users.get(name).followers.values()] } : null)
    .setCounter((_ctx, name) => users.get(name)?.followers.size ?? null);
  f.setFollowingDispatcher("/users/{identifier}/following", (_ctx, name) => users.has(name) ? { items: [...users.get(name).following.keys()].map((u) => new URL(u)) } : null)
    .setCounter((_ctx, name) => users.get(name)?.following.size ?? null);
  for (const [cls, path] of [[Note, "notes"], [Question, "questions"], [Article, "articles"]]) {
    f.setObjectDispatcher(cls, `/users/{identifier}/${path}/{id}`, (ctx) => objects.get(ctx.url.href)?.object ?? null)
      .authorize((ctx) => maySee(ctx, objects.get(ctx.url.href)));
  }
  return f;
}

const federations = { rfc9421: federation("rfc9421"), [cavage]: federation(cavage) };
const context = () => federations[knobs.first].createContext(base, undefined);

async function actorOf(ctx, name) {
  const u = users.get(name);
  if (!u) return null;
  const keys = await ctx.getActorKeyPairs(name);
  const cls = name === instance ? Application : Person;
  return new cls({
    id: ctx.getActorUri(name), preferredUsername: name, name: u.displayName, summary: u.summary, url: address(`/@${name}`),
    inbox: ctx.getInboxUri(name), outbox: ctx.getOutboxUri(name), followers: ctx.getFollowersUri(name), following: ctx.getFollowingUri(name),
    endpoints: new Endpoints({ sharedInbox: ctx.getInboxUri() }), publicKey: keys[0].cryptographicKey,
    assertionMethods: keys.map((k) => k.multikey), manuallyApprovesFollowers: u.locked, discoverable: true,
    aliases: u.aliases.map((a) => new URL(a)), successor: u.movedTo ? new URL(u.movedTo) : null,
  });
}

// signer is who signed the request that ctx answers, or null.
async function signer(ctx) {
  return await ctx.getSignedKeyOwner({ documentLoader: await ctx.getDocumentLoader({ identifier: instance }) });
}

async function maySee(ctx, entry) {
  if (!entry || !knobs.secure && ["public", "unlisted"].includes(entry.visibility)) return true;
  const who = (await signer(ctx))?.id?.href;
  if (!who || ["public", "unlisted"].includes(entry.visibility)) return Boolean(who);
  return entry.mentions.includes(who) || entry.visibility === "followers" && users.get(entry.user).followers.has(who);
}

// note keeps why the current request is refused.
function note(reason) {
  const request = current.getStore();
  if (request) request.reason = reason.type ?? String(reason);
}

// take is called for each activity whose signature is right.
async function take(ctx, activity) {
  const request = current.getStore();
  const raw = JSON.parse(request.body);
  received.set(activity.id?.href, activity);
  emit({ kind: "activity", type: raw.type, id: raw.id, actor: activity.actorId?.href, inbox: request.path, signature: request.signature, raw });
  const object = await activity.getObject({ ...ctx, suppressError: true }).catch(() => null);
  if (activity instanceof Follow) {
    const u = users.get(ctx.parseUri(activity.objectId)?.identifier);
    if (u && !u.locked) later(() => answerFollow(u, activity, Accept));
  } else if (activity instanceof Undo && object instanceof Follow) {
    users.get(ctx.parseUri(object.objectId)?.identifier)?.followers.delete(activity.actorId?.href);
  } else if (activity instanceof Accept || activity instanceof Reject) {
    const follow = activities.get(activity.objectId?.href)?.activity ?? object;
    const u = users.get(ctx.parseUri(follow?.actorId)?.identifier);
    if (u && follow.objectId && activity instanceof Accept) u.following.set(follow.objectId.href, follow);
    else if (u && follow.objectId) u.following.delete(follow.objectId.href);
  }
}

// later runs what must not keep a request waiting.
function later(work) {
  setImmediate(() => Promise.resolve().then(work).catch((e) => emit({ kind: "failed", error: String(e?.stack ?? e) })));
}

async function answerFollow(u, follow, cls) {
  const ctx = context();
  const actor = await follow.getActor(await trusted(ctx, u.name));
  if (cls === Accept) u.followers.set(actor.id.href, person(actor));
  else u.followers.delete(actor.id.href);
  return await send(u.name, [actor], new cls({ id: fresh(u.name, "activities"), actor: ctx.getActorUri(u.name), object: follow }));
}

// person is what Fedify needs of a receiver.
const person = (actor) => ({ id: actor.id, inboxId: actor.inboxId, endpoints: actor.endpoints });
const fresh = (user, what) => address(`/users/${user}/${what}/${++serial}`);
const trusted = async (ctx, user) => ({ documentLoader: await ctx.getDocumentLoader({ identifier: user }), contextLoader: ctx.contextLoader });

// send delivers an activity to actors and to the followers, once to each inbox, and keeps it for undo.
async function send(user, actors, activity, { followers = false, isPublic = false } = {}) {
  const ctx = context();
  const to = new Map(actors.map((a) => [a.id.href, person(a)]));
  if (followers) for (const [id, f] of users.get(user).followers) to.set(id, f);
  activities.set(activity.id.href, { user, activity, actors: [...to.values()], public: isPublic });
  await ctx.sendActivity({ identifier: user }, [...to.values()], activity, { preferSharedInbox: followers });
  return { id: activity.id.href, receivers: to.size };
}

// lookup finds an actor or object by handle or address, signed as a user.
async function lookup(user, what) {
  const ctx = context();
  const object = await ctx.lookupObject(what, await trusted(ctx, user));
  if (!object) throw new Error(`${what} was not found`);
  return object;
}

function audience(ctx, user, visibility, mentioned) {
  const followers = ctx.getFollowersUri(user);
  switch (visibility) {
    case "public": return { tos: [PUBLIC_COLLECTION], ccs: [followers, ...mentioned] };
    case "unlisted": return { tos: [followers], ccs: [PUBLIC_COLLECTION, ...mentioned] };
    case "followers": return { tos: [followers], ccs: mentioned };
    case "direct": return { tos: mentioned, ccs: [] };
    default: throw new Error(`no visibility ${visibility}`);
  }
}

const html = (s) => s.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

// mentionOf writes a mention as Mastodon does: a tag, and a link in the text.
async function mentionOf(user, what) {
  const actor = await lookup(user, what);
  const name = String(actor.preferredUsername);
  const page = (actor.url instanceof URL ? actor.url : actor.id).href;
  return {
    actor, tag: new Mention({ href: actor.id, name: `@${name}@${actor.id.host}` }),
    text: `<span class="h-card"><a href="${html(page)}" class="u-url mention">@<span>${html(name)}</span></a></span> `,
  };
}

async function post(c) {
  const ctx = context();
  const mentions = await Promise.all((c.mentions ?? []).map((m) => mentionOf(c.user, m)));
  const mentioned = mentions.map((m) => m.actor.id);
  const target = c.reply ? await lookup(c.user, c.reply) : null;
  const content = c.html ?? `<p>${mentions.map((m) => m.text).join("")}${html(c.text ?? "")}${(c.hashtags ?? [])
    .map((h) => ` <a href="${address(`/tags/${h}`)}" class="mention hashtag" rel="tag">#<span>${html(h)}</span></a>`).join("")}</p>`;
  const answers = (c.poll ?? []).map((name) => new Note({ name, replies: new Collection({ totalItems: 0 }) }));
  const cls = c.poll ? Question : c.title ? Article : Note;
  const id = fresh(c.user, c.poll ? "questions" : c.title ? "articles" : "notes");
  const object = new cls({
    id, url: id, attribution: ctx.getActorUri(c.user), ...audience(ctx, c.user, c.visibility ?? "public", mentioned), content,
    name: c.title ?? null, summary: c.warning ?? null, sensitive: c.sensitive ?? Boolean(c.warning), published: now(),
    replyTarget: c.reply ? new URL(c.reply) : null,
    tags: [...mentions.map((m) => m.tag), ...(c.hashtags ?? []).map((h) => new Hashtag({ href: address(`/tags/${h}`), name: `#${h}` }))],
    attachments: (c.attachments ?? []).map((a) => new Document({ url: new URL(a.url), mediaType: a.mediaType, name: a.alt ?? null })),
    ...(c.poll ? { [c.multiple ? "inclusiveOptions" : "exclusiveOptions"]: answers, endTime: now().add({ hours: 24 }), voters: 0 } : {}),
  });
  const entry = { user: c.user, object, visibility: c.visibility ?? "public", mentions: mentioned.map((m) => m.href), actors: mentions.map((m) => m.actor) };
  const author = await target?.getAttribution(await trusted(ctx, c.user)).catch(() => null);
  if (author && entry.visibility !== "direct" && entry.visibility !== "followers") entry.actors.push(author);
  objects.set(id.href, entry);
  const sent = await send(c.user, entry.actors, new Create({
    id: new URL(`${id.href}/activity`), actor: ctx.getActorUri(c.user), object, tos: object.toIds, ccs: object.ccIds, published: object.published,
  }), { followers: entry.visibility !== "direct", isPublic: entry.visibility === "public" });
  return { ...sent, object: id.href, content };
}

// own is a post of the user.
function own(c) {
  const entry = objects.get(c.object);
  if (!entry || entry.user !== c.user) throw new Error(`${c.object} is no post of ${c.user}`);
  return entry;
}

async function edit(c) {
  const ctx = context(), entry = own(c);
  entry.object = entry.object.clone({ content: c.html ?? `<p>${html(c.text)}</p>`, updated: now() });
  return await send(c.user, entry.actors, new Update({
    id: fresh(c.user, "activities"), actor: ctx.getActorUri(c.user), object: entry.object, tos: entry.object.toIds, ccs: entry.object.ccIds,
  }), { followers: entry.visibility !== "direct" });
}

async function remove(c) {
  const ctx = context(), entry = own(c);
  objects.delete(c.object);
  gone.add(c.object);
  return await send(c.user, entry.actors, new Delete({
    id: fresh(c.user, "activities"), actor: ctx.getActorUri(c.user), object: new Tombstone({ id: new URL(c.object), deleted: now() }),
    tos: entry.object.toIds, ccs: entry.object.ccIds,
  }), { followers: entry.visibility !== "direct" });
}

// about sends an activity about somebody's post to its author.
async function about(cls, c, more = {}) {
  const ctx = context(), loaders = await trusted(ctx, c.user);
  const target = await lookup(c.user, c.object);
  const author = await target.getAttribution(loaders);
  const isPublic = cls === Announce;
  return await send(c.user, [author], new cls({
    id: fresh(c.user, "activities"), actor: ctx.getActorUri(c.user), object: target.id, tos: isPublic ? [PUBLIC_COLLECTION] : [author.id],
    ccs: isPublic ? [ctx.getFollowersUri(c.user), author.id] : [], published: now(), ...more,
  }), { followers: isPublic, isPublic });
}

// toward sends an activity whose object is an actor to that actor.
async function toward(cls, c, more = {}) {
  const ctx = context(), actor = await lookup(c.user, c.object);
  return { ...await send(c.user, [actor], new cls({ id: fresh(c.user, "activities"), actor: ctx.getActorUri(c.user), object: actor.id, to: actor.id, ...more })), actor: actor.id.href };
}

async function undo(c) {
  const entry = activities.get(c.id), ctx = context();
  if (!entry || entry.user !== c.user) throw new Error(`${c.id} is no activity of ${c.user}`);
  if (entry.activity instanceof Follow) users.get(c.user).following.delete(entry.activity.objectId.href);
  return await send(c.user, entry.actors, new Undo({
    id: fresh(c.user, "activities"), actor: ctx.getActorUri(c.user), object: entry.activity, tos: entry.activity.toIds, ccs: entry.activity.ccIds,
  }));
}

async function move(c) {
  const ctx = context(), u = users.get(c.user), target = await lookup(c.user, c.object);
  u.movedTo = target.id.href;
  return await send(c.user, [], new Move({
    id: fresh(c.user, "activities"), actor: ctx.getActorUri(c.user), object: ctx.getActorUri(c.user), target: target.id, to: ctx.getFollowersUri(c.user),
  }), { followers: true });
}

async function profile(c) {
  const ctx = context(), u = users.get(c.user);
  u.displayName = c.name ?? u.displayName;
  u.summary = c.summary ?? u.summary;
  u.aliases = c.aliases ?? u.aliases;
  u.locked = c.locked ?? u.locked;
  const actor = await actorOf(ctx, c.user);
  return await send(c.user, [], new Update({ id: fresh(c.user, "activities"), actor: actor.id, object: actor, to: PUBLIC_COLLECTION, cc: actor.followersId }), { followers: true });
}

async function vote(c) {
  const ctx = context(), question = await lookup(c.user, c.object), author = await question.getAttribution(await trusted(ctx, c.user));
  const id = fresh(c.user, "notes");
  const object = new Note({ id, name: c.choice, attribution: ctx.getActorUri(c.user), to: author.id, replyTarget: question.id });
  return await send(c.user, [author], new Create({ id: new URL(`${id.href}/activity`), actor: ctx.getActorUri(c.user), object, to: author.id }));
}

// deliver sends an activity as it is written, signed as the user: for what no well-meaning server sends.
async function deliver(c) {
  const ctx = context();
  const actors = await Promise.all(c.to.map((a) => lookup(c.user, a)));
  return await send(c.user, actors, await Activity.fromJsonLd(c.activity, await trusted(ctx, c.user)));
}

// get fetches a document, signed as the user, or unsigned when there is none.
async function get(c) {
  if (c.user) return (await (await trusted(context(), c.user)).documentLoader(c.url)).document;
  const answer = await fetch(c.url, { headers: { accept: c.accept ?? "application/activity+json" }, redirect: "manual" });
  return { status: answer.status, type: answer.headers.get("content-type"), headers: Object.fromEntries(answer.headers), body: await answer.text() };
}

const commands = {
  webfinger: async (c) => await context().lookupWebFinger(c.resource, { allowPrivateAddress: true }),
  nodeinfo: async (c) => await context().lookupNodeInfo(c.url, { parse: "none" }),
  lookup: async (c) => await (await lookup(c.user, c.object)).toJsonLd({ contextLoader: context().contextLoader }),
  fetch: get,
  post, edit, delete: remove, undo, move, profile, vote, deliver,
  follow: (c) => toward(Follow, c),
  block: (c) => toward(Block, c),
  flag: async (c) => {
    const actor = await lookup(c.user, c.actor);
    const reported = [actor.id, ...(c.objects ?? []).map((o) => new URL(o))];
    return await send(c.user, [actor], new Flag({ id: fresh(c.user, "activities"), actor: context().getActorUri(c.user), objects: reported, content: c.text ?? "" }));
  },
  unfollow: async (c) => {
    const follow = [...activities.values()].findLast((a) => a.user === c.user && a.activity instanceof Follow && a.activity.objectId.href === c.object);
    if (!follow) throw new Error(`${c.user} never followed ${c.object}`);
    return await undo({ user: c.user, id: follow.activity.id.href });
  },
  accept: (c) => answerFollow(users.get(c.user), wanted(c), Accept),
  reject: (c) => answerFollow(users.get(c.user), wanted(c), Reject),
  like: (c) => about(Like, c),
  react: (c) => about(EmojiReact, c, { content: c.emoji }),
  announce: (c) => about(Announce, c),
  rotate: async (c) => { users.get(c.user).keys = [await generateCryptoKeyPair("RSASSA-PKCS1-v1_5"), await generateCryptoKeyPair("Ed25519")]; return {}; },
  user: async (c) => { await addUser(c.user, c.locked ?? false); return {}; },
  state: (c) => { const u = users.get(c.user); return { followers: [...u.followers.keys()], following: [...u.following.keys()] }; },
  set: (c) => { Object.assign(knobs, c.knobs); return knobs; },
};

function wanted(c) {
  const follow = received.get(c.id);
  if (!(follow instanceof Follow)) throw new Error(`no Follow ${c.id} came in`);
  return follow;
}

// kindOfSignature is the kind of signature that a request has: rfc9421, cavage or none.
const kindOfSignature = (h) => h["signature-input"] ? "rfc9421" : h.signature ? "cavage" : "none";

async function readBody(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > maxBody) throw new Error(`the body is longer than ${maxBody} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

async function serve(request) {
  const url = new URL(request.url, base);
  if (gone.has(url.href)) return new Response("gone\n", { status: 410 });
  const entry = activities.get(url.href);
  if (request.method === "GET" && entry?.public) {
    return Response.json(await entry.activity.toJsonLd({ contextLoader: context().contextLoader }), { headers: { "content-type": "application/activity+json" } });
  }
  const body = current.getStore().body;
  const web = new Request(url, { method: request.method, headers: request.headers, ...(body.length ? { body } : {}) });
  return await federations.rfc9421.fetch(web, { contextData: undefined });
}

async function handle(request, response) {
  const facts = { path: request.url, signature: kindOfSignature(request.headers), body: await readBody(request), reason: "" };
  await current.run(facts, async () => {
    const answer = await serve(request);
    const text = Buffer.from(await answer.arrayBuffer());
    const seen = { method: request.method, path: request.url, signature: facts.signature, status: answer.status };
    if (request.method === "POST" && answer.status >= 400) {
      emit({ kind: "refused", ...seen, reason: facts.reason, error: String(text), headers: request.headers, body: String(facts.body) });
    } else if (request.method === "GET") emit({ kind: "get", ...seen });
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    response.end(text);
  });
}

async function run(line) {
  const c = JSON.parse(line);
  try {
    if (!commands[c.op]) throw new Error(`no command ${c.op}`);
    emit({ kind: "answer", call: c.call, result: await commands[c.op](c) ?? null });
  } catch (e) {
    emit({ kind: "answer", call: c.call, error: `${e?.message ?? e}${e?.responseBody ? `: ${e.responseBody}` : ""}`, status: e?.statusCode ?? 0 });
    console.error(c.op, e);
  }
}

await addUser(instance, false);
for (const name of options.users) await addUser(name, (options.locked ?? []).includes(name));
const server = createServer({ cert: readFileSync(options.cert), key: readFileSync(options.key) }, (request, response) => {
  handle(request, response).catch((e) => {
    emit({ kind: "failed", error: String(e?.stack ?? e) });
    response.writeHead(500).end();
  });
});
server.listen(Number(base.port), base.hostname, () => emit({ kind: "ready" }));
createInterface({ input: process.stdin }).on("line", run).on("close", () => process.exit(0));
