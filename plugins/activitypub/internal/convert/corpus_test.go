package convert

import (
	"errors"
	"testing"

	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/sdk"
)

// TestCorpus converts every document that can be converted: posts there and back, actors, activities.
func TestCorpus(t *testing.T) {
	posts, actors, activities := 0, 0, 0
	refused := map[string]int{}
	for name, raw := range corpus(t) {
		o, err := object.Parse(raw)
		if err != nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			switch {
			case IsContent(o.Type()):
				p, err := Read(o, Reading{})
				if err != nil {
					refused[name+": "+err.Error()]++
					return
				}
				posts++
				again(t, p)
			case o.Class() == object.ClassActor:
				if _, err := ReadActor(o); err != nil {
					refused[name+": "+err.Error()]++
					return
				}
				actors++
			case o.Class() == object.ClassActivity:
				a, err := ReadActivity(o, Reading{})
				if err != nil {
					refused[name+": "+err.Error()]++
					return
				}
				activities++
				if a.Post != nil && a.Post.Vote == "" {
					again(t, *a.Post)
				}
			}
		})
	}
	t.Logf("%d posts, %d actors, %d activities; refused %d", posts, actors, activities, len(refused))
	for why := range refused {
		t.Log(why)
	}
}

// again writes a post that was read, reads that, and compares what both can say.
func again(t *testing.T, p Post) {
	t.Helper()
	people := map[sdk.RemoteID]Person{}
	for _, q := range p.People {
		people[sdk.RemoteID(q.Handle)] = q
	}
	n := names
	n.Person = func(m sdk.Mention) (Person, bool) { q, ok := people[m.Actor.ID]; return q, ok }
	if p.Item.Visibility == sdk.VisibilityDirect {
		n.Recipients = p.People
	}
	o, _ := Write(p.Item, n)
	back, err := Read(document(t, o), Reading{})
	if err != nil {
		if errors.Is(err, ErrKind) {
			return
		}
		t.Fatal(err)
	}
	a, b := p.Item, back.Item
	if a.Visibility != b.Visibility {
		t.Errorf("visibility %d, want %d", b.Visibility, a.Visibility)
	}
	if a.Warning != b.Warning {
		t.Errorf("warning %q, want %q", b.Warning, a.Warning)
	}
	if len(a.Media) != len(b.Media) || len(a.Tags) != len(b.Tags) || len(a.Emoji) != len(b.Emoji) {
		t.Errorf("%d media, %d tags, %d emoji; want %d, %d, %d", len(b.Media), len(b.Tags), len(b.Emoji), len(a.Media), len(a.Tags), len(a.Emoji))
	}
	if a.ReplyTo != b.ReplyTo || a.Quote != b.Quote {
		t.Errorf("reply %v quote %v, want %v %v", b.ReplyTo, b.Quote, a.ReplyTo, a.Quote)
	}
	if a.Title == "" && a.Body() != b.Body() {
		t.Errorf("text %q\nwant %q", b.Body(), a.Body())
	}
	if a.Language != b.Language || !a.Created.Equal(b.Created) || !a.Edited.Equal(b.Edited) {
		t.Errorf("language %q created %v edited %v, want %q %v %v", b.Language, b.Created, b.Edited, a.Language, a.Created, a.Edited)
	}
	if (a.Poll == nil) != (b.Poll == nil) || a.Poll != nil && (len(a.Poll.Options) != len(b.Poll.Options) || a.Poll.Closed != b.Poll.Closed) {
		t.Errorf("poll %+v, want %+v", b.Poll, a.Poll)
	}
}
