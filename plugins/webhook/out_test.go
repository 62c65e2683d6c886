package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"bridgehost/plugins/webhook/internal/seal"
	"bridgehost/sdk"
	"bridgehost/sdk/netguard"
)

// receiver is a server that keeps what it gets and answers as told.
type receiver struct {
	*httptest.Server
	got    []*http.Request
	bodies []string
	answer func(w http.ResponseWriter, n int)
}

func newReceiver(t *testing.T) *receiver {
	rec := &receiver{answer: func(http.ResponseWriter, int) {}}
	rec.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		rec.got, rec.bodies = append(rec.got, r), append(rec.bodies, string(b))
		rec.answer(w, len(rec.got))
	}))
	t.Cleanup(rec.Close)
	return rec
}

func openOut(t *testing.T, url, members string) *rig {
	return open(t, fmt.Sprintf(`{"out":{"o":{"url":%q,"allow_addresses":["127.0.0.1"]%s}}}`, url, members))
}

func delivery(id, text string) sdk.Delivery {
	return sdk.Delivery{ID: sdk.DeliveryID(id), Place: "o", Attempt: 1, Event: sdk.Event{
		ID: "ev1", Time: time.Unix(1_700_000_000, 0), Place: sdk.Ref{Link: "home", ID: "ops@muc.example.org"},
		Actor: sdk.Actor{ID: "ac1", Home: sdk.Ref{Link: "home", ID: "romeo@example.net"}, Name: "Romeo"},
		Change: sdk.ItemCreated{Item: sdk.Item{ID: "it-" + sdk.ItemID(id), Text: sdk.NewText(text), ReplyTo: sdk.Target{Item: "it0"},
			Media: []sdk.Media{{URL: "https://example.org/a.png", Type: "image/png"}}, Created: time.Unix(1_700_000_000, 0)}},
	}}
}

func (r *rig) deliver(batch ...sdk.Delivery) []sdk.Receipt {
	r.t.Helper()
	receipts, err := r.link.Deliver(r.t.Context(), batch)
	if err != nil || len(receipts) != len(batch) {
		r.t.Fatalf("Deliver: %d receipts, %v", len(receipts), err)
	}
	return receipts
}

