"""What a stanza says, as plain data: the fields of the Go type itest.Event. Absent facts are absent keys."""

from slixmpp.xmlstream import tostring

CLIENT = "{jabber:client}"
SID = "{urn:xmpp:sid:0}"
MUC_USER = "{http://jabber.org/protocol/muc#user}"
PUBSUB_EVENT = "{http://jabber.org/protocol/pubsub#event}"
SFS = "{urn:xmpp:sfs:0}"
META = "{urn:xmpp:file:metadata:0}"
DATA = "{jabber:x:data}"
MARKERS = ("{urn:xmpp:chat-markers:0}received", "{urn:xmpp:chat-markers:0}displayed", "{urn:xmpp:chat-markers:0}acknowledged")
STATES = "{http://jabber.org/protocol/chatstates}"
RETRACT = {"{urn:xmpp:message-retract:0}retract": "0", "{urn:xmpp:message-retract:1}retract": "1"}
MODERATED = {"{urn:xmpp:message-moderate:0}moderated": "0", "{urn:xmpp:message-moderate:1}moderated": "1"}


def text(xml, tag):
    child = xml.find(tag)
    return "" if child is None else child.text or ""


def attribute(xml, tag, name):
    child = xml.find(tag)
    return "" if child is None else child.get(name, "")


def number(value):
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


def split(jid):
    bare, _, resource = jid.partition("/")
    return bare, resource


def source(xml):
    return tostring(xml, xmlns="jabber:client")


def facts(xml, stream=None):
    """The facts of a message, presence or iq element."""
    sender = xml.get("from", "")
    bare, resource = split(sender)
    f = {
        "kind": xml.tag.split("}")[1],
        "type": xml.get("type", ""),
        "from": sender,
        "to": xml.get("to", ""),
        "room": bare,
        "nick": resource,
        "id": xml.get("id", ""),
        "body": text(xml, CLIENT + "body"),
        "has_body": xml.find(CLIENT + "body") is not None,
        "lang": xml.get("{http://www.w3.org/XML/1998/namespace}lang", ""),
        "subject": xml.find(CLIENT + "subject") is not None,
        "subject_text": text(xml, CLIENT + "subject"),
        "thread": text(xml, CLIENT + "thread"),
        "stanza_id": next((s.get("id", "") for s in xml.findall(SID + "stanza-id") if s.get("by") == bare), ""),
        "stanza_ids": [{"id": s.get("id", ""), "by": s.get("by", "")} for s in xml.findall(SID + "stanza-id")],
        "origin_id": attribute(xml, SID + "origin-id", "id"),
        "occupant_id": attribute(xml, "{urn:xmpp:occupant-id:0}occupant-id", "id"),
        "delayed": xml.find("{urn:xmpp:delay}delay") is not None,
        "status": [s.get("code") for s in xml.iter(MUC_USER + "status")],
        "xml": tostring(xml, xmlns="jabber:client", stream=stream),
    }
    if f["type"] == "error":
        f["refusal"] = error(xml)
    if f["kind"] == "message":
        message(xml, f)
    elif f["kind"] == "presence":
        presence(xml, f)
    return {key: value for key, value in f.items() if value not in ("", None, [], False)}


def error(xml):
    """The error of a stanza of type error. RFC 6120 §8.3."""
    e = xml.find(CLIENT + "error")
    if e is None:
        return {}
    stanzas = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
    conditions = [c.tag[len(stanzas):] for c in e if c.tag.startswith(stanzas) and c.tag != stanzas + "text"]
    return {
        "type": e.get("type", ""), "by": e.get("by", ""), "text": text(e, stanzas + "text"),
        "condition": conditions[0] if conditions else "",
        "specific": [c.tag for c in e if not c.tag.startswith(stanzas)],
    }


