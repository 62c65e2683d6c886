package address

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mellium.im/xmpp/jid"

	"bridgehost/plugins/xmpp/internal/packet"
)

var (
	component = Component{Domain: "ap.example.org", Local: []string{"example.org"}}
	handles   = Handles{Domain: "example.org", Virtual: "ap.example.org", Service: func(d string) bool {
		return d == "pubsub.example.org" || d == "pubsub.example.net"
	}}
)

// corpus finds the file beside the checkout. Without it the test is skipped, unless BRIDGEHOST_CORPUS_REQUIRED=1.
func corpus(t *testing.T, name string) []byte {
	t.Helper()
	dir := os.Getenv("BRIDGEHOST_CORPUS")
	if dir == "" {
		root, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
				break
			}
			if root == filepath.Dir(root) {
				t.Fatal("no go.mod above the test")
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(root, "..", "shared", "corpus")
	}
	b, err := os.ReadFile(filepath.Join(dir, name))
	switch {
	case err == nil:
		return b
	case os.Getenv("BRIDGEHOST_CORPUS_REQUIRED") == "1":
		t.Fatalf("corpus is required: %v", err)
	default:
		t.Skipf("no corpus: %v", err)
	}
	return nil
}

// vector is a row of handles.tsv.
type vector struct{ direction, jid, node, other, note string }

// TestVectors checks every row of the project's table of addresses.
func TestVectors(t *testing.T) {
	lines := strings.Split(strings.TrimRight(string(corpus(t, "handles.tsv")), "\n"), "\n")
	if len(lines) < 160 {
		t.Fatalf("table has %d lines, want at least 160", len(lines))
	}
	for i, line := range lines[1:] {
		f := strings.Split(line, "\t")
		if len(f) != 5 {
			t.Fatalf("line %d has %d fields", i+2, len(f))
		}
		v := vector{f[0], f[1], f[2], f[3], f[4]}
		h := handles
		h.Foreign = strings.Contains(v.note, "local_only=false")
		switch v.direction {
		case "write", "refuse-write":
			v.write(t, i+2, h)
		case "read", "refuse-read", "libervia-write":
			v.read(t, i+2, h)
		case "virtual", "refuse-virtual":
			v.virtual(t, i+2)
		case "unvirtual", "refuse-unvirtual", "libervia-virtual":
			v.unvirtual(t, i+2)
		default:
			t.Errorf("line %d: unknown direction %q", i+2, v.direction)
		}
	}
}

func (v vector) write(t *testing.T, line int, h Handles) {
	t.Helper()
	j, err := packet.ParseJID(v.jid)
	if err != nil {
		t.Fatalf("line %d: %v", line, err)
	}
	got, err := h.Write(j, v.node)
	if v.direction == "refuse-write" {
		if !errors.Is(err, ErrRefused) {
			t.Errorf("line %d: Write(%q, %q) = %q, %v, want a refusal", line, v.jid, v.node, got, err)
		}
		return
	}
	if err != nil || got != v.other {
		t.Errorf("line %d: Write(%q, %q) = %q, %v, want %q", line, v.jid, v.node, got, err, v.other)
	}
}

func (v vector) read(t *testing.T, line int, h Handles) {
	t.Helper()
	got, err := h.Read(v.other)
	switch {
	case v.direction == "refuse-read":
		if !errors.Is(err, ErrRefused) {
			t.Errorf("line %d: Read(%q) = %+v, %v, want a refusal", line, v.other, got, err)
		}
		return
	case err != nil:
		t.Errorf("line %d: Read(%q): %v", line, v.other, err)
		return
	case strings.Contains(v.note, "a clash in Libervia"):
		return // reads as another JID, which has its own row
	}
	node := v.node
	if v.direction == "libervia-write" && node == microblog {
		node = ""
	}
	if got.JID.String() != v.jid || got.Node != node {
		t.Errorf("line %d: Read(%q) = %q node %q, want %q node %q", line, v.other, got.JID, got.Node, v.jid, node)
	}
	if v.direction != "read" {
		return
	}
	if alias, ok := strings.CutPrefix(v.note[strings.Index(v.note, ";")+1:], " alias of "); ok || strings.HasPrefix(v.note, "alias of ") {
		if !ok {
			alias = strings.TrimPrefix(v.note, "alias of ")
		}
		alias, _, _ = strings.Cut(alias, ";")
		if !got.Alias || got.Canonical != alias {
			t.Errorf("line %d: Read(%q) has the canonical form %q, alias %v, want %q", line, v.other, got.Canonical, got.Alias, alias)
		}
	} else if got.Alias || got.Canonical != v.other {
		t.Errorf("line %d: Read(%q) has the canonical form %q, alias %v, want itself", line, v.other, got.Canonical, got.Alias)
	}
}

func (v vector) virtual(t *testing.T, line int) {
	t.Helper()
	got, err := component.Virtual(v.other)
	if v.direction == "refuse-virtual" {
		if !errors.Is(err, ErrRefused) {
			t.Errorf("line %d: Virtual(%q) = %q, %v, want a refusal", line, v.other, got, err)
		}
		return
	}
	if err != nil || got.String() != v.jid {
		t.Errorf("line %d: Virtual(%q) = %q, %v, want %q", line, v.other, got, err, v.jid)
	}
}

func (v vector) unvirtual(t *testing.T, line int) {
	t.Helper()
	j, err := packet.ParseJID(v.jid)
	if err != nil {
		t.Fatalf("line %d: %v", line, err)
	}
	got, err := component.Foreign(j)
	if v.direction == "refuse-unvirtual" {
		if !errors.Is(err, ErrRefused) {
			t.Errorf("line %d: Foreign(%q) = %q, %v, want a refusal", line, v.jid, got, err)
		}
		return
	}
	if err != nil || got != v.other {
		t.Errorf("line %d: Foreign(%q) = %q, %v, want %q", line, v.jid, got, err, v.other)
	}
}

