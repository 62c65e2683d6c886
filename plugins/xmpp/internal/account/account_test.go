package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

const self = "bot@a.test"

// server plays the account's server: it has an archive of bodies whose ids are
// their indices, and answers in the goroutine that asks.
type server struct {
	t       *testing.T
	a       *Account
	archive []string
	store   map[string][]byte

	mu      sync.Mutex
	asked   []string // what the questions said
	sent    []string
	taken   []string
	pending []func() // marks, where the host takes nothing
	busy    bool
	answer  func(query string) error // before a page; nil = none
	skip    map[int]bool             // results that never come
}

func newServer(t *testing.T, change func(*Options)) *server {
	s := &server{t: t, store: map[string][]byte{}}
	s.again(change)
	return s
}

// again makes the account anew, as after a restart.
func (s *server) again(change func(*Options)) {
	o := Options{
		JID: self, Approval: ApprovePlaces, Talks: func(bare string) bool { return bare == "anna@a.test" },
		Take: func(_ context.Context, m *packet.Message) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.taken = append(s.taken, m.Body())
		},
		After: func(_ context.Context, done func()) error {
			s.mu.Lock()
			if s.busy {
				s.pending = append(s.pending, done)
				s.mu.Unlock()
				return nil
			}
			s.mu.Unlock()
			done()
			return nil
		},
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	s.a = New(o, s, s)
}

func (s *server) Get(_ context.Context, key string) ([]byte, error) { return s.store[key], nil }

func (s *server) Set(_ context.Context, key string, value []byte) error {
	s.store[key] = value
	return nil
}

func (s *server) Send(_ context.Context, p packet.Stanza) error {
	if p, ok := p.(*packet.Presence); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sent = append(s.sent, strings.TrimSpace(p.Type+" "+p.To))
	}
	return nil
}

func (s *server) IQ(_ context.Context, iq *packet.IQ) (*packet.IQ, error) {
	if iq.Payload.Name.Local == "enable" {
		return iq.Reply(xmltok.Element{}), nil
	}
	set, _ := iq.Payload.Child("http://jabber.org/protocol/rsm", "set")
	after, most := set.ChildText("http://jabber.org/protocol/rsm", "after"), set.ChildText("http://jabber.org/protocol/rsm", "max")
	_, back := set.Child("http://jabber.org/protocol/rsm", "before")
	_, form := iq.Payload.Child("jabber:x:data", "x")
	what := fmt.Sprintf("after=%s back=%v start=%v", after, back, form)
	s.mu.Lock()
	s.asked = append(s.asked, what)
	answer := s.answer
	s.mu.Unlock()
	if answer != nil {
		if err := answer(what); err != nil {
			return nil, err
		}
	}
	n, err := strconv.Atoi(most)
	if err != nil {
		s.t.Errorf("max %q", most)
	}
	from := 0
	if after != "" {
		at, err := strconv.Atoi(after)
		if err != nil || at >= len(s.archive) {
			return nil, &packet.Error{Type: "cancel", Condition: "item-not-found"}
		}
		from = at + 1
	}
	if back {
		from = max(0, len(s.archive)-n)
	}
	to := min(from+n, len(s.archive))
	query := iq.Payload.Get("queryid")
	for i := from; i < to; i++ {
		if !s.skip[i] {
			s.a.HandleMessage(s.result(query, self, i))
		}
	}
	fin := fmt.Sprintf(`<fin xmlns="urn:xmpp:mam:2" complete="%v"><set xmlns="http://jabber.org/protocol/rsm">`, to == len(s.archive))
	if to > from {
		fin += fmt.Sprintf(`<first>%d</first><last>%d</last>`, from, to-1)
	}
	return iq.Reply(parse(s.t, fin+`</set></fin>`)), nil
}

