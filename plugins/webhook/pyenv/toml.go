package pyenv

import (
	"fmt"
	"strings"
)

// Names of the links and addresses of the made configuration.
const (
	linkXMPP  = "xmpp"
	linkHooks = "hooks"
	listen    = "127.0.0.1:5000" // the gateway's port
)

// toml writes the configuration.
func (im *importer) toml(format, level string) string {
	var b strings.Builder
	p := func(f string, args ...any) { fmt.Fprintf(&b, f+"\n", args...) }
	p("# Made from the .pyenv file of an XMPP MUC Message Gateway.")
	p("# Senders go on as before: POST http://%s/post/TOKEN", listen)
	p("[host]")
	p("data = \"data\"                # relative to this file; a service uses /var/lib/bridgehost")
	p("log = { level = %s }", quote(level))
	p("")
	p("[http]")
	p("listen = %s          # keep it behind a proxy with TLS", quote(listen))
	p("")
	p("[link.%s]", linkXMPP)
	p("plugin = \"xmpp\"")
	p("[link.%s.config]", linkXMPP)
	p("mode = \"client\"")
	p("jid = %s", quote(im.user))
	p("password = %s", quote(im.pass))
	im.roomTables(p)
	p("")
	p("[link.%s]", linkHooks)
	p("plugin = \"webhook\"")
	for _, r := range im.rooms {
		p("[link.%s.config.hook.%s]", linkHooks, r.hook)
		p("token = %s", quote(r.token))
		p("name = %s", quote(r.nick))
		p("format = %s", quote(format))
	}
	for _, r := range im.rooms {
		p("")
		p("[[route]]")
		p("from = %s", quote(linkHooks+":"+r.hook))
		p("to = [%s]", quote(linkXMPP+":"+r.jid))
	}
	return b.String()
}

// roomTables gives the account the nick that it had, in rooms where there was
// only one; elsewhere the author's name stands in the text.
func (im *importer) roomTables(p func(string, ...any)) {
	nicks := map[string][]string{}
	var order []string
	for _, r := range im.rooms {
		if len(nicks[r.jid]) == 0 {
			order = append(order, r.jid)
		}
		nicks[r.jid] = append(nicks[r.jid], r.nick)
	}
	for _, jid := range order {
		list := nicks[jid]
		for _, n := range list {
			if n != list[0] {
				list = nil
				break
			}
		}
		if list == nil {
			im.note("room %s has several nicks, and one account appears under one nick: there the name stands in the text; an XMPP component (mode = \"component\") shows each as an occupant", jid)
			continue
		}
		p("[link.%s.config.rooms.%s]", linkXMPP, quote(jid))
		p("nick = %s", quote(list[0]))
	}
}

// quote writes a basic string of TOML 1.0.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, "\\u%04X", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
