package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"bridgehost/internal/itest"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/stream"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk/netguard"
)

const (
	component = "bridge.xmpp.test"
	secret    = "s3cret"
	room      = "ops@muc.xmpp.test"
)

// options are those of a component link to the server.
func options(srv *itest.Server) Options {
	return Options{
		Link: "home", Rooms: []string{room}, C2S: srv.C2S, S2S: srv.S2S,
		Stream: stream.Options{Mode: stream.Component, Address: srv.Component, Domain: component, Secret: secret, Plaintext: stream.PlaintextLoopback},
		Guard:  netguard.New(netip.MustParsePrefix("127.0.0.0/8")), UploadPlain: true,
		Timeout: 5 * time.Second,
	}
}

// examineNow runs the doctor on a server and logs what it says.
func examineNow(t *testing.T, o Options) *Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := Run(ctx, o)
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", b.String())
	return r
}

// expect checks the status of checks.
func expect(t *testing.T, r *Report, want map[string]Status) {
	t.Helper()
	for check, status := range want {
		f, ok := r.Find(check, "")
		switch {
		case !ok:
			t.Errorf("%s was not checked", check)
		case f.Status != status:
			t.Errorf("%s: got %s (%s), want %s", check, f.Status, f.Fact, status)
		}
	}
}

// remedies are what is to be added for a check, as the report says it.
func remedies(t *testing.T, r *Report, check string) []Remedy {
	t.Helper()
	f, ok := r.Find(check, "")
	if !ok || len(f.Remedies) == 0 {
		t.Fatalf("no remedy for %s: %+v", check, f)
	}
	for _, m := range f.Remedies {
		if m.Server != r.Server {
			t.Errorf("%s: remedy for %s on %s", check, m.Server, r.Server)
		}
	}
	return f.Remedies
}

// prosodyLines writes remedies as the end of a Prosody configuration.
func prosodyLines(list []Remedy) string {
	var b strings.Builder
	for _, m := range list {
		if strings.HasPrefix(m.Where, "Component ") || strings.HasPrefix(m.Where, "VirtualHost ") {
			b.WriteString(m.Where + "\n")
		}
		b.WriteString(strings.Join(m.Lines, "\n") + "\n")
	}
	return b.String()
}

// makeRoom makes the room by joining it, and leaves it.
func makeRoom(t *testing.T, srv *itest.Server) {
	t.Helper()
	up, joined := make(chan struct{}, 8), make(chan struct{}, 8)
	s, err := stream.New(stream.Options{Mode: stream.Component, Address: srv.Component, Domain: component, Secret: secret, Plaintext: stream.PlaintextLoopback,
		OnState: func(st stream.State) {
			if st.Phase == stream.Up {
				up <- struct{}{}
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- s.Run(ctx, stream.Handler{Presence: func(_ context.Context, p *packet.Presence) {
			if u, ok := p.MUCUser(); ok && u.Has(110) {
				joined <- struct{}{}
			}
		}})
	}()
	wait := func(c chan struct{}) {
		select {
		case <-c:
		case <-ctx.Done():
			t.Fatal("room not made")
		}
	}
	wait(up)
	if err := s.Send(ctx, &packet.Presence{Attrs: packet.Attrs{From: "p@" + component + "/x", To: room + "/p", Extensions: []xmltok.Element{xmltok.New(packet.NSMUC, "x", "")}}}); err != nil {
		t.Fatal(err)
	}
	wait(joined)
	cancel()
	<-done
}

// prosodyHTTP is the global configuration of a Prosody with an HTTP port.
func prosodyHTTP(t *testing.T) string {
	t.Helper()
	address, err := itest.FreeAddress("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("http_ports = { %s }\nhttp_interfaces = { \"127.0.0.1\" }\nhttp_external_url = \"http://%s/\"\nhttp_default_host = \"upload.xmpp.test\"\n", port, address)
}

func TestProsodyRemedies(t *testing.T) {
	// What is missing: an archive of rooms, upload, the publisher of items, privileges.
	const bare = `Component "muc.xmpp.test" "muc"
modules_enabled = { }
Component "pubsub.xmpp.test" "pubsub"
admins = { "bridge.xmpp.test" }
`
	opts := itest.Options{Components: map[string]string{component: secret}, S2S: true, CertificateLifetime: 100 * 24 * time.Hour,
		Extra: prosodyHTTP(t), ExtraHosts: bare}
	srv := itest.Prosody(t, opts)
	makeRoom(t, srv)
	r := examineNow(t, withRoots(t, options(srv), srv))
	if r.Server != kindProsody || !strings.HasPrefix(r.Software, "Prosody ") {
		t.Errorf("server %q, software %q", r.Server, r.Software)
	}
	expect(t, r, map[string]Status{"port": OK, "secret": OK, "server": OK, "rooms": OK, "room": OK, "room-archive": Fail, "room-occupants": OK,
		"upload": Fail, "pubsub": OK, "pubsub-create": OK, "pubsub-author": Fail, "privilege": Warn, "blocking": OK, "vcard": OK})
	for check, want := range map[string]string{
		"room-archive":  "Component \"muc.xmpp.test\" \"muc\"\nmodules_enabled = { \"muc_mam\" }\n",
		"upload":        "Component \"upload.xmpp.test\" \"http_file_share\"\n",
		"pubsub-author": "Component \"pubsub.xmpp.test\" \"pubsub\"\nexpose_publisher = true\n",
	} {
		if got := prosodyLines(remedies(t, r, check)); got != want {
			t.Errorf("%s: remedy\n%swant\n%s", check, got, want)
		}
	}
	// With exactly the lines that were printed the same checks are good.
	add := bare
	for _, check := range []string{"room-archive", "upload", "pubsub-author", "privilege"} {
		add += prosodyLines(remedies(t, r, check))
	}
	opts.ExtraHosts = add
	srv = itest.Prosody(t, opts)
	makeRoom(t, srv)
	r = examineNow(t, withRoots(t, options(srv), srv))
	want := map[string]Status{"room-archive": OK, "room-stanza-id": OK, "upload": OK, "upload-read": OK, "pubsub-author": OK}
	if _, err := os.Stat("/usr/lib/prosody/modules/mod_privilege"); err == nil {
		want["privilege"] = OK
	}
	expect(t, r, want)
}

// withRoots makes the doctor believe the server's authority.
func withRoots(t *testing.T, o Options, srv *itest.Server) Options {
	t.Helper()
	o.Roots = roots(t, srv.CAFile)
	return o
}
