package activitypub

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/sdktest"
	"bridgehost/sdk/web"
)

// server is a link behind a listener with TLS, as the host would run it.
type server struct {
	t      *testing.T
	host   *sdktest.Host
	link   *link
	web    *httptest.Server
	domain string
	people map[string]sdk.Actor
	events int
}

// newServer starts a link for the people of a domain of the other network.
func newServer(t *testing.T, local string, extra map[string]any) *server {
	t.Helper()
	s := &server{t: t, people: map[string]sdk.Actor{}}
	s.web = httptest.NewTLSServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.web.Close)
	s.domain = strings.TrimPrefix(s.web.URL, "https://")
	s.host = sdktest.NewHost(slog.New(slog.NewTextHandler(t.Output(), nil)))
	s.host.AnswerResolve(func(address string) (sdk.Resolved, error) {
		a, ok := s.people[address]
		if !ok {
			return sdk.Resolved{}, sdk.Errorf(sdk.NotFound, "resolve", "nobody")
		}
		return sdk.Resolved{Actor: &a}, nil
	})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.web.Certificate().Raw})
	if err := os.WriteFile(ca, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	table := map[string]any{"local_domains": []string{local}, "allow_private": true, "ca_file": ca}
	for k, v := range extra {
		table[k] = v
	}
	data, err := json.Marshal(table)
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(Options{}).Open(sdk.Config{Link: "fedi", JSON: data, Gateway: "home", PublicURL: s.web.URL, Dir: t.TempDir()}, s.host)
	if err != nil {
		t.Fatal(err)
	}
	s.link = l.(*link)
	return s
}

func (s *server) add(name string, a sdk.Actor) {
	a.Home = sdk.Ref{Link: "home", ID: sdk.RemoteID(name)}
	a.Handle = name
	s.people[name] = a
}

// serve does what the host's listener does.
func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	for _, route := range s.link.WebRoutes() {
		rest, ok := strings.CutPrefix(r.URL.Path, route.Prefix)
		if !ok {
			continue
		}
		resp, err := s.link.ServeWeb(r.Context(), &web.Request{Method: r.Method, Path: rest, Prefix: route.Prefix, Target: r.URL.RequestURI(),
			Host: r.Host, Query: r.URL.Query(), Header: r.Header, Body: body, Client: netip.MustParseAddr("127.0.0.1")})
		if err != nil {
			s.t.Errorf("%s %s: %v", r.Method, r.URL, err)
			w.WriteHeader(500)
			return
		}
		for k, v := range resp.Header {
			w.Header()[k] = v
		}
		w.WriteHeader(resp.Status)
		_, _ = w.Write(resp.Body)
		if resp.Status >= 400 {
			s.t.Logf("%s %s: %d %s", r.Method, r.URL, resp.Status, resp.Body)
		}
		return
	}
	w.WriteHeader(404)
}

// deliver hands an event of one of our people to the link, and what it is spread to as well.
func (s *server) deliver(place sdk.RemoteID, who string, change sdk.Change) sdk.Receipt {
	s.t.Helper()
	s.events++
	ev := sdk.Event{ID: sdk.EventID("e" + string(rune('0'+s.events/10)) + string(rune('0'+s.events%10))), Time: time.Now(), Actor: s.people[who], Change: change}
	r := s.once(sdk.Delivery{ID: "d", Place: place, Event: ev, Attempt: 1})
	if r.Err != nil {
		s.t.Fatalf("deliver %s: %v", ev.Kind(), r.Err)
	}
	for _, to := range r.Spread {
		if r := s.once(sdk.Delivery{ID: "d", Place: to, Event: ev, Attempt: 1}); r.Err != nil {
			s.t.Fatalf("deliver %s to %s: %v", ev.Kind(), to, r.Err)
		}
	}
	return r
}

func (s *server) once(d sdk.Delivery) sdk.Receipt {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	rs, err := s.link.Deliver(ctx, []sdk.Delivery{d})
	if err != nil || len(rs) != 1 {
		s.t.Fatalf("deliver: %v, %v", rs, err)
	}
	return rs[0]
}

// next gives the event that the link published next.
func (s *server) next() sdk.Event {
	s.t.Helper()
	select {
	case ev := <-s.host.Events():
		return ev
	case <-time.After(10 * time.Second):
		s.t.Fatalf("no event came; the inbox counted %v", s.link.inbox.Counts())
	}
	return sdk.Event{}
}

