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
	t      testing.TB
	host   *sdktest.Host
	link   *link
	web    *httptest.Server
	domain string
	people map[string]sdk.Actor
	events int
}

// newServer starts a link for the people of a domain of the other network.
func newServer(t testing.TB, local string, extra map[string]any) *server {
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
			w.WriteHeader(http.StatusInternalServerError)
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
	w.WriteHeader(http.StatusNotFound)
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
func pair(t testing.TB) (a, b *server) {
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

// follow lets Romeo follow Juliet, and gives both handles.
func follow(t *testing.T, a, b *server) (atA, atB string) {
	t.Helper()
	atA, atB = "juliet@"+a.domain, "romeo@"+b.domain
	b.deliver(sdk.PeerPlace(atA, romeo), romeo, sdk.FollowAsked{Object: sdk.Ref{Link: "fedi", ID: sdk.RemoteID(atA)}})
	ev := a.next()
	if c, ok := ev.Change.(sdk.FollowAsked); !ok || c.Object != (sdk.Ref{Link: "home", ID: juliet}) || ev.Place.ID != sdk.PeerPlace(atB, juliet) {
		t.Fatalf("the wish to follow = %+v", ev)
	}
	a.deliver(sdk.PeerPlace(atB, juliet), juliet, sdk.FollowAnswered{Follower: sdk.Ref{Link: "fedi", ID: sdk.RemoteID(atB)}, Accepted: true})
	ev = b.next()
	if c, ok := ev.Change.(sdk.FollowAnswered); !ok || !c.Accepted || c.Follower != (sdk.Ref{Link: "home", ID: romeo}) || ev.Place.ID != sdk.PeerPlace(atA, romeo) {
		t.Fatalf("the answer = %+v", ev)
	}
	return atA, atB
}

func TestFeed(t *testing.T) {
	a, b := pair(t)
	atA, atB := follow(t, a, b)
	feed := sdk.PeerPlace(sdk.PeerAll, juliet)
	post := sdk.Item{ID: "p1", Text: sdk.NewText("What's in a name?"), Visibility: sdk.VisibilityPublic, Created: time.Now()}
	r := a.deliver(feed, juliet, sdk.ItemCreated{Item: post})
	if want := sdk.RemoteID(inboxPrefix + b.link.site.SharedInbox()); len(r.Spread) != 1 || r.Spread[0] != want {
		t.Errorf("spread to %v, want %s", r.Spread, want)
	}
	ev := b.next()
	it := ev.Item()
	if it == nil || it.Body() != "What's in a name?" || it.Visibility != sdk.VisibilityPublic || ev.Place.ID != sdk.PeerPlace(atA, sdk.PeerAll) {
		t.Fatalf("post = %+v", ev)
	}
	target := sdk.Target{Remote: it.Origin.ID}

	// a public answer by Romeo, whom Juliet does not follow, reaches her all the same
	b.deliver(sdk.PeerPlace(sdk.PeerAll, romeo), romeo, sdk.ItemCreated{Item: sdk.Item{ID: "p2", Text: sdk.NewText("A rose"), ReplyTo: target, Visibility: sdk.VisibilityPublic, Created: time.Now()}})
	if ev := a.next(); ev.Item() == nil || ev.Item().ReplyTo != target || ev.Place.ID != sdk.PeerPlace(atB, sdk.PeerAll) {
		t.Errorf("answer = %+v", ev)
	}
	path := strings.TrimPrefix(string(target.Remote), a.web.URL)
	if status, body, _ := a.get(strings.Replace(path, "/o/", "/r/", 1), "application/activity+json"); status != 200 || !strings.Contains(body, b.web.URL) {
		t.Errorf("answers: %d %s", status, body)
	}

	// likes and boosts, and their ends
	for _, reactions := range [][]string{{"❤"}, {"❤", "🌹"}, {}} {
		b.deliver(sdk.PeerPlace(sdk.PeerAll, romeo), romeo, sdk.ReactionsSet{Target: target, Reactions: reactions})
	}
	var sets []string
	for range 4 {
		ev := a.next()
		c, _ := ev.Change.(sdk.ReactionsSet)
		sets = append(sets, strings.Join(c.Reactions, ""))
	}
	if got := strings.Join(sets, "|"); got != "❤|❤🌹|🌹|" && got != "❤|❤🌹|❤|" {
		t.Errorf("reactions = %q", got)
	}
	b.deliver(sdk.PeerPlace(sdk.PeerAll, romeo), romeo, sdk.Shared{Target: target})
	if c, ok := a.next().Change.(sdk.Shared); !ok || c.Target != target {
		t.Errorf("boost = %+v", c)
	}
	b.deliver(sdk.PeerPlace(sdk.PeerAll, romeo), romeo, sdk.Unshared{Target: target})
	if c, ok := a.next().Change.(sdk.Unshared); !ok || c.Target != target {
		t.Errorf("end of the boost = %+v", c)
	}

	// an edit, a new profile, a deletion
	post.Text = sdk.NewText("What is in a name?")
	a.deliver(feed, juliet, sdk.ItemUpdated{Target: sdk.Target{Item: "p1", Remote: target.Remote}, Item: post})
	if c, ok := b.next().Change.(sdk.ItemUpdated); !ok || c.Item.Body() != "What is in a name?" {
		t.Errorf("edit = %+v", c)
	}
	a.add(juliet, sdk.Actor{Name: "Juliet Montague"})
	a.deliver(feed, juliet, sdk.ActorUpdated{})
	if ev := b.next(); ev.Kind() != sdk.KindActorUpdated || ev.Actor.Name != "Juliet Montague" {
		t.Errorf("profile = %+v", ev)
	}
	a.deliver(feed, juliet, sdk.ItemRetracted{Target: sdk.Target{Item: "p1", Remote: target.Remote}})
	if c, ok := b.next().Change.(sdk.ItemRetracted); !ok || c.Target != target {
		t.Errorf("deletion = %+v", c)
	}
	b.quiet()
}

func TestEndOfFollow(t *testing.T) {
	a, b := pair(t)
	atA, atB := follow(t, a, b)
	b.deliver(sdk.PeerPlace(atA, romeo), romeo, sdk.Unfollowed{Object: sdk.Ref{Link: "fedi", ID: sdk.RemoteID(atA)}})
	if ev := a.next(); ev.Kind() != sdk.KindUnfollowed || ev.Place.ID != sdk.PeerPlace(atB, juliet) {
		t.Errorf("unfollow = %+v", ev)
	}
	r := a.deliver(sdk.PeerPlace(sdk.PeerAll, juliet), juliet, sdk.ItemCreated{Item: sdk.Item{ID: "p9", Text: sdk.NewText("Alone"), Visibility: sdk.VisibilityPublic}})
	if len(r.Spread) > 0 {
		t.Errorf("after the end, posts go to %v", r.Spread)
	}
	// a block reaches the other side, and what the blocked one says no longer comes
	a.deliver(sdk.PeerPlace(atB, juliet), juliet, sdk.Blocked{Object: sdk.Ref{Link: "fedi", ID: sdk.RemoteID(atB)}})
	if ev := b.next(); ev.Kind() != sdk.KindBlocked {
		t.Errorf("block = %+v", ev)
	}
	b.deliver(sdk.PeerPlace(atA, romeo), romeo, sdk.ItemCreated{Item: sdk.Item{ID: "i9", Text: sdk.NewText("Hear me")}})
	a.quiet()
	a.deliver(sdk.PeerPlace(atB, juliet), juliet, sdk.Unblocked{Object: sdk.Ref{Link: "fedi", ID: sdk.RemoteID(atB)}})
	if ev := b.next(); ev.Kind() != sdk.KindUnblocked {
		t.Errorf("unblock = %+v", ev)
	}
	b.deliver(sdk.PeerPlace(atA, romeo), romeo, sdk.Reported{Object: sdk.Ref{Link: "fedi", ID: sdk.RemoteID(atA)}, Text: "poison"})
	if c, ok := a.next().Change.(sdk.Reported); !ok || c.Text != "poison" || c.Object.ID != juliet {
		t.Errorf("report = %+v", c)
	}
	a.deliver(sdk.PeerPlace(sdk.PeerAll, juliet), juliet, sdk.ActorGone{})
	if status, body, _ := a.get("/ap/u/juliet", "application/activity+json"); status != 410 {
		t.Errorf("a deleted actor: %d %s", status, body)
	}
}

func TestResolve(t *testing.T) {
	a, b := pair(t)
	b.add("shy@chat.example", sdk.Actor{Name: "Shy", Summary: sdk.NewText("#nobridge")})
	r, err := a.link.Resolve(t.Context(), "@Romeo@"+b.domain)
	if err != nil || r.Actor == nil || r.Actor.Name != "Romeo" || string(r.Actor.Home.ID) != "romeo@"+b.domain {
		t.Errorf("Resolve = %+v, %v", r.Actor, err)
	}
	for _, address := range []string{"nobody@" + b.domain, "shy@" + b.domain, "juliet@" + a.domain, "no handle"} {
		if r, err := a.link.Resolve(t.Context(), address); sdk.KindOf(err) != sdk.NotFound {
			t.Errorf("Resolve(%q) = %+v, %v", address, r.Actor, err)
		}
	}
}
