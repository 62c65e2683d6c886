"""A slixmpp client that a Go test drives: one JSON object per line on stdin, one per line on stdout.

A command is {"op": name, ...}; with "call": N it is answered by {"kind": "answer", "call": N, "result": ... or "refusal": ...}.
What it can do is in messages.py (fire and forget, in order) and services.py (questions with an answer). Each event says its
kind: ready, failed, disconnected, message, presence, iq; facts.py says what a stanza's event has.
"""

import asyncio
import json
import logging
import sys

import slixmpp
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

import facts
import messages
import services

PLUGINS = ("xep_0030", "xep_0045", "xep_0066", "xep_0085", "xep_0092", "xep_0115", "xep_0199", "xep_0203", "xep_0308", "xep_0333", "xep_0444")


def emit(**event):
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


class Client(slixmpp.ClientXMPP):
    def __init__(self, options):
        super().__init__(options["jid"], options["password"])
        self.options = options
        self.whitespace_keepalive = False
        # Whoever asks for presence waits until the test has decided.
        self.roster.auto_authorize = None
        self.roster.auto_subscribe = False
        self.archives = {}  # results of archive queries that run
        for plugin in PLUGINS:
            self.register_plugin(plugin)
        self.register_plugin("xep_0184", {"auto_ack": options.get("auto_receipts", False), "auto_request": False})
        for feature in options.get("features") or ():
            self["xep_0030"].add_feature(feature)
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
        if self.options.get("roster"):
            await self.get_roster()
        if self.options.get("available", True):
            self.send_presence()
        emit(kind="ready", to=str(self.boundjid))

    def on_stanza(self, stanza):
        event = facts.facts(stanza.xml, self)
        query = event.get("archived", {}).get("query")
        if query in self.archives:
            self.archives[query].append(event)
        else:
            emit(**event)

    def command(self, c):
        op = c["op"]
        if op in messages.OPS:
            messages.OPS[op](self, c)
        elif op in services.OPS:
            self.loop.create_task(self.answer(services.OPS[op], c))
        else:
            raise ValueError("unknown command " + op)

    async def answer(self, handler, c):
        """Every command with a call number is answered, whatever happens."""
        try:
            emit(kind="answer", call=c["call"], result=await handler(self, c))
        except IqError as e:
            emit(kind="answer", call=c["call"], refusal=facts.error(e.iq.xml), error="refused", xml=str(e.iq))
        except IqTimeout:
            emit(kind="answer", call=c["call"], error="no answer in time")
        except Exception as e:  # a fault of this program or of the server: the test shows it
            logging.exception("command %s", c)
            emit(kind="answer", call=c["call"], error=repr(e))


async def commands(client):
    reader = asyncio.StreamReader(limit=64 << 20)
    await client.loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while True:
        line = await reader.readline()
        if not line:  # the test has gone
            client.loop.stop()
            return
        try:
            client.command(json.loads(line))
        except Exception as e:
            logging.exception("command %s", line)
            client.give_up("command %s: %r" % (line[:200], e))
            return


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