func TestOutgoing(t *testing.T) {
	rec := newReceiver(t)
	r := openOut(t, rec.URL+"/hook?key=1", `,"secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw","headers":{"X-Own":"1"}`)
	receipts := r.deliver(delivery("d1", "<b>hällo</b>"), delivery("d2", "two"))
	if receipts[0].Err != nil || receipts[1].Err != nil || len(rec.got) != 2 {
		t.Fatalf("receipts %+v, %d requests", receipts, len(rec.got))
	}
	if c := receipts[0].Copies; len(c) != 1 || c[0] != (sdk.Copy{Item: "it-d1", Remote: "it-d1"}) {
		t.Errorf("copies %+v", c)
	}
	req := rec.got[0]
	for name, want := range map[string]string{"Content-Type": "application/json", "Webhook-Id": "d1", "Idempotency-Key": "d1", "X-Own": "1", "X-Event-Type": "item-created"} {
		if got := req.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	scheme, err := seal.New(seal.Options{Scheme: seal.Standard, Secrets: []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, Window: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := scheme.Verify(req.Header, []byte(rec.bodies[0]), r.now()); err != nil {
		t.Errorf("signature: %v", err)
	}
	const want = `{"version":1,"id":"d1","kind":"item-created","time":"2023-11-14T22:13:20Z","event":"ev1","place":"home:ops@muc.example.org","to":"hooks:o",` +
		`"actor":{"id":"ac1","kind":"person","address":"home:romeo@example.net","name":"Romeo"},` +
		`"item":{"id":"it-d1","revision":0,"text":"\u003cb\u003ehällo\u003c/b\u003e","media":[{"url":"https://example.org/a.png","type":"image/png"}],"reply_to":"it0","visibility":"place","created":"2023-11-14T22:13:20Z"}}`
	if rec.bodies[0] != want {
		t.Errorf("body\n%s\nwant\n%s", rec.bodies[0], want)
	}
	// The same delivery again is byte for byte the same, so that a receiver can drop it.
	r.deliver(delivery("d1", "<b>hällo</b>"))
	if rec.bodies[2] != rec.bodies[0] || rec.got[2].Header.Get("Webhook-Id") != "d1" {
		t.Error("a second attempt differs from the first")
	}
}

func TestOutgoingStatus(t *testing.T) {
	for _, c := range []struct {
		status  int
		after   string
		attempt int
		kind    sdk.Kind
		wait    time.Duration
		fails   bool
	}{
		{200, "", 1, 0, 0, false}, {204, "", 1, 0, 0, false},
		{302, "", 1, sdk.Invalid, 0, true}, {400, "", 1, sdk.Invalid, 0, true}, {401, "", 1, sdk.Unauthorized, 0, true},
		{403, "", 1, sdk.Forbidden, 0, true}, {404, "", 1, sdk.NotFound, 0, true}, {408, "", 1, sdk.Transient, 0, true},
		{409, "", 1, sdk.Conflict, 0, true}, {409, "", 2, 0, 0, false}, {410, "", 1, sdk.Gone, 0, true}, {413, "", 1, sdk.TooLarge, 0, true},
		{425, "", 1, sdk.Transient, 0, true}, {429, "7", 1, sdk.RateLimited, 7 * time.Second, true}, {500, "", 1, sdk.Transient, 0, true},
		{503, "Tue, 14 Nov 2023 22:14:20 GMT", 1, sdk.RateLimited, time.Minute, true}, {503, "99999999999", 1, sdk.RateLimited, 24 * time.Hour, true},
	} {
		rec := newReceiver(t)
		rec.answer = func(w http.ResponseWriter, _ int) {
			if c.after != "" {
				w.Header().Set("Retry-After", c.after)
			}
			if c.status == 302 {
				w.Header().Set("Location", "/elsewhere")
			}
			w.WriteHeader(c.status)
		}
		d := delivery("d1", "x")
		d.Attempt = c.attempt
		receipts := openOut(t, rec.URL, "").deliver(d, delivery("d2", "y"))
		got := receipts[0]
		if (got.Err != nil) != c.fails {
			t.Errorf("%d: %v, want failure %v", c.status, got.Err, c.fails)
			continue
		}
		if c.fails && (got.Err.Kind != c.kind || got.Err.After != c.wait || got.Unsent) {
			t.Errorf("%d: kind %s after %s unsent %v, want %s after %s", c.status, got.Err.Kind, got.Err.After, got.Unsent, c.kind, c.wait)
		}
		// Order: after a temporary error nothing later is sent.
		if temporary := c.fails && c.kind.Temporary(); temporary != receipts[1].Unsent || temporary != (len(rec.got) == 1) {
			t.Errorf("%d: second receipt %+v after %d requests", c.status, receipts[1], len(rec.got))
		}
	}
}

// TestWH07OutgoingAddresses: an outgoing hook does not reach internal
// addresses; a listener there sees no connection.
func TestWH07OutgoingAddresses(t *testing.T) {
	rec := newReceiver(t)
	_, port, err := net.SplitHostPort(rec.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	// Refused when the configuration is read.
	for _, u := range []string{"https://127.0.0.1:" + port, "https://[::1]:" + port, "https://[::ffff:127.0.0.1]:" + port, "https://0.0.0.0:" + port,
		"https://169.254.169.254/", "https://10.0.0.1/", "https://100.64.0.1/", "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/",
		"http://example.org/", "file:///etc/passwd", "gopher://example.org/", "data:text/plain,x", "https://u:p@example.org/"} {
		if _, err := parseConfig(json.RawMessage(fmt.Sprintf(`{"out":{"o":{"url":%q}}}`, u))); err == nil {
			t.Errorf("%s: accepted", u)
		}
	}
	// Names and odd spellings are refused when they are dialled.
	for _, host := range []string{"localhost", "2130706433", "0x7f.1", "127.1"} {
		r := open(t, fmt.Sprintf(`{"out":{"o":{"url":"https://%s:%s/"}}}`, host, port))
		got := r.deliver(delivery("d1", "x"))[0]
		if got.Err == nil || !got.Unsent {
			t.Errorf("%s: %+v, want refused and unsent", host, got)
		} else if host == "localhost" && (got.Err.Kind != sdk.Forbidden || !errors.Is(got.Err, netguard.ErrBlockedAddr)) {
			t.Errorf("%s: %v, want ErrBlockedAddr", host, got.Err)
		}
	}
	if len(rec.got) != 0 {
		t.Errorf("the listener saw %d requests, want 0", len(rec.got))
	}
	// allow_private opens one's own networks, not the clouds' metadata.
	r := open(t, fmt.Sprintf(`{"out":{"o":{"url":"http://127.0.0.1:%s/","allow_private":true}}}`, port))
	if got := r.deliver(delivery("d1", "x"))[0]; got.Err != nil {
		t.Errorf("allow_private: %v", got.Err)
	}
	if _, err := parseConfig(json.RawMessage(`{"out":{"o":{"url":"http://169.254.169.254/","allow_private":true}}}`)); err == nil {
		t.Error("allow_private opens link local addresses")
	}
}

func TestOutgoingUnreachable(t *testing.T) {
	rec := newReceiver(t)
	url := rec.URL + "/secret-path"
	rec.Close()
	got := openOut(t, url, "").deliver(delivery("d1", "x"))[0]
	if got.Err == nil || got.Err.Kind != sdk.Transient || !got.Unsent {
		t.Errorf("nobody listens: %+v, want transient and unsent", got)
	}
	if strings.Contains(got.Err.Error(), "secret-path") {
		t.Errorf("the error tells the URL: %v", got.Err)
	}
	d := delivery("d1", "x")
	d.Place = "gone"
	if got := openOut(t, url, "").deliver(d)[0]; got.Err == nil || got.Err.Kind != sdk.NotFound {
		t.Errorf("unknown place: %+v", got)
	}
}

// TestOutgoingDeadline: what the host would no longer hear of is not sent.
func TestOutgoingDeadline(t *testing.T) {
	rec := newReceiver(t)
	r := openOut(t, rec.URL, "")
	rec.answer = func(http.ResponseWriter, int) { r.forward(3 * time.Second) }
	var batch []sdk.Delivery
	for i := range 3 {
		d := delivery(fmt.Sprint("d", i), "x")
		d.Deadline = r.now().Add(5 * time.Second)
		batch = append(batch, d)
	}
	got := r.deliver(batch...)
	if got[0].Err != nil || got[1].Err != nil || got[2].Err == nil || !got[2].Unsent || got[2].Err.Kind != sdk.Transient || len(rec.got) != 2 {
		t.Errorf("receipts %+v after %d requests, want two sent and the third unsent", got, len(rec.got))
	}
}

func TestOutgoingKinds(t *testing.T) {
	rec := newReceiver(t)
	change := func(c sdk.Change) sdk.Delivery {
		d := delivery("d1", "")
		d.Event.Change = c
		return d
	}
	r := openOut(t, rec.URL, "")
	target := sdk.Target{Item: "it9"}
	yes := true
	for _, c := range []struct {
		change sdk.Change
		want   outMore
		target string
	}{
		{sdk.ItemRetracted{Target: target, Moderated: true, Reason: "spam"}, outMore{Moderated: true, Reason: "spam"}, "it9"},
		{sdk.ReactionsSet{Target: target, Reactions: []string{"👍"}}, outMore{Reactions: []string{"👍"}}, "it9"},
		{sdk.Voted{Target: target, Options: []int{1}}, outMore{Options: []int{1}}, "it9"},
		{sdk.RSVPSet{Target: target, Answer: "yes"}, outMore{Answer: "yes"}, "it9"},
		{sdk.FollowAnswered{Follower: sdk.Ref{Link: "a", ID: "b"}, Accepted: true}, outMore{Object: "a:b", Accepted: &yes}, ""},
		{sdk.MemberChanged{Member: sdk.Ref{Link: "a", ID: "b"}, Membership: sdk.MemberKicked}, outMore{Member: "a:b", Standing: "kicked"}, ""},
		{sdk.ConversationUpdated{Title: "t", Topic: sdk.NewText("x")}, outMore{Title: "t", Topic: "x"}, ""},
		{sdk.Blocked{Object: sdk.Ref{Link: "a", ID: "b"}}, outMore{Object: "a:b"}, ""},
	} {
		if got := r.deliver(change(c.change))[0]; got.Err != nil {
			t.Fatalf("%T: %v", c.change, got.Err)
		}
		var doc outDoc
		if err := json.Unmarshal([]byte(rec.bodies[len(rec.bodies)-1]), &doc); err != nil {
			t.Fatal(err)
		}
		got, err1 := json.Marshal(doc.Change)
		want, err2 := json.Marshal(c.want)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) || doc.Target != c.target || doc.Kind != c.change.Kind().String() {
			t.Errorf("%T: %s target %q, want %s target %q", c.change, got, doc.Target, want, c.target)
		}
	}
	before := len(rec.got)
	got := r.deliver(change(sdk.Signal{Signal: sdk.SignalTyping}))[0]
	if got.Err != nil || len(got.Loss) != 1 || len(rec.got) != before {
		t.Errorf("a signal: %+v with %d requests, want a loss and no request", got, len(rec.got)-before)
	}
	only := openOut(t, rec.URL, `,"kinds":["signal"]`)
	if only.deliver(change(sdk.Signal{Signal: sdk.SignalTyping})); len(rec.got) != before+1 {
		t.Error("a signal that was asked for is not sent")
	}
	if got := only.deliver(delivery("d2", "x"))[0]; got.Err != nil || len(got.Loss) != 1 || len(rec.got) != before+1 {
		t.Errorf("a kind that was not asked for: %+v", got)
	}
	sealed := delivery("d3", "x")
	sealed.Event = sealed.Event.WithItem(sdk.Item{ID: "i", Sealed: &sdk.Sealed{Scheme: "omemo", Data: []byte("x")}})
	if got := r.deliver(sealed)[0]; len(got.Loss) != 1 || got.Loss[0].Kind != sdk.LossSealed {
		t.Errorf("an encrypted item: %+v, want its loss declared", got)
	}
}
