"""Commands with an answer: questions and orders by iq."""

import base64
import hashlib
import time

from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET, tostring

import facts
from messages import add, parse

PUBSUB = "http://jabber.org/protocol/pubsub"
RSM = "http://jabber.org/protocol/rsm"
DATA = "jabber:x:data"
VCARD4 = "urn:ietf:params:xml:ns:vcard-4.0"
COMMANDS = "http://jabber.org/protocol/commands"
TIMEOUT = 25  # seconds; the Go side waits a little longer


async def ask(client, to, kind, payload):
    """Sends a request and returns the answer's element. A refusal is an IqError."""
    iq = client.make_iq(itype=kind, ito=to or None)
    iq.xml.append(payload)
    answer = await iq.send(timeout=TIMEOUT)
    return answer.xml


def element(namespace, name, content=None, /, **attributes):
    e = ET.Element("{%s}%s" % (namespace, name), {k.rstrip("_"): str(v) for k, v in attributes.items() if v not in (None, "")})
    e.text = content
    return e


def submit(fields, form_type=None, kind="submit"):
    x = element(DATA, "x", type=kind)
    if form_type:
        add(add(x, DATA, "field", var="FORM_TYPE", type="hidden"), DATA, "value", form_type)
    for name, values in (fields or {}).items():
        f = add(x, DATA, "field", var=name)
        for value in values if isinstance(values, list) else [values]:
            add(f, DATA, "value", value)
    return x


async def iq(client, c):
    answer = await ask(client, c.get("to"), c["type"], parse(c["payload"])[0])
    return {"xml": facts.source(answer)}


async def disco_info(client, c):
    ns = "http://jabber.org/protocol/disco#info"
    answer = await ask(client, c["to"], "get", element(ns, "query", node=c.get("node")))
    query = answer.find("{%s}query" % ns)
    return {
        "identities": [{k: i.get(k, "") for k in ("category", "type", "name")} for i in query.findall("{%s}identity" % ns)],
        "features": [f.get("var", "") for f in query.findall("{%s}feature" % ns)],
        "forms": [facts.form(x) for x in query.findall("{%s}x" % DATA)],
    }


async def disco_items(client, c):
    ns = "http://jabber.org/protocol/disco#items"
    query = element(ns, "query", node=c.get("node"))
    rsm(query, c)
    answer = await ask(client, c["to"], "get", query)
    return [{k: i.get(k, "") for k in ("jid", "node", "name")} for i in answer.iter("{%s}item" % ns)]


async def version(client, c):
    ns = "jabber:iq:version"
    answer = await ask(client, c["to"], "get", element(ns, "query"))
    query = answer.find("{%s}query" % ns)
    return {name: facts.text(query, "{%s}%s" % (ns, name)) for name in ("name", "version", "os")}


async def ping(client, c):
    begin = time.monotonic()
    await ask(client, c["to"], "get", element("urn:xmpp:ping", "ping"))
    return time.monotonic() - begin


async def command(client, c):
    """One step of an ad-hoc command. XEP-0050."""
    e = element(COMMANDS, "command", node=c["node"], action=c.get("action"), sessionid=c.get("session"))
    if c.get("fields") is not None:
        e.append(submit(c["fields"]))
    answer = await ask(client, c["to"], "set", e)
    e = answer.find("{%s}command" % COMMANDS)
    actions = e.find("{%s}actions" % COMMANDS)
    return {
        "session": e.get("sessionid", ""), "status": e.get("status", ""), "node": e.get("node", ""),
        "actions": [] if actions is None else [a.tag.split("}")[1] for a in actions],
        "notes": [{"type": n.get("type", ""), "text": n.text or ""} for n in e.findall("{%s}note" % COMMANDS)],
        "form": facts.form(e.find("{%s}x" % DATA)),
    }


