package handle

import (
	"errors"
	"strings"
	"testing"
)

// The vectors are those of the project's decision on addressing that have no node.
func TestVectors(t *testing.T) {
	m := Map{Domain: "example.org", Plain: "example.org", Names: map[string]string{"boss@example.org": "chief"}}
	for _, v := range []struct{ address, name string }{
		{"louise@example.org", "louise"},
		{"louise.m@example.org", "louise.m"},
		{"l_o-u@example.org", "l_o-u"},
		{"___x@example.org", "___.5f.5f.5fx"},
		{"___@example.org", "___.5f.5f.5f"},
		{"a---b@example.org", "___a.2d.2d.2db"},
		{"a--b@example.org", "a--b"},
		{"a.2eb@example.org", "a.2eb"},
		{"-x@example.org", "___.2dx"},
		{"x-@example.org", "___x.2d"},
		{"trailing--@example.org", "___trailing.2d.2d"},
		{".x@example.org", "___.2ex"},
		{"émile@example.org", "___.c3.a9mile"},
		{"a+b@example.org", "___a.2bb"},
		{"pierre@example.net", "___pierre.40example.2enet"},
		{"boss@example.org", "chief"},
		{"chief@example.org", "___chief.40example.2eorg"},
	} {
		got, err := m.Name(v.address)
		if err != nil || got != v.name {
			t.Errorf("Name(%q) = %q, %v; want %q", v.address, got, err, v.name)
		}
		address, canonical, err := m.Address(v.name)
		if err != nil || address != v.address || canonical != v.name {
			t.Errorf("Address(%q) = %q, %q, %v; want %q", v.name, address, canonical, err, v.address)
		}
	}
}

func TestAliases(t *testing.T) {
	m := Map{Domain: "example.org", Plain: "example.org"}
	for _, v := range []struct{ name, address, canonical string }{
		{"ToTo", "toto@example.org", "toto"},
		{"___louise.2em", "louise.m@example.org", "louise.m"},
		{"___.C3.A9mile", "émile@example.org", "___.c3.a9mile"},
		{"___bad.zz", "bad.zz@example.org", "bad.zz"},
		{"___louise.40example.2eorg", "louise@example.org", "louise"},
		{"___toto.40example.net", "toto@example.net", "___toto.40example.2enet"},
	} {
		address, canonical, err := m.Address(v.name)
		if err != nil || address != v.address || canonical != v.canonical {
			t.Errorf("Address(%q) = %q, %q, %v; want %q, %q", v.name, address, canonical, err, v.address, v.canonical)
		}
	}
}

func TestRefused(t *testing.T) {
	m := Map{Domain: "example.org", Plain: "example.org"}
	for _, name := range []string{"", "___", "---louise", "node---", "some_node---louise", "___x.ff", "___x.00", "___a.2fb", "___a.40b.40c", "a b", "a@b@c"} {
		if address, _, err := m.Address(name); !errors.Is(err, ErrRefused) {
			t.Errorf("Address(%q) = %q, %v; want a refusal", name, address, err)
		}
	}
	for _, address := range []string{"", "louise", "@example.org", "a@", "a@b@c", "a@-b", "a@b..c", "a b@example.org"} {
		if name, err := m.Name(address); !errors.Is(err, ErrRefused) {
			t.Errorf("Name(%q) = %q, %v; want a refusal", address, name, err)
		}
	}
	if _, _, err := (Map{Domain: "example.org"}).Address("louise"); !errors.Is(err, ErrRefused) {
		t.Errorf("without a plain domain a plain name got %v", err)
	}
}

func TestSplit(t *testing.T) {
	for _, s := range []string{"@Bob@Mastodon.Example", "acct:bob@mastodon.example", "bob@mastodon.example"} {
		user, host, err := Split(s)
		if user != "bob" || host != "mastodon.example" || err != nil {
			t.Errorf("Split(%q) = %q, %q, %v", s, user, host, err)
		}
	}
}

func FuzzName(f *testing.F) {
	f.Add("louise@example.org")
	f.Add("a---b@example.net")
	f.Add("émile@example.org:8443")
	m := Map{Domain: "example.org", Plain: "example.org"}
	f.Fuzz(func(t *testing.T, address string) {
		name, err := m.Name(address)
		if err != nil {
			return
		}
		if strings.ToLower(name) != name {
			t.Fatalf("Name(%q) = %q changes when folded", address, name)
		}
		back, canonical, err := m.Address(name)
		if err != nil || back != strings.ToLower(address) || canonical != name {
			t.Fatalf("Name(%q) = %q reads back as %q, %q, %v", address, name, back, canonical, err)
		}
	})
}