func parse(t *testing.T, text string) xmltok.Element {
	t.Helper()
	e, err := xmltok.ParseIn([]byte(text), packet.NSClient, xmltok.ComponentLimits())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func message(t *testing.T, text string) *packet.Message {
	t.Helper()
	st, err := packet.Decode(parse(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return st.(*packet.Message)
}

// result is message i of the archive, as from sends it.
func (s *server) result(query, from string, i int) *packet.Message {
	return message(s.t, fmt.Sprintf(`<message from=%q to=%q><result xmlns="urn:xmpp:mam:2" queryid=%q id="%d"><forwarded xmlns="urn:xmpp:forward:0">`+
		`<delay xmlns="urn:xmpp:delay" stamp="2000-01-01T00:00:00Z"/><message xmlns="jabber:client" from="anna@a.test/x" to=%q type="chat"><body>%s</body></message>`+
		`</forwarded></result></message>`, from, self+"/r", query, i, self, s.archive[i]))
}

// say puts a message into the archive, and brings it if live.
func (s *server) say(text string, live bool) {
	s.archive = append(s.archive, text)
	if !live {
		return
	}
	m := message(s.t, fmt.Sprintf(`<message from="anna@a.test/x" to=%q type="chat"><body>%s</body><stanza-id xmlns="urn:xmpp:sid:0" by=%q id="%d"/></message>`,
		self, text, self, len(s.archive)-1))
	if !s.a.HandleMessage(m) {
		s.mu.Lock()
		s.taken = append(s.taken, text)
		s.mu.Unlock()
		s.a.Handled(context.Background(), m)
	}
}

// answers names what happens before a page from now on.
func (s *server) answers(f func(query string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// run brings the stream up and runs the account until the returned function is called.
func (s *server) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	s.a.StreamUp(false)
	go func() { done <- s.a.Run(ctx) }()
	synctest.Wait()
	return func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("Run: %v", err)
		}
	}
}

func (s *server) check(want ...string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.taken, want) {
		s.t.Errorf("taken %q, want %q; asked %q", s.taken, want, s.asked)
	}
	s.taken = nil
}

// The first start hears nothing of what was before; later ones hear exactly what
// came meanwhile, page by page, and live messages in the archive once.
func TestHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, nil)
		s.say("old", false)
		stop := s.run()
		s.check()
		s.say("one", true)
		s.check("one")
		stop()
		var want []string
		for i := range 250 {
			s.say(fmt.Sprint(i), false)
			want = append(want, fmt.Sprint(i))
		}
		s.again(nil)
		live := false
		s.answer = func(string) error {
			if !live { // in the archive's pages and on the stream
				live = true
				s.say("live", true)
			}
			return nil
		}
		stop = s.run()
		s.check(append(want, "live")...)
		s.say("after", true)
		s.check("after")
		stop()
		if at := string(s.store[storeKey]); !strings.Contains(at, `"id":"253"`) {
			t.Errorf("position %s, want 253", at)
		}
	})
}

// What the host has not taken does not move the position.
func TestPositionWaitsForTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, nil)
		stop := s.run()
		s.say("one", true)
		time.Sleep(2 * saveEvery)
		synctest.Wait()
		s.mu.Lock()
		s.busy = true
		s.mu.Unlock()
		s.say("two", true)
		time.Sleep(2 * saveEvery)
		synctest.Wait()
		if at := string(s.store[storeKey]); !strings.Contains(at, `"id":"0"`) {
			t.Errorf("position %s, want 0", at)
		}
		s.mu.Lock()
		s.busy = false
		s.mu.Unlock()
		for _, done := range s.pending {
			done()
		}
		time.Sleep(2 * saveEvery)
		synctest.Wait()
		if at := string(s.store[storeKey]); !strings.Contains(at, `"id":"1"`) {
			t.Errorf("position %s, want 1", at)
		}
		stop()
	})
}

// An archive that has forgotten our position is read by time.
func TestForgottenPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, nil)
		stop := s.run()
		s.say("one", true)
		s.say("two", true)
		stop()
		s.check("one", "two")
		s.archive = nil
		s.say("new", false)
		s.again(nil)
		stop = s.run()
		defer stop()
		s.check("new")
		if want := "after= back=false start=true"; s.asked[len(s.asked)-1] != want {
			t.Errorf("asked %q, want %q at last", s.asked, want)
		}
	})
}

// An archive that does not answer holds live messages up for a while only; the
// hole is read later, and what was live meanwhile comes again for the host to
// know it.
func TestArchiveIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, nil)
		stop := s.run()
		s.say("one", true)
		stop()
		s.check("one")
		s.say("missed", false)
		s.again(nil)
		s.answer = func(string) error { return errors.New("no answer") }
		stop = s.run()
		defer stop()
		s.say("live", true)
		s.check()
		time.Sleep(time.Minute / 2)
		synctest.Wait()
		s.check("live")
		s.answers(nil)
		time.Sleep(2 * tryAgain)
		synctest.Wait()
		s.check("missed", "live")
		s.say("after", true)
		s.check("after")
	})
}

// A server without an archive is no reason to wait.
func TestNoArchive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, nil)
		s.answer = func(string) error {
			s.say("live", true)
			return &packet.Error{Type: "cancel", Condition: "service-unavailable"}
		}
		stop := s.run()
		defer stop()
		s.check("live")
		s.say("next", true)
		s.check("next")
	})
}