async def fields_get(client, c):
    """The fields that jabber:iq:register, jabber:iq:search or jabber:iq:gateway asks for. XEP-0077, 0055, 0100."""
    ns = c["namespace"]
    answer = await ask(client, c["to"], "get", element(ns, "query"))
    query = answer.find("{%s}query" % ns)
    own = "{%s}" % ns
    return {
        "fields": {e.tag[len(own):]: e.text or "" for e in query if e.tag.startswith(own)},
        "form": facts.form(query.find("{%s}x" % DATA)),
    }


async def fields_set(client, c):
    ns = c["namespace"]
    query = element(ns, "query")
    if c.get("form"):
        query.append(submit(c["fields"], ns))
    else:
        for name, value in (c.get("fields") or {}).items():
            add(query, ns, name, value or None)
    answer = await ask(client, c["to"], "set", query)
    query = answer.find("{%s}query" % ns)
    if query is None:
        return {"fields": {}, "rows": []}
    own = "{%s}" % ns
    x = facts.form(query.find("{%s}x" % DATA))
    rows = [dict({e.tag[len(own):]: e.text or "" for e in item}, jid=item.get("jid", "")) for item in query.findall(own + "item")]
    return {
        "fields": {e.tag[len(own):]: e.text or "" for e in query if e.tag.startswith(own) and len(e) == 0},
        "rows": rows or (x["rows"] if x else []),
    }


async def roster(client, c):
    answer = await ask(client, None, "get", element("jabber:iq:roster", "query"))
    own = "{jabber:iq:roster}"
    return [{
        "jid": i.get("jid", ""), "name": i.get("name", ""), "subscription": i.get("subscription", ""), "ask": i.get("ask", ""),
        "groups": [g.text or "" for g in i.findall(own + "group")],
    } for i in answer.iter(own + "item")]


async def roster_set(client, c):
    query = element("jabber:iq:roster", "query")
    item = add(query, "jabber:iq:roster", "item", jid=c["jid"], name=c.get("name"), subscription=c.get("subscription"))
    for group in c.get("groups") or ():
        add(item, "jabber:iq:roster", "group", group)
    await ask(client, None, "set", query)


async def carbons(client, c):
    await ask(client, None, "set", element("urn:xmpp:carbons:2", "enable" if c["on"] else "disable"))


async def vcard(client, c):
    answer = await ask(client, c["to"], "get", element("vcard-temp", "vCard"))
    e = answer.find("{vcard-temp}vCard")
    own = "{vcard-temp}"
    if e is None:
        return {}
    photo = base64.b64decode(facts.text(e, own + "PHOTO/" + own + "BINVAL"))
    return {
        "name": facts.text(e, own + "FN"), "nickname": facts.text(e, own + "NICKNAME"), "desc": facts.text(e, own + "DESC"),
        "url": facts.text(e, own + "URL"), "jabber_id": facts.text(e, own + "JABBERID"),
        "photo_type": facts.text(e, own + "PHOTO/" + own + "TYPE"), "photo": base64.b64encode(photo).decode(),
        "photo_sha1": hashlib.sha1(photo).hexdigest() if photo else "", "xml": tostring(e),
    }


async def vcard_set(client, c):
    e = element("vcard-temp", "vCard")
    for name, key in (("FN", "name"), ("NICKNAME", "nickname"), ("DESC", "desc"), ("URL", "url")):
        if c.get(key):
            add(e, "vcard-temp", name, c[key])
    if c.get("photo"):
        photo = add(e, "vcard-temp", "PHOTO")
        add(photo, "vcard-temp", "TYPE", c["photo_type"])
        add(photo, "vcard-temp", "BINVAL", c["photo"])
    await ask(client, c.get("to"), "set", e)


