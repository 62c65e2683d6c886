package host

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"bridgehost/host/config"
	"bridgehost/sdk"
)

// client gives a client for a host that runs, or has run, on the folder.
func (r *running) client(t *testing.T) *Client {
	t.Helper()
	cfg := *r.config()
	cfg.Admin.Listen = r.admin
	c, err := NewClient(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// eventually asks until the answer is yes; for states that no channel tells of.
func eventually(t *testing.T, what string, ask func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ask(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// TestOperatorsClient takes a delivery through the dead letters and back by the
// admin listener, and asks the database when no host runs.
func TestOperatorsClient(t *testing.T) {
	ctx := t.Context()
	r := start(t, t.TempDir(), twoLinks+oneRoute, 2)
	c, a, b := r.client(t), r.links["a"], r.links["b"]
	b.set(func() { b.refuse = &sdk.Error{Op: "send", Kind: sdk.Forbidden, Public: "banned"} })
	a.say(t, "m1", "x", false)
	receive(t, a.told, "outcome")
	rows, err := c.Queue(ctx, QueueFilter{Dead: true, Link: "b"})
	if err != nil || len(rows) != 1 || !rows[0].Dead || !strings.Contains(rows[0].Reason, "banned") || rows[0].Place != "room" {
		t.Fatalf("dead letters %+v, %v", rows, err)
	}
	st, err := c.Status(ctx)
	if err != nil || !st.Ready || len(st.Links) != 2 || len(st.Routes) != 1 || st.Version != "test" {
		t.Errorf("status %+v, %v", st, err)
	}
	for _, q := range st.Queues {
		if want := map[string]int{"a": 0, "b": 1}[q.Link]; q.Dead != want || q.Depth != 0 {
			t.Errorf("queue %+v, want %d dead", q, want)
		}
	}
	steps := func(item string) string {
		t.Helper()
		e, err := c.Explain(ctx, item)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(e.Steps)
	}
	if got := steps("a:m1"); !strings.Contains(got, "given up at b:room by route-1 after 1 attempts") || !strings.Contains(got, "Romeo (a:romeo)") {
		t.Errorf("explained as %s", got)
	}
	b.set(func() { b.refuse = nil })
	if n, err := c.Retry(ctx, QueueFilter{Dead: true}); n != 1 || err != nil {
		t.Errorf("retry %d, %v", n, err)
	}
	if d := receive(t, b.got, "delivery"); string(d.ID) != rows[0].ID {
		t.Errorf("delivered %s, want %s", d.ID, rows[0].ID)
	}
	b.set(func() { b.refuse = sdk.Errorf(sdk.Forbidden, "send", "banned") })
	a.say(t, "m2", "y", false)
	receive(t, a.told, "outcome")
	if n, err := c.Drop(ctx, QueueFilter{Dead: true}); n != 1 || err != nil {
		t.Errorf("drop %d, %v", n, err)
	}
	a.say(t, "named", "y", false)
	receive(t, a.told, "outcome")
	if rows, err = c.Queue(ctx, QueueFilter{Dead: true}); err != nil || len(rows) != 1 {
		t.Fatalf("dead letters %+v, %v", rows, err)
	}
	named := QueueFilter{IDs: []string{rows[0].ID}}
	if rows, err = c.Queue(ctx, named); err != nil || len(rows) != 1 || !rows[0].Dead {
		t.Errorf("the dead letter by its name: %+v, %v", rows, err)
	}
	if n, err := c.Drop(ctx, named); n != 1 || err != nil {
		t.Errorf("drop by name %d, %v", n, err)
	}
	b.set(func() { b.refuse = sdk.Errorf(sdk.Transient, "send", "not now") })
	a.say(t, "m3", "z", false)
	eventually(t, "the delivery waits with its reason", func() bool {
		rows, err = c.Queue(ctx, QueueFilter{})
		return err == nil && len(rows) == 1 && strings.Contains(rows[0].Reason, "not now") && !rows[0].Due.IsZero()
	})
	if _, err := c.Explain(ctx, "a:unheard"); err == nil || !strings.Contains(err.Error(), "nothing is known") {
		t.Errorf("explain of nothing: %v", err)
	}
	r.stop()

	if rows, err = c.Queue(ctx, QueueFilter{}); err != nil || len(rows) != 1 {
		t.Errorf("queue of a host that is down: %+v, %v", rows, err)
	}
	if got := steps("a:m3"); !strings.Contains(got, "waits for b:room") {
		t.Errorf("explained as %s", got)
	}
	if _, err := c.Retry(ctx, QueueFilter{}); !errors.Is(err, errNotRunning) {
		t.Errorf("retry without a host: %v", err)
	}
	r.admin = ""
	c = r.client(t)
	if _, err := c.Status(ctx); err == nil || !strings.Contains(err.Error(), "no [admin] listen") {
		t.Errorf("status without a listener: %v", err)
	}
	if rows, err := c.Queue(ctx, QueueFilter{Link: "a"}); err != nil || len(rows) != 0 {
		t.Errorf("queue of the other link: %+v, %v", rows, err)
	}
}

// TestReloadWhileRunning applies a difference, and nothing of a file with faults.
func TestReloadWhileRunning(t *testing.T) {
	r := start(t, t.TempDir(), twoLinks+oneRoute, 2)
	c, a, b := r.client(t), r.links["a"], r.links["b"]
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(r.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := c.Reload(t.Context()); err != nil || got != "nothing changed" {
		t.Errorf("reload of the same: %q, %v", got, err)
	}
	write(strings.Replace(twoLinks, "[admin]", "max_age = \"1h\"\n[admin]", 1) + "[link.c]\nplugin = \"wire\"\n[[route]]\nfrom = \"b:room\"\nto = [\"c:room\"]\n")
	got, err := c.Reload(t.Context())
	for _, want := range []string{"link c is added", "route ends: a:room -> b:room", "route is added: b:room -> c:room", "only after a restart: host.max_age"} {
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("reload: %q, %v; want %q", got, err, want)
		}
	}
	next := r.next(t)
	b.say(t, "m1", "x", false)
	receive(t, next.got, "delivery by the new route")
	write(twoLinks + "[[route]]\nfrom = \"a:room\"\nto = [\"nobody:x\"]\n[link.d]\nplugin = \"wyre\"\n")
	if _, err := c.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), `"nobody"`) || !strings.Contains(err.Error(), `"wire"`) {
		t.Errorf("reload of a wrong file: %v", err)
	}
	b.say(t, "m2", "x", false)
	receive(t, next.got, "delivery after a refused reload")
	write(twoLinks + oneRoute)
	r.hup <- syscall.SIGHUP
	eventually(t, "the signal is heeded", func() bool {
		return len(r.config().Routes) == 1 && r.config().Routes[0].From == "a:room" && len(r.config().Links) == 2
	})
	a.say(t, "m3", "x", false)
	receive(t, b.got, "delivery by the old route")
}

// TestLinkThatEnds is started again; one that is restarted by hand is another
// instance, and a link that does not exist cannot be.
func TestLinkThatEnds(t *testing.T) {
	r := start(t, t.TempDir(), twoLinks+oneRoute, 2)
	c := r.client(t)
	r.links["b"].end <- errors.New("wire cut")
	second := r.next(t)
	if second.cfg.Link != "b" {
		t.Fatalf("link %s began, want b", second.cfg.Link)
	}
	st, err := c.Status(t.Context())
	if err != nil || len(st.Links) != 2 || st.Links[1].Restarts != 1 {
		t.Errorf("status %+v, %v", st, err)
	}
	if err := c.Restart(t.Context(), "b"); err != nil {
		t.Error(err)
	}
	third := r.next(t)
	if third == second {
		t.Error("the link was not started anew")
	}
	r.links["a"].say(t, "m1", "x", false)
	receive(t, third.got, "delivery to the third instance")
	if err := c.Restart(t.Context(), "nobody"); err == nil || !strings.Contains(err.Error(), "no such link") {
		t.Errorf("restart of no link: %v", err)
	}
	if err := third.host.Report(t.Context(), sdk.Report{State: sdk.StateDown, Reason: "cut again"}); err != nil {
		t.Error(err)
	}
	st, err = c.Status(t.Context())
	if err != nil || st.Ready || !strings.Contains(st.Reason, "link b is down") {
		t.Errorf("status %+v, %v", st, err)
	}
}

// TestResolveAcrossAGateway asks the other link, and believes it about its own
// network only.
func TestResolveAcrossAGateway(t *testing.T) {
	r := start(t, t.TempDir(), twoLinks+"[link.c]\nplugin = \"wire\"\n[[gateway]]\nlinks = [\"a\", \"b\"]\n", 3)
	a, b, c := r.links["a"], r.links["b"], r.links["c"]
	answer := func(home sdk.Ref) {
		b.set(func() {
			b.resolve = func(address string) (sdk.Resolved, error) {
				return sdk.Resolved{Actor: &sdk.Actor{ID: "forged", Puppet: "forged", Home: home, Name: "at " + address}}, nil
			}
		})
	}
	ask := func(l *wireLink, address string) (sdk.Resolved, sdk.Kind) {
		got, err := l.host.Resolve(t.Context(), address)
		return got, sdk.KindOf(err)
	}
	answer(sdk.Ref{ID: "juliet"})
	if got, kind := ask(a, "juliet"); got.Actor == nil || got.Actor.Home != (sdk.Ref{Link: "b", ID: "juliet"}) || got.Actor.Name != "at juliet" || got.Actor.ID != "" || got.Actor.Puppet != "" {
		t.Errorf("got %+v, %v", got.Actor, kind)
	}
	answer(sdk.Ref{Link: "a", ID: "romeo"})
	for _, k := range []struct {
		name, address string
		link          *wireLink
		want          sdk.Kind
	}{
		{"for another network", "romeo", a, sdk.Forbidden}, {"unknown", "tybalt", b, sdk.NotFound}, {"too long", strings.Repeat("x", maxAddress+1), a, sdk.TooLarge},
		{"without a gateway", "juliet", c, sdk.Unsupported},
	} {
		if _, kind := ask(k.link, k.address); kind != k.want {
			t.Errorf("%s: %v, want %v", k.name, kind, k.want)
		}
	}
	b.end <- &sdk.ConfigError{} // failed for good
	eventually(t, "the peer is missed", func() bool { _, kind := ask(a, "juliet"); return kind == sdk.Transient })
}

// TestMayEmit lets a filter speak where a rule uses it, and nowhere else.
func TestMayEmit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bridgehost.toml")
	text := twoLinks + "[link.f]\nplugin = \"wire\"\n[link.g]\nplugin = \"wire\"\n" +
		"[[route]]\nfrom = \"a:room\"\nto = [\"b:room\"]\nfilters = [\"f\"]\n[[gateway]]\nlinks = [\"a\", \"b\"]\nfilters = [\"g\"]\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path, "wire")
	if err != nil {
		t.Fatal(err)
	}
	h, err := New(cfg, map[string]sdk.Plugin{"wire": newWire()}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		filter, place string
		want          bool
	}{
		{"f", "a:room", true}, {"f", "b:room", true}, {"f", "a:hall", false}, {"g", "a:room", false},
		{"g", "a:romeo juliet", true}, {"g", "b:juliet romeo", true}, {"f", "a:romeo juliet", false}, {"g", "f:romeo juliet", false},
	} {
		ref, _ := sdk.ParseRef(c.place)
		if got := h.mayEmit(sdk.LinkID(c.filter))(ref); got != c.want {
			t.Errorf("%s may emit at %s: %v, want %v", c.filter, c.place, got, c.want)
		}
	}
}

// pair writes a certificate for 127.0.0.1 with its key.
func pair(t *testing.T, dir string, until time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPublicListenerWithTLS serves the operator's certificate and tells in the
// metrics when it ends.
func TestPublicListenerWithTLS(t *testing.T) {
	dir := t.TempDir()
	until := time.Now().Add(48 * time.Hour).Truncate(time.Second)
	pair(t, dir, until)
	r := start(t, dir, "[http]\nlisten = \"127.0.0.1:0\"\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n"+strings.Replace(twoLinks, "127.0.0.1:0", "localhost:0", 1), 2)
	text, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	get := func(c *http.Client, url string) (int, string) {
		t.Helper()
		resp, err := c.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	if code, _ := get(&http.Client{Transport: transport}, "https://"+r.web+"/nothing"); code != http.StatusNotFound {
		t.Errorf("status %d, want 404", code)
	}
	_, metrics := get(http.DefaultClient, "http://"+r.admin+"/metrics")
	for _, want := range []string{"bridgehost_cert_expiry_timestamp_seconds{certificate=\"public\"} " + strconv.FormatFloat(float64(until.Unix()), 'g', -1, 64),
		`bridgehost_plugin_up{plugin="a"} 1`, `bridgehost_queue_depth{plugin="b"} 0`, `bridgehost_http_requests_total{code="404",handler="none"} 1`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

// TestServiceManagerIsTold of the start, a reload and the end.
func TestServiceManagerIsTold(t *testing.T) {
	dir := t.TempDir()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", filepath.Join(dir, "notify"))
	r := start(t, dir, twoLinks, 2)
	want := func(state string) {
		t.Helper()
		if err := socket.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		n, err := socket.Read(buf)
		if err != nil || string(buf[:n]) != state {
			t.Errorf("told %q, %v; want %q", buf[:n], err, state)
		}
	}
	want("READY=1")
	r.hup <- syscall.SIGHUP
	want("RELOADING=1")
	want("READY=1")
	r.stop()
	want("STOPPING=1")
	t.Setenv("NOTIFY_SOCKET", filepath.Join(dir, "nobody"))
	if err := notify("READY=1"); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("without a listener: %v", err)
	}
}

// TestHostThatCannotStart says why: the data folder is in use, or an address.
func TestHostThatCannotStart(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir, twoLinks, 2)
	second := func(text string) error {
		t.Helper()
		path := filepath.Join(t.TempDir(), "bridgehost.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(path, "wire")
		if err != nil {
			t.Fatal(err)
		}
		h, err := New(cfg, map[string]sdk.Plugin{"wire": newWire()}, Options{InProcess: true})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		return h.Run(ctx, nil)
	}
	for text, want := range map[string]string{
		strings.Replace(twoLinks, `data = "data"`, fmt.Sprintf("data = %q", filepath.Join(dir, "data")), 1): "another bridgehost is using",
		strings.Replace(twoLinks, `"127.0.0.1:0"`, fmt.Sprintf("%q", r.admin), 1):                           "choose another address",
		"[http]\nlisten = \"" + r.admin + "\"\n" + twoLinks:                                                 "choose another address",
	} {
		if err := second(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestMetricsCount: what links publish and take is counted by link, kind and result.
func TestMetricsCount(t *testing.T) {
	r := start(t, t.TempDir(), twoLinks+oneRoute, 2)
	r.links["a"].say(t, "m1", "hello", true)
	r.links["a"].say(t, "m1", "hello", true)
	receive(t, r.links["b"].got, "a delivery")
	receive(t, r.links["a"].told, "its outcome")
	r.links["b"].say(t, "m2", "nowhere", false)
	resp, err := http.Get("http://" + r.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`bridgehost_events_total{direction="in",kind="item-created",plugin="a",result="stored"} 1`,
		`bridgehost_events_total{direction="in",kind="item-created",plugin="a",result="duplicate"} 1`,
		`bridgehost_events_total{direction="in",kind="item-created",plugin="b",result="unrouted"} 1`,
		`bridgehost_events_total{direction="out",kind="item-created",plugin="b",result="delivered"} 1`,
		`bridgehost_delivery_seconds_count{plugin="b"} 1`,
	} {
		if !strings.Contains(string(body), want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}