def message(xml, f):
    f["replace"] = attribute(xml, "{urn:xmpp:message-correct:0}replace", "id")
    retraction(xml, f)
    reply = xml.find("{urn:xmpp:reply:0}reply")
    if reply is not None:
        f["reply"] = {"id": reply.get("id", ""), "to": reply.get("to", "")}
    f["fallbacks"] = [
        {"for": e.get("for", ""), "start": number(b.get("start")), "end": number(b.get("end")), "whole": b.get("end") is None}
        for e in xml.findall("{urn:xmpp:fallback:0}fallback")
        for b in (e.findall("{urn:xmpp:fallback:0}body") or [e])
    ]
    reactions = xml.find("{urn:xmpp:reactions:0}reactions")
    if reactions is not None:
        f["reactions"] = {"id": reactions.get("id", ""), "emojis": [r.text or "" for r in reactions]}
    f["receipt"] = attribute(xml, "{urn:xmpp:receipts}received", "id")
    f["asks_receipt"] = xml.find("{urn:xmpp:receipts}request") is not None
    f["markable"] = xml.find("{urn:xmpp:chat-markers:0}markable") is not None
    for tag in MARKERS:
        marker = xml.find(tag)
        if marker is not None:
            f["marker"] = {"name": tag.split("}")[1], "id": marker.get("id", "")}
    f["state"] = next((c.tag[len(STATES):] for c in xml if c.tag.startswith(STATES)), "")
    f["oob"] = text(xml, "{jabber:x:oob}x/{jabber:x:oob}url")
    f["files"] = [shared_file(s) for s in xml.findall(SFS + "file-sharing")]
    f["spoiler"] = xml.find("{urn:xmpp:spoiler:0}spoiler") is not None
    f["spoiler_hint"] = text(xml, "{urn:xmpp:spoiler:0}spoiler")
    xhtml = xml.find("{http://jabber.org/protocol/xhtml-im}html")
    f["xhtml"] = "" if xhtml is None else source(xhtml)
    f["references"] = [
        {"type": r.get("type", ""), "uri": r.get("uri", ""), "begin": number(r.get("begin")), "end": number(r.get("end"))}
        for r in xml.findall("{urn:xmpp:reference:0}reference")
    ]
    f["encryption"] = attribute(xml, "{urn:xmpp:eme:0}encryption", "namespace")
    f["hints"] = [c.tag.split("}")[1] for c in xml if c.tag.startswith("{urn:xmpp:hints}")]
    f["nickname"] = text(xml, "{http://jabber.org/protocol/nick}nick")
    invitations(xml, f)
    pubsub(xml, f)
    copies(xml, f)


def retraction(xml, f):
    """XEP-0424 and XEP-0425: version 1 directly in the message, version 0 in a fastening (XEP-0422)."""
    for where in (xml, xml.find("{urn:xmpp:fasten:0}apply-to")):
        if where is None:
            continue
        for tag, version in RETRACT.items():
            retract = where.find(tag)
            if retract is not None:
                f["retract"] = {"id": retract.get("id", "") or where.get("id", ""), "version": version, "reason": text(retract, "{urn:xmpp:message-retract:1}reason")}
                moderation(retract, f)
        moderation(where, f)


def moderation(xml, f):
    for tag, version in MODERATED.items():
        moderated = xml.find(tag)
        if moderated is None:
            continue
        namespace = tag.split("}")[0] + "}"
        reason = text(moderated, namespace + "reason") or text(xml, "{urn:xmpp:message-retract:1}reason")
        if moderated.find("{urn:xmpp:message-retract:0}retract") is not None:
            f["retract"] = {"id": xml.get("id", ""), "version": "0", "reason": reason}
        f["moderated"] = {"id": xml.get("id", ""), "by": moderated.get("by", ""), "reason": reason, "version": version}


def shared_file(sharing):
    """XEP-0447 with the metadata of XEP-0446."""
    meta = sharing.find(META + "file")
    f = {"disposition": sharing.get("disposition", ""), "urls": [], "hashes": {}}
    if meta is not None:
        f["name"] = text(meta, META + "name")
        f["media_type"] = text(meta, META + "media-type")
        f["size"] = number(text(meta, META + "size"))
        f["width"], f["height"] = number(text(meta, META + "width")), number(text(meta, META + "height"))
        f["desc"] = text(meta, META + "desc")
        f["hashes"] = {h.get("algo", ""): h.text or "" for h in meta.findall("{urn:xmpp:hashes:2}hash")}
    f["urls"] = [u.get("target", "") for u in sharing.iter("{http://jabber.org/protocol/url-data}url-data")]
    return f