async def vcard4(client, c):
    """Directly (XEP-0292 §5) or from the node urn:xmpp:vcard4."""
    if c.get("node"):
        answer = await ask(client, c["to"], "get", items_query("urn:xmpp:vcard4", max_=1))
    else:
        answer = await ask(client, c["to"], "get", element(VCARD4, "vcard"))
    own = "{%s}" % VCARD4
    e = next(answer.iter(own + "vcard"), None)
    if e is None:
        return {}
    return {
        "name": facts.text(e, own + "fn/" + own + "text"), "nickname": facts.text(e, own + "nickname/" + own + "text"),
        "desc": facts.text(e, own + "note/" + own + "text"), "url": facts.text(e, own + "url/" + own + "uri"),
        "jabber_id": facts.text(e, own + "impp/" + own + "uri"), "xml": tostring(e),
    }


async def vcard4_set(client, c):
    e = element(VCARD4, "vcard")
    for name, key, kind in (("fn", "name", "text"), ("nickname", "nickname", "text"), ("note", "desc", "text"), ("url", "url", "uri")):
        if c.get(key):
            add(add(e, VCARD4, name), VCARD4, kind, c[key])
    await publish_own(client, "urn:xmpp:vcard4", "current", e, "open")


async def avatar_set(client, c):
    """XEP-0084: the picture, then what describes it."""
    picture = base64.b64decode(c["data"])
    digest = hashlib.sha1(picture).hexdigest()
    await publish_own(client, "urn:xmpp:avatar:data", digest, element("urn:xmpp:avatar:data", "data", c["data"]), "open")
    metadata = element("urn:xmpp:avatar:metadata", "metadata")
    add(metadata, "urn:xmpp:avatar:metadata", "info", id=digest, type=c["type"], bytes=len(picture), width=c.get("width") or 1, height=c.get("height") or 1)
    await publish_own(client, "urn:xmpp:avatar:metadata", digest, metadata, "open")
    return digest


async def avatar_get(client, c):
    answer = await ask(client, c["to"], "get", items_query("urn:xmpp:avatar:metadata", max_=1))
    info = next(answer.iter("{urn:xmpp:avatar:metadata}info"), None)
    if info is None:
        return {}
    answer = await ask(client, c["to"], "get", items_query("urn:xmpp:avatar:data", ids=[info.get("id")]))
    data = next(answer.iter("{urn:xmpp:avatar:data}data"), None)
    picture = b"" if data is None else base64.b64decode(data.text or "")
    return {
        "id": info.get("id", ""), "type": info.get("type", ""), "bytes": facts.number(info.get("bytes")),
        "data": base64.b64encode(picture).decode(), "sha1": hashlib.sha1(picture).hexdigest(),
    }


async def nick_set(client, c):
    payload = element("http://jabber.org/protocol/nick", "nick", c["nickname"])
    await publish_own(client, "http://jabber.org/protocol/nick", "current", payload, "open")


def rsm(parent, c):
    """XEP-0059 from the keys max, before, after and index."""
    if not any(key in c for key in ("max", "before", "after", "index")):
        return
    s = add(parent, RSM, "set")
    for key in ("max", "before", "after", "index"):
        if c.get(key) is not None:
            add(s, RSM, key, c[key] if c[key] != "" else None)


def rsm_facts(xml):
    s = xml.find("{%s}set" % RSM)
    if s is None:
        return None
    own = "{%s}" % RSM
    return {
        "first": facts.text(s, own + "first"), "last": facts.text(s, own + "last"),
        "count": facts.number(facts.text(s, own + "count")), "index": facts.number(facts.attribute(s, own + "first", "index")),
    }


def items_query(node, ids=(), max_=None):
    query = element(PUBSUB, "pubsub")
    items = add(query, PUBSUB, "items", node=node, max_items=max_)
    for item in ids:
        add(items, PUBSUB, "item", id=item)
    return query


async def publish_own(client, node, item, payload, access):
    """Publishes on a node of the own account, and opens a node that exists with other access, as people's clients do."""
    options = {"pubsub#access_model": access}
    try:
        return await publish_payload(client, None, node, item, payload, options)
    except IqError as e:
        if e.condition != "conflict":
            raise
    await node_configure(client, {"node": node, "config": options})
    return await publish_payload(client, None, node, item, payload, options)