// A result that the stream has skipped does not hold up the others.
func TestSkippedResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, nil)
		stop := s.run()
		s.say("one", true)
		stop()
		s.check("one")
		s.say("two", false)
		s.say("huge", false)
		s.skip = map[int]bool{2: true}
		s.again(nil)
		stop = s.run()
		time.Sleep(time.Minute)
		synctest.Wait()
		s.check("two")
		stop()
		s.again(nil)
		defer s.run()()
		s.check()
	})
}

// More live messages than may wait are read from the archive, in their place.
func TestMoreThanMayWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, nil)
		stop := s.run()
		s.say("first", true)
		stop()
		s.check("first")
		s.again(nil)
		var want []string
		s.answer = func(string) error {
			s.answers(nil)
			for i := range maxHeld + 500 {
				s.say(fmt.Sprint(i), true)
				want = append(want, fmt.Sprint(i))
			}
			return nil
		}
		defer s.run()()
		s.check(want...)
	})
}

// Bounds: what is older than may be caught up, or more, is left out.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, nil)
		stop := s.run()
		s.say("one", true)
		stop()
		s.check("one")
		for i := range 350 {
			s.say(fmt.Sprint(i), false)
		}
		s.again(func(o *Options) { o.MaxCount = 150 })
		stop = s.run()
		if n := len(s.taken); n != 200 {
			t.Errorf("%d taken, want two pages", n)
		}
		s.taken = nil
		stop()
		s.say("more", false)
		s.again(nil)
		stop = s.run()
		s.check("more")
		stop()
		s.say("unwanted", false)
		s.again(func(o *Options) { o.MaxAge = -1 })
		defer s.run()()
		s.check()
	})
}

// XM-07: results count only from our own archive, and for a question under way.
func TestForgedResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, nil)
		stop := s.run()
		s.say("one", true)
		stop()
		s.check("one")
		s.say("real", false)
		s.again(nil)
		s.answer = func(string) error {
			s.a.mu.Lock()
			query := s.a.query
			s.a.mu.Unlock()
			for _, from := range []string{"mallory@evil.test", "a.test", self + ".evil.test"} {
				if s.a.HandleMessage(s.result(query, from, 0)) {
					t.Errorf("result from %s was taken", from)
				}
			}
			if s.a.HandleMessage(s.result("bh-other", self, 0)) {
				t.Error("result of no question was taken")
			}
			return nil
		}
		defer s.run()()
		s.check("real")
	})
}

// XM-06: only copies from our own account move the position.
func TestCarbonsMoveThePosition(t *testing.T) {
	carbon := `<message from=%q to="bot@a.test/r"><received xmlns="urn:xmpp:carbons:2"><forwarded xmlns="urn:xmpp:forward:0">` +
		`<message xmlns="jabber:client" from="anna@a.test/x" to="bot@a.test/other" type="chat"><body>hi</body><stanza-id xmlns="urn:xmpp:sid:0" by="bot@a.test" id="7"/></message></forwarded></received></message>`
	s := newServer(t, nil)
	for from, want := range map[string]string{self: "7", "mallory@evil.test": ""} {
		if got := s.a.archiveID(message(t, fmt.Sprintf(carbon, from))); got != want {
			t.Errorf("id of a copy from %s is %q, want %q", from, got, want)
		}
	}
}

// Requests for presence are answered as the operator wants.
func TestApproval(t *testing.T) {
	for _, c := range []struct {
		approve Approval
		from    string
		want    []string
	}{
		{ApprovePlaces, "anna@a.test", []string{"subscribed anna@a.test", "subscribe anna@a.test"}},
		{ApprovePlaces, "boris@a.test", []string{"unsubscribed boris@a.test"}},
		{ApproveNobody, "anna@a.test", []string{"unsubscribed anna@a.test"}},
		{ApproveEverybody, "boris@a.test", []string{"subscribed boris@a.test", "subscribe boris@a.test"}},
	} {
		s := newServer(t, func(o *Options) { o.Approval = c.approve })
		if !s.a.HandlePresence(t.Context(), &packet.Presence{Attrs: packet.Attrs{From: c.from + "/x", Type: "subscribe"}}) {
			t.Errorf("%s: not handled", c.approve)
		}
		if !slices.Equal(s.sent, c.want) {
			t.Errorf("%s: answered %q, want %q", c.approve, s.sent, c.want)
		}
		if s.a.HandlePresence(t.Context(), &packet.Presence{Attrs: packet.Attrs{From: c.from}}) {
			t.Error("presence itself was taken")
		}
	}
}
