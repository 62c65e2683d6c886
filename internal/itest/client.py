"""A slixmpp client that a Go test drives: one JSON object per line on stdin, one per line on stdout.

Commands: join, leave, groupchat, chat, raw, quit. Each event says its kind: ready, failed, disconnected, message, presence,
iq. A stanza's event carries the fields that tests ask for most, and the whole stanza as "xml".
"""

import asyncio
import json
import logging
import sys

import slixmpp
from slixmpp.xmlstream import ET, tostring
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

SID = "{urn:xmpp:sid:0}"


def emit(**event):
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def attribute(xml, tag, name):
    child = xml.find(tag)
    return "" if child is None else child.get(name, "")


class Client(slixmpp.ClientXMPP):
    def __init__(self, options):
        super().__init__(options["jid"], options["password"])
        self.options = options
        self.whitespace_keepalive = False
        for plugin in ("xep_0030", "xep_0045", "xep_0199", "xep_0203", "xep_0085"):
            self.register_plugin(plugin)
        if options.get("ca_file"):
            self.ca_certs = options["ca_file"]
        self.add_event_handler("session_start", self.on_start)
        self.add_event_handler("failed_all_auth", lambda e: emit(kind="failed", error="authentication"))
        self.add_event_handler("stream_error", lambda e: emit(kind="failed", error=str(e)))
        self.add_event_handler("ssl_invalid_chain", lambda e: self.give_up("certificate: %s" % e))
        self.add_event_handler("connection_failed", lambda e: self.give_up("connection: %s" % e))
        self.add_event_handler("disconnected", self.on_disconnected)
        for name in ("message", "presence", "iq"):
            matcher = MatchXPath("{jabber:client}" + name)
            self.register_handler(Callback("test " + name, matcher, self.on_stanza))

    def give_up(self, reason):
        emit(kind="failed", error=reason)
        self.loop.stop()

    def on_disconnected(self, reason):
        emit(kind="disconnected", error=str(reason or ""))
        self.loop.stop()

    async def on_start(self, _):
        if self.options.get("available", True):
            self.send_presence()
        emit(kind="ready", to=str(self.boundjid))

    def on_stanza(self, stanza):
        xml = stanza.xml
        sender = stanza["from"]
        body = xml.find("{jabber:client}body")
        room = str(sender.bare)
        emit(
            kind=xml.tag.split("}")[1],
            type=xml.get("type", ""),
            to=xml.get("to", ""),
            room=room,
            nick=sender.resource or "",
            id=xml.get("id", ""),
            body="" if body is None else body.text or "",
            has_body=body is not None,
            subject=xml.find("{jabber:client}subject") is not None,
            stanza_id=next((s.get("id", "") for s in xml.findall(SID + "stanza-id") if s.get("by") == room), ""),
            origin_id=attribute(xml, SID + "origin-id", "id"),
            occupant_id=attribute(xml, "{urn:xmpp:occupant-id:0}occupant-id", "id"),
            delayed=xml.find("{urn:xmpp:delay}delay") is not None,
            status=[s.get("code") for s in xml.iter("{http://jabber.org/protocol/muc#user}status")],
            xml=tostring(xml, xmlns="jabber:client", stream=self),
            **{"from": str(sender)},
        )

    def command(self, c):
        op = c["op"]
        if op == "join":
            join = self.make_presence(pto=c["room"] + "/" + c["nick"])
            muc = ET.SubElement(join.xml, "{http://jabber.org/protocol/muc}x")
            if c.get("password"):
                ET.SubElement(muc, "{http://jabber.org/protocol/muc}password").text = c["password"]
            if "history" in c:
                ET.SubElement(muc, "{http://jabber.org/protocol/muc}history", maxstanzas=str(c["history"]))
            join.send()
        elif op == "leave":
            self.make_presence(pto=c["room"] + "/" + c["nick"], ptype="unavailable").send()
        elif op in ("groupchat", "chat"):
            message = self.make_message(mto=c["to"], mbody=c["body"], mtype=op)
            message["id"] = c["id"]
            message.send()
        elif op == "raw":
            self.send_raw(c["xml"])
        elif op == "quit":
            self.disconnect(wait=2)
        else:
            raise ValueError("unknown command " + op)


async def commands(client):
    reader = asyncio.StreamReader(limit=64 << 20)
    await client.loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while True:
        line = await reader.readline()
        if not line:  # the test has gone
            client.loop.stop()
            return
        client.command(json.loads(line))


def main():
    options = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.DEBUG if options.get("debug") else logging.WARNING)
    client = Client(options)
    tls = options["tls"]
    client.connect(
        (options["host"], options["port"]),
        use_ssl=tls == "direct",
        force_starttls=tls == "starttls",
        disable_starttls=tls == "none",
    )
    reading = client.loop.create_task(commands(client))
    reading.add_done_callback(lambda task: None if task.cancelled() else task.result())
    client.loop.run_forever()


main()