async def publish_payload(client, to, node, item, payload, options):
    query = element(PUBSUB, "pubsub")
    add(add(query, PUBSUB, "publish", node=node), PUBSUB, "item", id=item).append(payload)
    if options:
        add(query, PUBSUB, "publish-options").append(submit(options, PUBSUB + "#publish-options"))
    answer = await ask(client, to, "set", query)
    return next((i.get("id", "") for i in answer.iter("{%s}item" % PUBSUB)), item)


async def publish(client, c):
    return await publish_payload(client, c.get("to"), c["node"], c.get("item"), parse(c["payload"])[0], c.get("options"))


async def retract(client, c):
    query = element(PUBSUB, "pubsub")
    add(add(query, PUBSUB, "retract", node=c["node"], notify="true"), PUBSUB, "item", id=c["item"])
    await ask(client, c.get("to"), "set", query)


async def items(client, c):
    query = items_query(c["node"], c.get("ids") or (), c.get("max_items"))
    rsm(query, c)
    answer = await ask(client, c["to"], "get", query)
    e = answer.find("{%s}pubsub" % PUBSUB)
    return {"items": [facts.pubsub_item(i) for i in e.iter("{%s}item" % PUBSUB)], "page": rsm_facts(e)}


async def subscribe(client, c):
    query = element(PUBSUB, "pubsub")
    add(query, PUBSUB, c["action"], node=c["node"], jid=c.get("jid") or client.boundjid.bare)
    answer = await ask(client, c["to"], "set", query)
    e = next(answer.iter("{%s}subscription" % PUBSUB), None)
    return "" if e is None else e.get("subscription", "")


async def node_create(client, c):
    query = element(PUBSUB, "pubsub")
    add(query, PUBSUB, "create", node=c["node"])
    if c.get("config"):
        add(query, PUBSUB, "configure").append(submit(c["config"], PUBSUB + "#node_config"))
    await ask(client, c.get("to"), "set", query)


async def node_delete(client, c):
    query = element(PUBSUB + "#owner", "pubsub")
    add(query, PUBSUB + "#owner", "delete", node=c["node"])
    await ask(client, c.get("to"), "set", query)


async def node_configure(client, c):
    query = element(PUBSUB + "#owner", "pubsub")
    add(query, PUBSUB + "#owner", "configure", node=c["node"]).append(submit(c["config"], PUBSUB + "#node_config"))
    await ask(client, c.get("to"), "set", query)


async def node_affiliations(client, c):
    query = element(PUBSUB + "#owner", "pubsub")
    list_ = add(query, PUBSUB + "#owner", "affiliations", node=c["node"])
    for jid, affiliation in c["affiliations"].items():
        add(list_, PUBSUB + "#owner", "affiliation", jid=jid, affiliation=affiliation)
    await ask(client, c.get("to"), "set", query)


async def archive(client, c):
    """One page of an archive. XEP-0313."""
    mam = "urn:xmpp:mam:2"
    query_id = "itest-archive-%d" % c["call"]
    query = element(mam, "query", queryid=query_id, node=c.get("node"))
    fields = {key: c[key] for key in ("with", "start", "end") if c.get(key)}
    if fields:
        query.append(submit(fields, mam))
    rsm(query, c)
    client.archives[query_id] = []
    try:
        answer = await ask(client, c.get("to"), "set", query)
    finally:
        results = client.archives.pop(query_id)
    fin = answer.find("{%s}fin" % mam)
    return {"messages": results, "complete": fin.get("complete", "") in ("true", "1"), "page": rsm_facts(fin)}


