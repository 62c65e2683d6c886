package attach

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"bridgehost/plugins/xmpp/internal/social/pubsub"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

func parse(t *testing.T, s string) Set {
	t.Helper()
	e, err := xmltok.Parse([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	set, err := Parse(e)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

const some = `<attachments xmlns='urn:xmpp:pubsub-attachments:1'><noticed timestamp='2026-03-01T15:05:00Z'/>` +
	`<reactions><reaction>🍵</reaction><reaction> 🍵 </reaction><reaction>🎉</reaction></reactions>` +
	`<rsvp xmlns='urn:xmpp:calendar-events:0'><x xmlns='jabber:x:data' type='submit'/></rsvp></attachments>`

func TestUnknownAttachmentsStay(t *testing.T) {
	s := parse(t, some)
	if got, want := s.All(), []string{Noticed, "🍵", "🎉"}; !reflect.DeepEqual(got, want) {
		t.Errorf("reactions %q, want %q", got, want)
	}
	e, err := s.With([]string{"🎉"}).Element(time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	out := string(e.Raw())
	if strings.Contains(out, "noticed") || strings.Contains(out, "🍵") || !strings.Contains(out, "<rsvp xmlns='urn:xmpp:calendar-events:0'>") {
		t.Errorf("published again: %s", out)
	}
	if s.With(nil).Empty() {
		t.Error("a set with unknown attachments counts as empty: the item would be retracted")
	}
	if !parse(t, `<attachments xmlns='urn:xmpp:pubsub-attachments:1'/>`).Empty() {
		t.Error("nothing is not empty")
	}
}

func TestNode(t *testing.T) {
	node := "urn:xmpp:pubsub-attachments:1/xmpp:ana@example.org?;node=urn%3Axmpp%3Amicroblog%3A0;item=p1"
	a, ok := Target(node)
	if want := (pubsub.Address{Service: "ana@example.org", Node: "urn:xmpp:microblog:0", Item: "p1"}); !ok || a != want {
		t.Fatalf("target %+v %v", a, ok)
	}
	if got := Node(a); got != node {
		t.Errorf("node %q, want %q", got, node)
	}
	if _, ok := Target("urn:xmpp:pubsub-attachments:1/xmpp:ana@example.org?;node=x"); ok {
		t.Error("a node without an item is a target")
	}
}

func TestSummaryCountsAnActorOnce(t *testing.T) {
	e := Summary([]Set{parse(t, some), {Noticed: true, Reactions: []string{"🍵"}}})
	want := `<summary xmlns='urn:xmpp:pubsub-attachments:summary:1'><noticed count='2'></noticed><reactions><reaction count='2'>🍵</reaction><reaction>🎉</reaction></reactions></summary>`
	if got := string(e.Raw()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(some))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := xmltok.Parse(b)
		if err != nil {
			return
		}
		s, err := Parse(e)
		if err != nil {
			return
		}
		out, err := s.Element(time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(out)
		if err != nil || !reflect.DeepEqual(again.All(), s.All()) || len(again.Unknown) != len(s.Unknown) {
			t.Fatalf("%q became %q (%v)", s.All(), again.All(), err)
		}
	})
}
