package doctor

import (
	"context"
	"strings"

	"bridgehost/plugins/xmpp/internal/stream"
)

// Run examines a link. It ends with ctx at the latest, and leaves nothing behind
// on the server: what it made there for a check it takes away.
func Run(ctx context.Context, o Options) *Report {
	o.complete()
	r := &Report{Link: o.Link, Mode: "component", Domain: o.Stream.Domain}
	if o.Stream.Mode == stream.Client {
		r.Mode, r.Domain = "client", o.Stream.User+"@"+o.Stream.Domain
	}
	c, end := reach(ctx, &o, r)
	defer end()
	if c != nil {
		examine(ctx, &o, r, c)
	}
	public(ctx, &o, r)
	return r
}

// examine runs the checks that need the connection.
func examine(ctx context.Context, o *Options, r *Report, c *connection) {
	server, err := c.info(ctx, o.Server)
	if err != nil {
		r.add("server", o.Server, Fail, said(err)+"; if the server's users have another domain, name it with --server")
		return
	}
	r.Software = c.version(ctx, o.Server)
	r.Server = kindOf(r.Software, server)
	// What was found before the kind was known keeps the remedies of that kind only.
	early := r.Findings
	r.Findings = nil
	for _, f := range early {
		r.add(f.Check, f.Subject, f.Status, f.Fact, f.Remedies...)
	}
	software := r.Software
	if software == "" {
		software = "does not say what it is, so that remedies are given for Prosody and for ejabberd"
	}
	r.add("server", o.Server, OK, software)
	services := c.services(ctx, o.Server, o.Stream.Domain)
	if o.component() {
		accounts(o, r, server)
	} else {
		ownAccount(ctx, o, r, c)
	}
	rooms(ctx, o, r, c, services)
	pubsub(ctx, o, r, c, services)
	fileCheck{o, r, c}.run(ctx)
	if o.component() {
		grants(o, r, c)
	}
}

// first gives the first service with an identity.
func first(services []entity, identity string) (entity, bool) {
	for _, e := range services {
		if e.is(identity) {
			return e, true
		}
	}
	return entity{}, false
}

// domainOf is the part of a room's address behind the @.
func domainOf(address string) string {
	_, domain, _ := strings.Cut(address, "@")
	return domain
}
