package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
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

// ejabberdLines writes remedies as the end of an ejabberd configuration, whose
// last key is modules; other keys go into a file that is included.
func ejabberdLines(t *testing.T, list []Remedy) string {
	t.Helper()
	var inside strings.Builder
	other := map[string][]string{}
	var keys []string
	for _, m := range list {
		for _, line := range m.Lines {
			if m.Where == "modules:" {
				inside.WriteString("  " + line + "\n")
				continue
			}
			if len(other[m.Where]) == 0 {
				keys = append(keys, m.Where)
			}
			other[m.Where] = append(other[m.Where], "  "+line)
		}
	}
	if len(keys) == 0 {
		return inside.String()
	}
	var more strings.Builder
	for _, key := range keys {
		more.WriteString(key + "\n" + strings.Join(other[key], "\n") + "\n")
	}
	file := filepath.Join(t.TempDir(), "more.yml")
	if err := os.WriteFile(file, []byte(more.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return inside.String() + "include_config_file:\n  - \"" + file + "\"\n"
}

func TestEjabberdRemedies(t *testing.T) {
	opts := itest.Options{Components: map[string]string{component: secret}, CertificateLifetime: 100 * 24 * time.Hour}
	srv := itest.Ejabberd(t, opts)
	makeRoom(t, srv)
	r := examineNow(t, withRoots(t, options(srv), srv))
	if r.Server != kindEjabberd || !strings.HasPrefix(r.Software, "ejabberd ") {
		t.Errorf("server %q, software %q", r.Server, r.Software)
	}
	expect(t, r, map[string]Status{"port": OK, "secret": OK, "server": OK, "room": OK, "room-archive": OK, "room-occupants": Warn, "upload": Fail,
		"pubsub": OK, "pubsub-author": Fail, "pubsub-pages": OK, "privilege": Warn, "pep": OK, "blocking": OK, "c2s": OK, "c2s-cert": OK, "s2s": Skip})
	if f, _ := r.Find("pubsub-pages", ""); !strings.Contains(f.Fact, "in pages") {
		t.Errorf("pages: %s", f.Fact)
	}
	const put = `  put_url: "https://@HOST@:5443/upload"`
	want := []string{
		"mod_http_upload:", put, "  access:", "    - allow:", `      - server: "bridge.xmpp.test"`, "    - allow:", `      - server: "xmpp.test"`,
	}
	fix := remedies(t, r, "upload")
	if got := fix[0].Lines; fix[0].Where != "modules:" || !slices.Equal(got, want) {
		t.Errorf("upload: %q", got)
	}
	author := remedies(t, r, "pubsub-author")
	if want := []string{"mod_pubsub:", "  default_node_config:", "    itemreply: publisher"}; !slices.Equal(author[0].Lines, want) {
		t.Errorf("publisher: %q", author[0].Lines)
	}
	// The printed lines, but for port and name of the HTTP listener: those of the test must be free and need no certificate.
	address, err := itest.FreeAddress("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address)
	local := strings.NewReplacer("https://@HOST@:5443", "http://"+address, "port: 5443", "port: "+port+"\n    ip: \"127.0.0.1\"", "tls: true", "tls: false")
	add := slices.Concat(fix, remedies(t, r, "privilege"))
	for i := range add {
		add[i].Lines = strings.Split(local.Replace(strings.Join(add[i].Lines, "\x00")), "\x00")
	}
	opts.Extra = ejabberdLines(t, add)
	srv = itest.Ejabberd(t, opts)
	makeRoom(t, srv)
	r = examineNow(t, withRoots(t, options(srv), srv))
	expect(t, r, map[string]Status{"upload": OK, "upload-read": OK, "privilege": OK})
	// mod_pubsub stands in the configuration already, so that its lines come through modules of the host's own.
	opts.Extra = "host_config:\n  xmpp.test:\n    modules:\n      mod_disco: {}\n      mod_roster: {}\n      " + strings.Join(author[0].Lines, "\n      ") + "\n"
	r = examineNow(t, options(itest.Ejabberd(t, opts)))
	expect(t, r, map[string]Status{"pubsub-author": OK})
}

func TestRefusedConnections(t *testing.T) {
	for name, start := range map[string]func(itest.TB, itest.Options) *itest.Server{kindProsody: itest.Prosody, kindEjabberd: itest.Ejabberd} {
		t.Run(name, func(t *testing.T) {
			srv := start(t, itest.Options{Components: map[string]string{component: secret}})
			_, port, _ := net.SplitHostPort(srv.Component)
			o := options(srv)
			o.Stream.Secret = "wrong"
			r := examineNow(t, o)
			expect(t, r, map[string]Status{"port": OK, "secret": Fail})
			f, _ := r.Find("secret", "")
			if want := "the server knows another secret"; f.Fact != want {
				t.Errorf("fact %q, want %q", f.Fact, want)
			}
			// The kind of server is not known without a connection: both are told.
			if len(f.Remedies) != 2 ||
				!slices.Equal(f.Remedies[0].Lines, []string{`Component "bridge.xmpp.test"`, "\tcomponent_secret = \"SECRET\""}) ||
				!slices.Equal(f.Remedies[1].Lines, []string{"-", "  port: " + port, `  ip: "127.0.0.1"`, "  module: ejabberd_service", "  access: all", "  hosts:", `    "bridge.xmpp.test":`, `      password: "SECRET"`}) {
				t.Errorf("remedies %+v", f.Remedies)
			}
			o.Stream.Secret, o.Stream.Domain = secret, "other.xmpp.test"
			r = examineNow(t, o)
			expect(t, r, map[string]Status{"port": OK, "secret": Fail})
			closed, err := itest.FreeAddress("127.0.0.1")
			if err != nil {
				t.Fatal(err)
			}
			o.Stream.Address = closed
			r = examineNow(t, o)
			expect(t, r, map[string]Status{"port": Fail, "c2s": OK})
			if _, ok := r.Find("secret", ""); ok {
				t.Error("a secret was tried where no port is open")
			}
		})
	}
}

func TestConflictAndRunning(t *testing.T) {
	srv := itest.Prosody(t, itest.Options{Components: map[string]string{component: secret}})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	o := options(srv)
	o.complete()
	_, end, err := connect(ctx, &o)
	defer end()
	if err != nil {
		t.Fatal(err)
	}
	r := examineNow(t, o)
	expect(t, r, map[string]Status{"port": OK, "conflict": Fail})
	o.Running = "up"
	r = examineNow(t, o)
	expect(t, r, map[string]Status{"port": OK, "connection": Skip, "c2s": OK})
	if n := r.Count(Fail); n > 1 { // the certificate of the test is of no public authority
		t.Errorf("%d failures while the link is up", n)
	}
	o.Running, o.Broken = "down (no route to host)", true
	r = examineNow(t, o)
	expect(t, r, map[string]Status{"port": OK, "connection": Fail})
}

func TestClientLink(t *testing.T) {
	srv := itest.Ejabberd(t, itest.Options{Users: map[string]string{"bot": "pw"}, Components: map[string]string{component: secret}})
	makeRoom(t, srv)
	o := Options{
		Link: "bot", Rooms: []string{room}, C2S: srv.C2S, Timeout: 5 * time.Second, Guard: netguard.New(netip.MustParsePrefix("127.0.0.0/8")),
		Stream: stream.Options{Mode: stream.Client, Address: srv.C2S, Domain: srv.Domain, User: "bot", Secret: "pw", CAFile: srv.CAFile},
	}
	r := examineNow(t, withRoots(t, o, srv))
	expect(t, r, map[string]Status{"port": OK, "secret": OK, "server": OK, "archive": OK, "pep": OK, "carbons": OK, "room": OK, "room-archive": OK, "c2s": OK})
	if r.Domain != "bot@xmpp.test" || r.Mode != "client" {
		t.Errorf("report of %s %s", r.Mode, r.Domain)
	}
	o.Stream.Secret = "wrong"
	r = examineNow(t, withRoots(t, o, srv))
	expect(t, r, map[string]Status{"port": OK, "secret": Fail})
}

func TestCertificates(t *testing.T) {
	srv := itest.Prosody(t, itest.Options{Components: map[string]string{component: secret}, S2S: true, CertificateLifetime: 5 * 24 * time.Hour})
	o := withRoots(t, options(srv), srv)
	o.Running = "up"
	r := examineNow(t, o)
	expect(t, r, map[string]Status{"c2s": OK, "c2s-cert": Warn, "s2s": OK, "s2s-cert": Warn})
	f, _ := r.Find("c2s-cert", "")
	if !strings.Contains(f.Fact, "in 4 days") {
		t.Errorf("fact %q", f.Fact)
	}
	if len(f.Remedies) != 2 || !slices.Equal(f.Remedies[0].Lines, []string{"prosodyctl --root cert import /etc/letsencrypt/live"}) {
		t.Errorf("remedies %+v", f.Remedies)
	}
	o.Now = func() time.Time { return time.Now().Add(6 * 24 * time.Hour) }
	expect(t, examineNow(t, o), map[string]Status{"c2s-cert": Fail, "s2s-cert": Fail})
	o.Now = nil
	o.Roots = nil
	r = examineNow(t, o)
	expect(t, r, map[string]Status{"c2s-cert": Fail})
	o.Server = "other.test"
	srv2 := itest.Prosody(t, itest.Options{Components: map[string]string{component: secret}, CertificateNames: []string{"other.example"}, CertificateLifetime: 100 * 24 * time.Hour})
	o = withRoots(t, options(srv2), srv2)
	o.Running = "up"
	r = examineNow(t, o)
	expect(t, r, map[string]Status{"c2s": OK, "c2s-cert": Fail})
	if f, _ := r.Find("c2s-cert", ""); f.Fact != "the certificate is for other.example" {
		t.Errorf("fact %q", f.Fact)
	}
	plain := itest.Prosody(t, itest.Options{Components: map[string]string{component: secret}, NoTLS: true})
	o = options(plain)
	o.Running = "up"
	r = examineNow(t, o)
	expect(t, r, map[string]Status{"c2s": Fail})
	if f, _ := r.Find("c2s", ""); f.Fact != "is open, but offers no encryption" {
		t.Errorf("fact %q", f.Fact)
	}
}