// TestVirtual names addresses that the table has not: those that look like others, and those that hide something.
func TestVirtual(t *testing.T) {
	for _, tc := range []struct {
		name, foreign, want string // want "" is a refusal
	}{
		{"ours escaped xmpp address", `d\27artagnan@s2.example`, `d\5c27artagnan\40s2.example`},
		{"lone backslash stays", `a\b@m.example`, `a\b\40m.example`},
		{"port", "bob@m.example:8443", `bob\40m.example\3a8443`},
		{"domain as A-label", "bob@xn--mnchen-3ya.example", `bob\40münchen.example`},
		{"domain as U-label", "bob@München.example", `bob\40münchen.example`},
		{"final dot of a domain", "bob@m.example.", `bob\40m.example`},
		{"cyrillic a is another person", "b\u0430b@m.example", "b\u0430b\\40m.example"},
		{"full width letters fold", "\uff42ob@m.example", `bob\40m.example`},
		{"composed", "e\u0301mile@m.example", "\u00e9mile\\40m.example"},
		{"sharp s stays", "straße@m.example", `straße\40m.example`},
		{"zero width space", "bo\u200bb@m.example", ""},
		{"zero width joiner", "bo\u200db@m.example", ""},
		{"word joiner", "bo\u2060b@m.example", ""},
		{"soft hyphen", "bo\u00adb@m.example", ""},
		{"right to left override", "bo\u202eb@m.example", ""},
		{"mathematical letters", "\U0001d41bob@m.example", ""},
		{"emoji", "\U0001f600@m.example", ""},
		{"full width at", "evil\uff20good.example@m.example", ""},
		{"full width backslash", "evil\uff3c27@m.example", ""},
		{"full width backslash hides an at", "evil\uff3c40good.example@m.example", ""},
		{"full width slash", "a\uff0fb@m.example", ""},
		{"control", "a\x00b@m.example", ""},
		{"line end", "a\nb@m.example", ""},
		{"no UTF-8", "a\xffb@m.example", ""},
		{"2,000 bytes", strings.Repeat("a", 2000) + "@m.example", ""},
		{"too long once escaped", strings.Repeat("'", 500) + "@m.example", ""},
		{"two at", "a@b@m.example", ""},
		{"no user", "@m.example", ""},
		{"no domain", "bob@", ""},
		{"slash in the domain", "bob@m.example/x", ""},
		{"space in the domain", "bob@m example", ""},
		{"port without number", "bob@m.example:", ""},
		{"port of letters", "bob@m.example:http", ""},
		{"own domain", "bob@ap.example.org", ""},
		{"local domain", "bob@example.org", ""},
		{"local sub-domain", "bob@Conference.Example.ORG", ""},
		{"domain that only ends alike", "bob@notexample.org", `bob\40notexample.org`},
		{"dots only", "bob@..", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			j, err := component.Virtual(tc.foreign)
			switch {
			case tc.want == "" && !errors.Is(err, ErrRefused):
				t.Errorf("Virtual(%q) = %q, %v, want a refusal", tc.foreign, j, err)
			case tc.want != "" && (err != nil || j.Localpart() != tc.want):
				t.Errorf("Virtual(%q) = %q, %v, want %q", tc.foreign, j, err, tc.want)
			}
			if err == nil {
				checkVirtual(t, j)
			}
		})
	}
}

// checkVirtual checks what holds of every virtual JID.
func checkVirtual(t *testing.T, j jid.JID) {
	t.Helper()
	parsed, err := packet.ParseJID(j.String())
	if err != nil || !parsed.Equal(j) {
		t.Fatalf("%q parses as %q, %v", j, parsed, err)
	}
	foreign, err := component.Foreign(j)
	if err != nil {
		t.Fatalf("%q stands for nobody: %v", j, err)
	}
	again, err := component.Virtual(foreign)
	if err != nil || !again.Equal(j) {
		t.Fatalf("%q is %q, which is %q, %v", j, foreign, again, err)
	}
}

// TestForeign reads JIDs that nobody gave out.
func TestForeign(t *testing.T) {
	for _, local := range []string{
		`a\40b\40c`, `\40m.example`, `bob\40`, `bob\40ap.example.org`, `a\20\40m.example\20`, `bob\40m.example\3a`, `bob\40m\2fexample`, `bob\40m\example`,
	} {
		j, err := jid.New(local, component.Domain, "")
		if err != nil {
			t.Fatalf("%q: %v", local, err)
		}
		if got, err := component.Foreign(j); !errors.Is(err, ErrRefused) {
			t.Errorf("Foreign(%q) = %q, %v, want a refusal", local, got, err)
		}
	}
	if got, err := component.Foreign(jid.MustParse(`bob\40m.example@other.example`)); !errors.Is(err, ErrRefused) {
		t.Errorf("Foreign of another domain = %q, %v, want a refusal", got, err)
	}
	if got, err := component.Foreign(jid.MustParse(`bob\40m.example@ap.example.org/phone`)); err != nil || got != "bob@m.example" {
		t.Errorf("Foreign of a full JID = %q, %v, want bob@m.example", got, err)
	}
	if got, err := component.Canonical("Bob@M.Example"); err != nil || got != "bob@m.example" {
		t.Errorf("Canonical = %q, %v, want bob@m.example", got, err)
	}
}
