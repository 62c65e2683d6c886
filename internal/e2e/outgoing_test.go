package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"bridgehost/internal/itest"
)

// receiver takes outgoing hooks and checks their signatures.
type receiver struct {
	t      *testing.T
	secret string
	refuse int // so many requests are answered 503

	mu      sync.Mutex
	ids     map[string]int // attempts by webhook-id
	texts   []string       // of what was accepted, in order
	authors []string
	more    chan struct{} // cap 1
}

// ServeHTTP implements http.Handler. Signature: Standard Webhooks.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		r.t.Error(err)
	}
	id, at := req.Header.Get("webhook-id"), req.Header.Get("webhook-timestamp")
	mac := hmac.New(sha256.New, []byte(r.secret))
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); req.Header.Get("webhook-signature") != want {
		r.t.Errorf("signature %q, want %q", req.Header.Get("webhook-signature"), want)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids[id]++
	if r.refuse > 0 {
		r.refuse--
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var doc struct {
		Version int
		ID      string
		Kind    string
		Actor   struct{ Name string }
		Item    struct{ Text string }
	}
	if err := json.Unmarshal(body, &doc); err != nil || doc.Version != 1 || doc.Kind != "item-created" || doc.ID != id {
		r.t.Errorf("body %s (%v) under the id %s", body, err, id)
	}
	r.texts, r.authors = append(r.texts, doc.Item.Text), append(r.authors, doc.Actor.Name)
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// TestOutgoingHook posts what is said in a room to an HTTP server: signed, in
// order, and again after 503 under the same id.
func TestOutgoingHook(t *testing.T) {
	server := itest.Prosody(t, itest.Options{Components: map[string]string{"bridge.test": secret}, Users: map[string]string{"anna": "pw"}})
	room := server.Room("tea")
	anna := itest.Slix(t, server.Account("anna"))
	anna.Join(room, "Anna")
	r := &receiver{t: t, secret: "a plain secret", refuse: 2, ids: map[string]int{}, more: make(chan struct{}, 1)}
	peer := httptest.NewServer(r)
	t.Cleanup(peer.Close)
	b := newBridge(t, withSecret(t, xmppLink("home", server, "bridge.test")+fmt.Sprintf("[link.hooks]\nplugin = \"webhook\"\n"+
		"[link.hooks.config.out.archive]\nurl = %q\nsecret = %q\nallow_private = true\n\n", peer.URL+"/in", r.secret)+
		oneWay("home:"+room, "hooks:archive", "")))
	b.start()
	b.ready()
	b.waitPlace("home", room, "up", "")
	const messages = 30
	want := make([]string, messages)
	for i := range want {
		want[i] = fmt.Sprintf("message %d <&>", i)
		anna.SendGroupchat(room, want[i])
	}
	b.until("all are posted", func() bool {
		<-r.more
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.texts) >= messages
	})
	b.drained()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.texts, want) {
		t.Errorf("posted %q", r.texts)
	}
	if len(r.ids) != messages {
		t.Errorf("%d ids for %d messages: a repeated attempt must keep its id", len(r.ids), messages)
	}
	for i, a := range r.authors {
		if a != "Anna" {
			t.Errorf("message %d is by %q, want Anna", i, a)
		}
	}
}
