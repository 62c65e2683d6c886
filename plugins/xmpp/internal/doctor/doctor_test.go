package doctor

import (
	"context"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"bridgehost/plugins/xmpp/internal/stream"
)

// fakeDNS is a zone.
type fakeDNS struct {
	srv   map[string][]*net.SRV // by _service._proto.name
	hosts map[string]bool
}

// LookupSRV implements Resolver.
func (f fakeDNS) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	full := "_" + service + "._" + proto + "." + name
	if r := f.srv[full]; r != nil {
		return full, r, nil
	}
	return "", nil, &net.DNSError{Err: "no such host", Name: full, IsNotFound: true}
}

// LookupHost implements Resolver.
func (f fakeDNS) LookupHost(_ context.Context, host string) ([]string, error) {
	if f.hosts[host] {
		return []string{"192.0.2.1"}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// closedPort is an address where nothing listens any more.
func closedPort(t *testing.T) (string, uint16) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	a, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal(l.Addr())
	}
	return a.String(), uint16(a.Port)
}

func TestDNS(t *testing.T) {
	address, port := closedPort(t)
	o := Options{
		Link: "home", Running: "up", Timeout: 2 * time.Second,
		Stream: stream.Options{Mode: stream.Component, Address: address, Domain: "bridge.example.org", Secret: "x"},
		Lookup: fakeDNS{srv: map[string][]*net.SRV{"_xmpp-client._tcp.example.org": {{Target: "127.0.0.1.", Port: port}}}},
	}
	r := Run(t.Context(), o)
	for check, want := range map[string]string{
		"c2s": "connection refused",
		"s2s": "has no address in DNS",
		"dns": "has no address in DNS, so that people of other servers cannot write to it",
	} {
		f, ok := r.Find(check, "")
		if !ok || f.Status == OK || !strings.Contains(f.Fact, want) {
			t.Errorf("%s: %+v, want %q", check, f, want)
		}
	}
	for check, want := range map[string]string{
		"s2s": "_xmpp-server._tcp.example.org. IN SRV 0 5 5269 example.org.",
		"dns": "_xmpp-server._tcp.bridge.example.org. IN SRV 0 5 5269 example.org.",
	} {
		f, _ := r.Find(check, "")
		if len(f.Remedies) != 1 || f.Remedies[0].Lines[0] != want {
			t.Errorf("%s: %+v, want %q", check, f.Remedies, want)
		}
	}
	o.Lookup = fakeDNS{hosts: map[string]bool{"bridge.example.org": true, "example.org": true}}
	o.C2S, o.S2S = address, address
	r = Run(t.Context(), o)
	if f, _ := r.Find("dns", ""); f.Status != OK || !strings.Contains(f.Fact, "bridge.example.org:5269") {
		t.Errorf("dns: %+v", f)
	}
}

func TestPublicDomains(t *testing.T) {
	for domain, want := range map[string]bool{
		"example.org": true, "xmpp.example.org": true, "xmpp.test": false, "localhost": false, "box.local": false, "127.0.0.1": false, "::1": false, "printer.lan": false,
	} {
		if got := isPublic(domain); got != want {
			t.Errorf("%s: %v", domain, got)
		}
	}
}

func TestParent(t *testing.T) {
	for domain, want := range map[string]string{"bridge.example.org": "example.org", "localhost": "localhost", "a.b": "b"} {
		if got := Parent(domain); got != want {
			t.Errorf("%s: %s", domain, got)
		}
	}
}

func TestReportForms(t *testing.T) {
	r := &Report{Link: "home", Mode: "component", Domain: "b.example.org"}
	fix := []Remedy{prosody(`Component "m" "muc"`, "a = 1"), ejabberd("modules:", "b: {}").remark("Later.")}
	r.add("rooms", "m", Fail, strings.Repeat("word ", 40), fix...)
	r.Server = kindEjabberd
	r.add("other", "", Warn, "short", fix...)
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(b.String(), "\n") {
		if len(line) > 120 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	want := `  warn  other           short
        ejabberd: the same lines in modules as above
`
	if !strings.HasSuffix(b.String(), want) {
		t.Errorf("text\n%swant at the end\n%s", b.String(), want)
	}
	out, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"check":"other","status":"warn","fact":"short","remedies":[{"server":"ejabberd","where":"modules:","lines":["b: {}"],"remark":"Later."}]}]}`; !strings.HasSuffix(string(out), want) {
		t.Errorf("JSON %s", out)
	}
	if r.Count(Fail) != 1 || r.Count(OK) != 0 {
		t.Errorf("counts %d, %d", r.Count(Fail), r.Count(OK))
	}
}