async def affiliations(client, c):
    ns = "http://jabber.org/protocol/muc#admin"
    query = element(ns, "query")
    add(query, ns, "item", affiliation=c["affiliation"])
    answer = await ask(client, c["room"], "get", query)
    return [{k: i.get(k, "") for k in ("jid", "nick", "role", "affiliation")} for i in answer.iter("{%s}item" % ns)]


async def occupant_set(client, c):
    """Affiliation or role of somebody, with a reason. XEP-0045 §8 to §10."""
    ns = "http://jabber.org/protocol/muc#admin"
    query = element(ns, "query")
    item = add(query, ns, "item", jid=c.get("jid"), nick=c.get("nick"), affiliation=c.get("affiliation"), role=c.get("role"))
    if c.get("reason"):
        add(item, ns, "reason", c["reason"])
    await ask(client, c["room"], "set", query)


async def moderate(client, c):
    """XEP-0425, in the version that the room has."""
    if c["version"] == "1":
        ns = "urn:xmpp:message-moderate:1"
        outer = e = element(ns, "moderate", id=c["id"])
        add(e, "urn:xmpp:message-retract:1", "retract")
    else:
        ns = "urn:xmpp:message-moderate:0"
        outer = element("urn:xmpp:fasten:0", "apply-to", id=c["id"])
        e = add(outer, ns, "moderate")
        add(e, "urn:xmpp:message-retract:0", "retract")
    if c.get("reason"):
        add(e, ns, "reason", c["reason"])
    await ask(client, c["room"], "set", outer)


async def room_config(client, c):
    ns = "http://jabber.org/protocol/muc#owner"
    answer = await ask(client, c["room"], "get", element(ns, "query"))
    return facts.form(answer.find("{%s}query/{%s}x" % (ns, DATA)))


async def room_destroy(client, c):
    ns = "http://jabber.org/protocol/muc#owner"
    query = element(ns, "query")
    e = add(query, ns, "destroy", jid=c.get("jid"))
    if c.get("reason"):
        add(e, ns, "reason", c["reason"])
    await ask(client, c["room"], "set", query)


async def block(client, c):
    """XEP-0191, with a report (XEP-0377) if there is one."""
    ns = "urn:xmpp:blocking"
    e = element(ns, c["action"])
    for jid in c.get("jids") or ():
        item = add(e, ns, "item", jid=jid)
        if c.get("report"):
            report = add(item, "urn:xmpp:reporting:1", "report", reason=c["report"])
            if c.get("text"):
                add(report, "urn:xmpp:reporting:1", "text", c["text"])
            for stanza in c.get("stanzas") or ():
                add(report, "urn:xmpp:sid:0", "stanza-id", by=stanza["by"], id=stanza["id"])
    await ask(client, None, "set", e)


async def blocked(client, c):
    answer = await ask(client, None, "get", element("urn:xmpp:blocking", "blocklist"))
    return [i.get("jid", "") for i in answer.iter("{urn:xmpp:blocking}item")]


async def slot(client, c):
    """XEP-0363: where to put a file, and where others get it."""
    ns = "urn:xmpp:http:upload:0"
    request = element(ns, "request", **{"filename": c["name"], "size": c["size"], "content-type": c.get("type")})
    answer = await ask(client, c["to"], "get", request)
    e = answer.find("{%s}slot" % ns)
    own = "{%s}" % ns
    return {
        "put": facts.attribute(e, own + "put", "url"), "get": facts.attribute(e, own + "get", "url"),
        "headers": {h.get("name", ""): h.text or "" for h in e.iter(own + "header")},
    }


OPS = {
    f.__name__: f for f in (
        iq, disco_info, disco_items, version, ping, command, fields_get, fields_set, roster, roster_set, carbons, vcard, vcard_set,
        vcard4, vcard4_set, avatar_set, avatar_get, nick_set, publish, retract, items, subscribe, node_create, node_delete,
        node_configure, node_affiliations, archive, affiliations, occupant_set, moderate, room_config, room_destroy, block,
        blocked, slot,
    )
}