def invitations(xml, f):
    """Mediated invitations (XEP-0045 §7.8.2), declined ones, and direct ones (XEP-0249)."""
    x = xml.find(MUC_USER + "x")
    if x is not None:
        f["muc_user"] = True
        for name in ("invite", "decline"):
            e = x.find(MUC_USER + name)
            if e is not None:
                f["invitation"] = {
                    "kind": name, "room": split(f["from"])[0], "from": e.get("from", ""), "to": e.get("to", ""),
                    "reason": text(e, MUC_USER + "reason"), "password": text(x, MUC_USER + "password"),
                }
    direct = xml.find("{jabber:x:conference}x")
    if direct is not None and "invitation" not in f:
        f["invitation"] = {
            "kind": "direct", "room": direct.get("jid", ""), "from": f["from"],
            "reason": direct.get("reason", ""), "password": direct.get("password", ""),
        }


def pubsub(xml, f):
    """Events of a node. XEP-0060 §12.8."""
    event = xml.find(PUBSUB_EVENT + "event")
    if event is None:
        return
    out = {"node": "", "items": [], "retracted": []}
    for child in event:
        out["node"] = child.get("node", out["node"])
        out["what"] = child.tag.split("}")[1]
        for item in child:
            if item.tag == PUBSUB_EVENT + "item":
                out["items"].append(pubsub_item(item))
            elif item.tag == PUBSUB_EVENT + "retract":
                out["retracted"].append(item.get("id", ""))
    f["pubsub"] = out


def pubsub_item(item):
    return {
        "id": item.get("id", ""), "publisher": item.get("publisher", ""),
        "xml": "".join(tostring(payload) for payload in item),
    }


def copies(xml, f):
    """Carbons (XEP-0280) and archive results (XEP-0313), with the message that they forward."""
    for name in ("sent", "received"):
        carbon = xml.find("{urn:xmpp:carbons:2}" + name)
        if carbon is not None:
            f["carbon"], f["inner"] = name, forwarded(carbon)
    result = xml.find("{urn:xmpp:mam:2}result")
    if result is not None:
        f["archived"] = {"id": result.get("id", ""), "query": result.get("queryid", "")}
        f["inner"] = forwarded(result)


def forwarded(xml):
    forward = xml.find("{urn:xmpp:forward:0}forwarded")
    stanza = None if forward is None else forward.find(CLIENT + "message")
    if stanza is None:
        return None
    f = facts(stanza)
    f["stamp"] = attribute(forward, "{urn:xmpp:delay}delay", "stamp")
    return f


def presence(xml, f):
    f["show"] = text(xml, CLIENT + "show")
    f["status_text"] = text(xml, CLIENT + "status")
    f["priority"] = number(text(xml, CLIENT + "priority"))
    photo = xml.find("{vcard-temp:x:update}x/{vcard-temp:x:update}photo")
    f["has_photo"] = photo is not None
    f["photo"] = "" if photo is None else photo.text or ""
    f["nickname"] = text(xml, "{http://jabber.org/protocol/nick}nick")
    caps = xml.find("{http://jabber.org/protocol/caps}c")
    if caps is not None:
        f["caps"] = {name: caps.get(name, "") for name in ("node", "ver", "hash")}
    item = xml.find(MUC_USER + "x/" + MUC_USER + "item")
    if item is not None:
        actor = item.find(MUC_USER + "actor")
        f["occupant"] = {
            "affiliation": item.get("affiliation", ""), "role": item.get("role", ""), "jid": item.get("jid", ""),
            "nick": item.get("nick", ""), "reason": text(item, MUC_USER + "reason"),
            "actor": "" if actor is None else actor.get("nick", "") or actor.get("jid", ""),
        }
    destroy = xml.find(MUC_USER + "x/" + MUC_USER + "destroy")
    if destroy is not None:
        f["destroyed"] = {"jid": destroy.get("jid", ""), "reason": text(destroy, MUC_USER + "reason")}


def form(x):
    """A data form. XEP-0004."""
    if x is None:
        return None
    return {
        "type": x.get("type", ""), "title": text(x, DATA + "title"), "instructions": text(x, DATA + "instructions"),
        "fields": [field(e) for e in x.findall(DATA + "field")],
        "rows": [{e.get("var", ""): text(e, DATA + "value") for e in row} for row in x.findall(DATA + "item")],
    }


def field(e):
    return {
        "var": e.get("var", ""), "type": e.get("type", ""), "label": e.get("label", ""),
        "required": e.find(DATA + "required") is not None,
        "values": [v.text or "" for v in e.findall(DATA + "value")],
        "options": [text(o, DATA + "value") for o in e.findall(DATA + "option")],
    }
