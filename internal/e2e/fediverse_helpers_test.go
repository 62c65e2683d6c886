package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bridgehost/internal/itest"
)

// The two people of the fediverse suite.
const (
	xmppUser = "juliet"
	fediUser = "alice"
)

// fediverse is bridgehost between a user of Prosody and actors of Fedify, an independent fediverse server.
type fediverse struct {
	bridge *bridge
	host   string // of the handles that bridgehost serves
	juliet *side  // juliet.peer is alice as an address of XMPP
	peer   *itest.Fedify
}

// newFediverse starts all three.
func newFediverse(t *testing.T, opts itest.FedifyOptions, settings string) *fediverse {
	t.Helper()
	if opts.Users == nil {
		opts.Users = []string{fediUser}
	}
	f := &fediverse{peer: itest.StartFedify(t, opts)}
	server := itest.Prosody(t, gatewayOptions("127.0.0.2", "one.test", xmppUser))
	f.juliet = &side{server: server, bridge: "bridge.one.test"}
	f.juliet.peer = f.virtual(fediUser)
	var err error
	if f.host, err = itest.FreeAddress("127.0.0.5"); err != nil {
		t.Fatal(err)
	}
	f.bridge = newBridge(t, "")
	cert := itest.Certificate(t, t.TempDir(), "127.0.0.5")
	f.bridge.public = "https://" + f.host
	f.bridge.configure(fmt.Sprintf("[host]\ndata = %q\n\n[http]\nlisten = %q\npublic_url = %q\ncertificate = %q\nkey = %q\n\n[admin]\nlisten = %q\n\n",
		filepath.Join(f.bridge.dir, "data"), f.host, f.bridge.public, cert.CertFile, cert.KeyFile, strings.TrimPrefix(f.bridge.admin, "http://")) +
		withSecret(t, gatewayLink("home", server, f.juliet.bridge)) +
		fmt.Sprintf("[link.fedi]\nplugin = \"activitypub\"\n[link.fedi.config]\nlocal_domains = [\"one.test\"]\nallow_private = true\nca_file = %q\n%s\n\n", cert.CAFile, settings) +
		"[[gateway]]\nlinks = [\"home\", \"fedi\"]\n")
	f.bridge.start()
	f.bridge.ready()
	f.juliet.login(t, xmppUser)
	return f
}

// virtual is a user of the peer as an address of XMPP. XEP-0106 also escapes the colon before a port.
func (f *fediverse) virtual(user string) string {
	return strings.ReplaceAll(virtual(f.peer.Handle(user), f.juliet.bridge), ":", `\3a`)
}

// handle is juliet as the fediverse writes her.
func (f *fediverse) handle() string { return xmppUser + "@" + f.host }

// actor is the address of juliet's actor, as the peer finds it.
func (f *fediverse) actor() string {
	var doc struct{ ID string }
	f.peer.Do("lookup", itest.FedifyArgs{"user": fediUser, "object": f.handle()}, &doc)
	return doc.ID
}

// part runs a subtest whose waits are its own.
func (f *fediverse) part(t *testing.T, name string, run func(t *testing.T, f *fediverse)) {
	t.Run(name, func(t *testing.T) {
		f.juliet.user.In(t)
		f.peer.In(t)
		run(t, f)
	})
}

// send has alice do something.
func (f *fediverse) send(op string, args itest.FedifyArgs) itest.FedifySent {
	all := itest.FedifyArgs{"user": fediUser}
	for k, v := range args {
		all[k] = v
	}
	return f.peer.Send(op, all)
}

// waitEntry waits until juliet's client is told of an item of alice's microblog that has the text.
func (f *fediverse) waitEntry(text string) itest.Event {
	return f.juliet.user.Wait("entry "+text, func(e itest.Event) bool {
		return e.PubSub != nil && e.Room == f.juliet.peer && len(e.PubSub.Items) > 0 && strings.Contains(e.XML, text)
	})
}

// isAbout matches activities about an object.
func isAbout(object string) func(itest.FedifyEvent) bool {
	return func(e itest.FedifyEvent) bool { return e.ObjectID() == object }
}

// says matches activities whose object has the text.
func says(text string) func(itest.FedifyEvent) bool {
	return func(e itest.FedifyEvent) bool { return strings.Contains(e.Note().Content, text) }
}

// client speaks to bridgehost's public listener as a browser that trusts the tests' authority.
func (f *fediverse) client(t *testing.T) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(f.peer.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}
