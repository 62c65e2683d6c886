package address

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"mellium.im/xmpp/jid"
)

// mastodon is the grammar of Mastodon's user names.
var mastodon = regexp.MustCompile(`^[a-z0-9_]+([.-]+[a-z0-9_]+)*$`)

// checkHandle checks what holds of every handle that Write gives (rule 6: folding it changes nothing).
func checkHandle(t *testing.T, h Handles, j jid.JID, node string) (string, bool) {
	t.Helper()
	s, err := h.Write(j, node)
	if err != nil {
		return "", false
	}
	user, domain, _ := strings.Cut(s, "@")
	if !mastodon.MatchString(user) {
		t.Fatalf("Write(%q, %q) = %q: outside the grammar of user names", j, node, s)
	}
	if strings.ToLower(s) != s {
		t.Fatalf("Write(%q, %q) = %q: changes when it is folded", j, node, s)
	}
	if v, err := jid.New(`x\40`+domain, "v.example", ""); err != nil || v.Localpart() != `x\40`+domain {
		t.Fatalf("domain of %q changes inside a virtual JID: %v", s, err)
	}
	want := node
	if node == microblog && j.Localpart() != "" {
		want = ""
	}
	got, err := h.Read(s)
	if err != nil || !got.JID.Equal(j) || got.Node != want || got.Alias || got.Canonical != s {
		t.Fatalf("Write(%q, %q) = %q, read as %+v, %v", j, node, s, got, err)
	}
	return s, true
}

// TestNoTwoShareAHandle writes many random pairs that are made of what means something.
func TestNoTwoShareAHandle(t *testing.T) {
	pieces := []string{"a", "b", "z9", "-", "--", "---", "_", "__", "___", ".", ".2e", ".2d", ".40", "@", "+", "%", "~", "É", "é", "ß", "A", "B", ":", "/", `\40`, `\5c`, "日"}
	domains := []string{"example.org", "sub.example.org", "pubsub.example.org", "pubsub.example.net", "example.net"}
	rng := rand.New(rand.NewPCG(1, 2))
	text := func(n int) string {
		var b strings.Builder
		for range rng.IntN(n) {
			b.WriteString(pieces[rng.IntN(len(pieces))])
		}
		return b.String()
	}
	h := handles
	h.Foreign = true
	type pair struct{ jid, node string }
	seen := map[string]pair{}
	written := 0
	for range 60_000 {
		j, err := prepare(text(4), domains[rng.IntN(len(domains))])
		if err != nil {
			continue
		}
		node := text(4)
		s, ok := checkHandle(t, h, j, node)
		if !ok {
			continue
		}
		written++
		p := pair{j.String(), node}
		if other, twice := seen[s]; twice && other != p {
			t.Fatalf("%q is the handle of %v and of %v", s, other, p)
		}
		seen[s] = p
	}
	if written < 20_000 {
		t.Errorf("only %d pairs have a handle", written)
	}
}

// FuzzWrite checks that what is written reads back as it was.
func FuzzWrite(f *testing.F) {
	for _, s := range []string{"louise", "louise.m", "a---b", "-x", "émile", "___", "d\\27a"} {
		f.Add(s, "example.org", "node")
		f.Add(s, "example.net", "A.b")
		f.Add("", "pubsub.example.org", s)
	}
	h := handles
	h.Foreign = true
	f.Fuzz(func(t *testing.T, local, domain, node string) {
		j, err := prepare(local, domain)
		if err != nil {
			return
		}
		checkHandle(t, h, j, node)
	})
}

// FuzzRead checks that what is read has one canonical handle, which reads as the same.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"louise@example.org", "___.c3.a9mile@example.org", "a---b---c@example.org", "___toto.40example.net@ap.example.org", "N.x@pubsub.example.org", "___x.2@example.org"} {
		f.Add(s)
	}
	h := handles
	h.Foreign = true
	f.Fuzz(func(t *testing.T, s string) {
		got, err := h.Read(s)
		if err != nil {
			return
		}
		again, err := h.Read(got.Canonical)
		if err != nil || again.Alias || !again.JID.Equal(got.JID) || again.Node != got.Node {
			t.Fatalf("Read(%q) = %+v, its canonical form reads as %+v, %v", s, got, again, err)
		}
	})
}

// FuzzVirtual checks that a virtual JID stands for one foreign address, which has that JID.
func FuzzVirtual(f *testing.F) {
	for _, s := range []string{"bob@mastodon.example", `a\40b@x`, "we/ird:x@m.example", "\uff42\uff3c@m.example:1", "ǅ@m.example", `\5c5c@x.y`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		j, err := component.Virtual(s)
		if err != nil {
			return
		}
		checkVirtual(t, j)
	})
}

// FuzzForeign checks that whatever JID is asked for leads to one canonical JID, or to none.
func FuzzForeign(f *testing.F) {
	for _, s := range []string{`bob\40m.example`, `a\5cb\40m.example`, `\27q\40m.example`, `bob\\40m.example`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, local string) {
		j, err := jid.New(local, component.Domain, "")
		if err != nil {
			return
		}
		foreign, err := component.Foreign(j)
		if err != nil {
			return
		}
		v, err := component.Virtual(foreign)
		if err != nil {
			t.Fatalf("%q is %q, which has no JID: %v", j, foreign, err)
		}
		checkVirtual(t, v)
	})
}
