package contact

import (
	"context"
	"fmt"
	"testing"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/sdk/sdktest"
)

// filled makes contacts of n users with m contacts each, all of them friends.
func filled(tb testing.TB, n, m int) (*Contacts, *fakeStream) {
	tb.Helper()
	s := &fakeStream{}
	o := options()
	o.MaxUsers, o.MaxContacts = n, m
	c := New(o, s, sdktest.NewHost(nil))
	close(c.ready)
	for i := range n {
		r := c.lock(fmt.Sprintf("u%d@example.org", i), true)
		for k := range m {
			p, err := c.pair(r, fmt.Sprintf("v%d@s2.example", k))
			if err != nil {
				tb.Fatal(err)
			}
			p.from, p.to, p.settled = granted, granted, true
		}
		if err := r.save(context.Background(), c.host.Store()); err != nil {
			tb.Fatal(err)
		}
		r.mu.Unlock()
	}
	return c, s
}

// BenchmarkPresence takes the presence of users, as servers send it to each contact.
func BenchmarkPresence(b *testing.B) {
	c, _ := filled(b, 100, 100)
	show := []string{"away", "dnd"}
	for i := range b.N {
		p := &packet.Presence{Attrs: packet.Attrs{
			From: fmt.Sprintf("u%d@example.org/phone", i%100), To: fmt.Sprintf(`v%d\40s2.example@ap.example.org`, i/100%100),
		}, Show: show[i/10_000%2]}
		if !c.HandlePresence(context.Background(), p) {
			b.Fatal("not taken")
		}
	}
}

// BenchmarkStart reads the rosters of 1,000 users with 10 contacts each, and renews all presence.
func BenchmarkStart(b *testing.B) {
	old, s := filled(b, 1000, 10)
	for range b.N {
		o := options()
		o.Now = time.Now
		c := New(o, s, old.host)
		if err := c.load(context.Background()); err != nil {
			b.Fatal(err)
		}
		for _, r := range c.all() {
			if err := c.renew(context.Background(), r); err != nil {
				b.Fatal(err)
			}
		}
		if len(s.sent) != 20_000 {
			b.Fatalf("%d stanzas", len(s.sent))
		}
		s.sent = nil
	}
}