func (s *server) quiet() {
	s.t.Helper()
	select {
	case ev := <-s.host.Events():
		s.t.Fatalf("an event came: %+v", ev)
	default:
	}
}

func (s *server) get(path, accept string) (int, string, http.Header) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.web.URL+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	client := s.web.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), resp.Header
}

// pair gives two links that are servers to one another: Juliet's and Romeo's.
func pair(t *testing.T) (a, b *server) {
	a, b = newServer(t, "xmpp.example", nil), newServer(t, "chat.example", nil)
	a.add("juliet@xmpp.example", sdk.Actor{Name: "Juliet", Summary: sdk.NewText("A Capulet")})
	b.add("romeo@chat.example", sdk.Actor{Name: "Romeo"})
	return a, b
}

const (
	juliet = "juliet@xmpp.example"
	romeo  = "romeo@chat.example"
)

func TestDirectMessage(t *testing.T) {
	a, b := pair(t)
	far := "romeo@" + b.domain
	r := a.deliver(sdk.PeerPlace(far, juliet), juliet, sdk.ItemCreated{Item: sdk.Item{ID: "i1", Text: sdk.NewText("Art thou not Romeo?"), Created: time.Now()}})
	ev := b.next()
	c, ok := ev.Change.(sdk.ItemCreated)
	if !ok || c.Item.Body() != "Art thou not Romeo?" || c.Item.Visibility != sdk.VisibilityDirect {
		t.Fatalf("event = %+v", ev)
	}
	self := "juliet@" + a.domain
	if want := sdk.PeerPlace(self, romeo); ev.Place.ID != want || string(ev.Actor.Home.ID) != self || ev.Actor.Name != "Juliet" {
		t.Errorf("place %q of %q (%s), want %q", ev.Place.ID, ev.Actor.Home.ID, ev.Actor.Name, want)
	}
	if len(r.Copies) != 1 || r.Copies[0].Remote != c.Item.Origin.ID {
		t.Errorf("copies = %v, the other side has %q", r.Copies, c.Item.Origin.ID)
	}
	path := strings.TrimPrefix(string(c.Item.Origin.ID), a.web.URL)
	if status, body, _ := a.get(path, "application/activity+json"); status != 404 {
		t.Errorf("everybody can read the direct message: %d %s", status, body)
	}

	// the answer, an edit and a deletion
	b.deliver(sdk.PeerPlace(self, romeo), romeo, sdk.ItemCreated{Item: sdk.Item{ID: "i2", Text: sdk.NewText("Neither"), ReplyTo: sdk.Target{Remote: c.Item.Origin.ID}, Created: time.Now()}})
	back := a.next()
	if it := back.Item(); it == nil || it.ReplyTo.Remote != r.Copies[0].Remote {
		t.Errorf("the answer = %+v", back.Change)
	}
	a.deliver(sdk.PeerPlace(far, juliet), juliet, sdk.ItemUpdated{Target: sdk.Target{Item: "i1", Remote: r.Copies[0].Remote}, Item: sdk.Item{ID: "i1", Text: sdk.NewText("Art thou Romeo?")}})
	if u, ok := b.next().Change.(sdk.ItemUpdated); !ok || u.Item.Body() != "Art thou Romeo?" || u.Target.Remote != c.Item.Origin.ID {
		t.Errorf("the edit = %+v", u)
	}
	b.deliver(sdk.PeerPlace(self, romeo), romeo, sdk.ReactionsSet{Target: sdk.Target{Remote: c.Item.Origin.ID}, Reactions: []string{"🌹"}})
	reacted := a.next()
	if s, ok := reacted.Change.(sdk.ReactionsSet); !ok || len(s.Reactions) != 1 || s.Reactions[0] != "🌹" || reacted.Place.ID != sdk.PeerPlace(far, juliet) {
		t.Errorf("the reaction = %+v", reacted)
	}
	a.deliver(sdk.PeerPlace(far, juliet), juliet, sdk.ItemRetracted{Target: sdk.Target{Item: "i1", Remote: r.Copies[0].Remote}})
	if d, ok := b.next().Change.(sdk.ItemRetracted); !ok || d.Target.Remote != c.Item.Origin.ID {
		t.Errorf("the deletion = %+v", d)
	}
	if status, body, _ := a.get(path, "application/activity+json"); status != 410 || !strings.Contains(body, "Tombstone") {
		t.Errorf("after deletion: %d %s", status, body)
	}
}
