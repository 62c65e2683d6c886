"""Commands that send and do not wait: they are carried out in the order in which they come."""

from slixmpp.xmlstream import ET

MUC = "http://jabber.org/protocol/muc"
XHTML = "http://www.w3.org/1999/xhtml"


def add(parent, namespace, name, content=None, /, **attributes):
    child = ET.SubElement(parent, "{%s}%s" % (namespace, name), {k.rstrip("_"): str(v) for k, v in attributes.items() if v not in (None, "")})
    if content is not None:
        child.text = str(content)
    return child


def parse(xml, wrapper="{jabber:client}wrapper"):
    """The elements of a piece of XML in the namespace jabber:client."""
    return list(ET.fromstring("<wrapper xmlns='jabber:client'>" + xml + "</wrapper>"))


def message(client, c):
    m = client.make_message(mto=c["to"], mtype=c.get("type") or "chat")
    m["id"] = c["id"]
    if c.get("lang"):
        m["lang"] = c["lang"]
    body = c.get("body", "")
    xml = m.xml
    if c.get("reply_to_id"):
        quote = "".join("> " + line + "\n" for line in c["quote"].split("\n")) if c.get("quote") else ""
        add(xml, "urn:xmpp:reply:0", "reply", id=c["reply_to_id"], to=c.get("reply_to"))
        if quote:
            fallback = add(xml, "urn:xmpp:fallback:0", "fallback", for_="urn:xmpp:reply:0")
            add(fallback, "urn:xmpp:fallback:0", "body", start=0, end=len(quote))
        body = quote + body
    if body:
        m["body"] = body
    if c.get("thread"):
        m["thread"] = c["thread"]
    if c.get("origin_id"):
        add(xml, "urn:xmpp:sid:0", "origin-id", id=c["origin_id"])
    changes(xml, m, c)
    notices(xml, m, c)
    rich(xml, c)
    for element in parse(c.get("extra", "")):
        xml.append(element)
    m.send()


def changes(xml, m, c):
    """Corrections, retractions and reactions."""
    if c.get("replace"):
        m["replace"]["id"] = c["replace"]
    if c.get("retract"):
        add(xml, "urn:xmpp:message-retract:1", "retract", id=c["retract"])
        add(xml, "urn:xmpp:fallback:0", "fallback", for_="urn:xmpp:message-retract:1")
    if c.get("retract_old"):
        apply_to = add(xml, "urn:xmpp:fasten:0", "apply-to", id=c["retract_old"])
        add(apply_to, "urn:xmpp:message-retract:0", "retract")
    if c.get("react_to"):
        m["reactions"]["id"] = c["react_to"]
        m["reactions"].set_values(c.get("reactions") or [], all_chars=True)


def notices(xml, m, c):
    """Receipts, markers, chat states and hints."""
    if c.get("ask_receipt"):
        m["request_receipt"] = True
    if c.get("receipt"):
        m["receipt"] = c["receipt"]
    if c.get("markable"):
        add(xml, "urn:xmpp:chat-markers:0", "markable")
    if c.get("marker"):
        add(xml, "urn:xmpp:chat-markers:0", c["marker"], id=c["marker_id"])
    if c.get("state"):
        m["chat_state"] = c["state"]
    for hint in c.get("hints") or ():
        add(xml, "urn:xmpp:hints", hint)


def rich(xml, c):
    """Files, spoilers, markup, mentions and what looks encrypted."""
    if c.get("oob"):
        add(add(xml, "jabber:x:oob", "x"), "jabber:x:oob", "url", c["oob"])
    for f in c.get("files") or ():
        share(xml, f)
    if c.get("spoiler"):
        add(xml, "urn:xmpp:spoiler:0", "spoiler", c.get("spoiler_hint") or None)
    if c.get("xhtml"):
        html = add(xml, "http://jabber.org/protocol/xhtml-im", "html")
        html.append(ET.fromstring("<body xmlns='%s'>%s</body>" % (XHTML, c["xhtml"])))
    for r in c.get("references") or ():
        add(xml, "urn:xmpp:reference:0", "reference", type=r["type"], uri=r["uri"], begin=r["begin"], end=r["end"])
    if c.get("encryption"):
        namespace = c["encryption"]
        encrypted = add(xml, namespace, "encrypted")
        header = add(encrypted, namespace, "header", sid="27183")
        add(header, namespace, "key", "aXRlc3Q=", rid="31415")
        add(header, namespace, "iv", "bm9uY2U=")
        add(encrypted, namespace, "payload", "Y2lwaGVydGV4dA==")
        add(xml, "urn:xmpp:eme:0", "encryption", namespace=namespace, name="OMEMO")


def share(xml, f):
    """XEP-0447 with one URL for each source."""
    sharing = add(xml, "urn:xmpp:sfs:0", "file-sharing", disposition=f.get("disposition"))
    meta = add(sharing, "urn:xmpp:file:metadata:0", "file")
    for name, key in (("media-type", "media_type"), ("name", "name"), ("size", "size"), ("width", "width"), ("height", "height"), ("desc", "desc")):
        if f.get(key):
            add(meta, "urn:xmpp:file:metadata:0", name, f[key])
    for algorithm, digest in (f.get("hashes") or {}).items():
        add(meta, "urn:xmpp:hashes:2", "hash", digest, algo=algorithm)
    sources = add(sharing, "urn:xmpp:sfs:0", "sources")
    for url in f.get("urls") or ():
        add(sources, "http://jabber.org/protocol/url-data", "url-data", target=url)


def presence(client, c):
    p = client.make_presence(pto=c.get("to") or None, ptype=c.get("type") or None, pshow=c.get("show") or None, pstatus=c.get("status") or None)
    if c.get("nickname"):
        add(p.xml, "http://jabber.org/protocol/nick", "nick", c["nickname"])
    if c.get("photo") is not None:
        add(add(p.xml, "vcard-temp:x:update", "x"), "vcard-temp:x:update", "photo", c["photo"])
    p.send()


def join(client, c):
    p = client.make_presence(pto=c["room"] + "/" + c["nick"])
    muc = add(p.xml, MUC, "x")
    if c.get("password"):
        add(muc, MUC, "password", c["password"])
    if "history" in c:
        add(muc, MUC, "history", maxstanzas=c["history"])
    p.send()


def leave(client, c):
    client.make_presence(pto=c["room"] + "/" + c["nick"], ptype="unavailable").send()


def subject(client, c):
    m = client.make_message(mto=c["to"], mtype="groupchat")
    m["id"] = c["id"]
    m["subject"] = c["subject"]
    if not c["subject"]:  # slixmpp leaves an empty one out, which would not be a change of the subject
        add(m.xml, "jabber:client", "subject")
    m.send()


def invite(client, c):
    """XEP-0045 §7.8.2 through the room, or XEP-0249 directly."""
    if c.get("direct"):
        m = client.make_message(mto=c["to"])
        add(m.xml, "jabber:x:conference", "x", jid=c["room"], reason=c.get("reason"), password=c.get("password"))
    else:
        m = client.make_message(mto=c["room"])
        x = add(m.xml, MUC + "#user", "x")
        e = add(x, MUC + "#user", "invite", to=c["to"])
        if c.get("reason"):
            add(e, MUC + "#user", "reason", c["reason"])
    m.xml.attrib.pop("type", None)
    m.send()


OPS = {
    "message": message,
    "presence": presence,
    "join": join,
    "leave": leave,
    "subject": subject,
    "invite": invite,
    "raw": lambda client, c: client.send_raw(c["xml"]),
    "quit": lambda client, c: client.disconnect(wait=2),
}
