package webhook

import (
	"time"

	"bridgehost/sdk"
)

// outDoc is the body of an outgoing hook, version 1. Members are only added.
type outDoc struct {
	Version int       `json:"version"`
	ID      string    `json:"id"`   // of the delivery; the same at every attempt
	Kind    string    `json:"kind"` // of the change: item-created …
	Time    time.Time `json:"time"`
	Event   string    `json:"event,omitempty"` // the host's id of the event
	Place   string    `json:"place"`           // where it happened, link:place
	To      string    `json:"to"`              // this hook, link:place
	Actor   outActor  `json:"actor"`
	Item    *outItem  `json:"item,omitempty"`   // the new state as a whole
	Target  string    `json:"target,omitempty"` // the host's id of the item that the change is about
	Change  *outMore  `json:"change,omitempty"`
}

type outActor struct {
	ID      string `json:"id,omitempty"`
	Kind    string `json:"kind"`
	Address string `json:"address"` // link:address at home
	Handle  string `json:"handle,omitempty"`
	Name    string `json:"name"`
	Profile string `json:"profile,omitempty"`
}

type outItem struct {
	ID         string       `json:"id"`
	Revision   uint32       `json:"revision"`
	Title      string       `json:"title,omitempty"`
	Text       string       `json:"text,omitempty"`
	Media      []outMedia   `json:"media,omitempty"`
	ReplyTo    string       `json:"reply_to,omitempty"`
	Thread     string       `json:"thread,omitempty"`
	Quote      string       `json:"quote,omitempty"`
	Tags       []string     `json:"tags,omitempty"`
	Warning    string       `json:"warning,omitempty"`
	Language   string       `json:"language,omitempty"`
	URL        string       `json:"url,omitempty"`
	Visibility string       `json:"visibility"`
	Created    *time.Time   `json:"created,omitempty"`
	Edited     *time.Time   `json:"edited,omitempty"`
	Poll       *outPoll     `json:"poll,omitempty"`
	Calendar   *outCalendar `json:"calendar_event,omitempty"`
}

type outMedia struct {
	URL  string `json:"url,omitempty"`
	Type string `json:"type,omitempty"`
	Name string `json:"name,omitempty"`
	Alt  string `json:"alt,omitempty"`
	Size int64  `json:"size,omitempty"`
	Data []byte `json:"data,omitempty"` // base64
}

type outPoll struct {
	Options  []string   `json:"options"`
	Votes    []int      `json:"votes"`
	Multiple bool       `json:"multiple"`
	Closes   *time.Time `json:"closes,omitempty"`
	Closed   bool       `json:"closed"`
}

type outCalendar struct {
	UID         string     `json:"uid"`
	Name        string     `json:"name"`
	Start       *time.Time `json:"start,omitempty"`
	End         *time.Time `json:"end,omitempty"`
	Zone        string     `json:"zone,omitempty"`
	AllDay      bool       `json:"all_day,omitempty"`
	Location    string     `json:"location,omitempty"`
	URL         string     `json:"url,omitempty"`
	Status      string     `json:"status,omitempty"`
	Recurrence  string     `json:"recurrence,omitempty"`
	Description string     `json:"description,omitempty"`
}

// outMore holds what the other kinds of change say.
type outMore struct {
	Moderated bool     `json:"moderated,omitempty"`
	Reason    string   `json:"reason,omitempty"`
	Reactions []string `json:"reactions,omitempty"`
	Options   []int    `json:"options,omitempty"`
	Answer    string   `json:"answer,omitempty"`
	Object    string   `json:"object,omitempty"`
	Accepted  *bool    `json:"accepted,omitempty"`
	Member    string   `json:"member,omitempty"`
	Standing  string   `json:"standing,omitempty"`
	Role      string   `json:"role,omitempty"`
	Title     string   `json:"title,omitempty"`
	Topic     string   `json:"topic,omitempty"`
	Text      string   `json:"text,omitempty"`
	Signal    string   `json:"signal,omitempty"`
}

var (
	actorKinds   = [...]string{"person", "bot", "group", "service"}
	visibilities = [...]string{"place", "public", "unlisted", "followers", "direct"}
	standings    = [...]string{"joined", "left", "kicked", "banned", "invited", "role"}
	signals      = [...]string{"typing", "paused", "received", "displayed"}
)

// pick gives names[i], or other for an index that a newer host may send.
func pick(names []string, i uint8) string {
	if int(i) < len(names) {
		return names[i]
	}
	return "other"
}

// document translates a delivery, and says what it leaves out.
func document(to sdk.Ref, d *sdk.Delivery) (*outDoc, []sdk.Loss) {
	ev := &d.Event
	doc := &outDoc{
		Version: 1, ID: string(d.ID), Kind: ev.Kind().String(), Time: ev.Time.UTC(), Event: string(ev.ID),
		Place: ev.Place.String(), To: to.String(), Target: string(ev.Target().Item), Change: more(ev.Change),
		Actor: outActor{ID: string(ev.Actor.ID), Kind: pick(actorKinds[:], uint8(ev.Actor.Kind)), Address: ev.Actor.Home.String(),
			Handle: ev.Actor.Handle, Name: ev.Actor.DisplayName(), Profile: ev.Actor.Profile},
	}
	var loss []sdk.Loss
	if it := ev.Item(); it != nil {
		doc.Item = itemDoc(it)
		if it.Sealed != nil {
			loss = append(loss, sdk.Loss{Kind: sdk.LossSealed, Detail: "the encrypted content is not passed on"})
		}
		if it.Text != nil && len(it.Text.Spans) > 0 {
			loss = append(loss, sdk.Loss{Kind: sdk.LossMarkup, Detail: "the text is plain"})
		}
	}
	return doc, loss
}

func itemDoc(it *sdk.Item) *outItem {
	o := &outItem{
		ID: string(it.ID), Revision: it.Revision, Title: it.Title, Text: it.Body(), ReplyTo: string(it.ReplyTo.Item), Thread: string(it.Thread.Item),
		Quote: string(it.Quote.Item), Tags: it.Tags, Warning: it.Warning, Language: it.Language, URL: it.URL,
		Visibility: pick(visibilities[:], uint8(it.Visibility)), Created: stamp(it.Created), Edited: stamp(it.Edited),
	}
	for _, m := range it.Media {
		o.Media = append(o.Media, outMedia{URL: m.URL, Type: m.Type, Name: m.Name, Alt: m.Alt, Size: m.Size, Data: m.Data})
	}
	if p := it.Poll; p != nil {
		o.Poll = &outPoll{Multiple: p.Multiple, Closes: stamp(p.Closes), Closed: p.Closed, Options: []string{}, Votes: []int{}}
		for _, c := range p.Options {
			o.Poll.Options = append(o.Poll.Options, c.Text)
			o.Poll.Votes = append(o.Poll.Votes, c.Votes)
		}
	}
	if c := it.Calendar; c != nil {
		o.Calendar = &outCalendar{UID: c.UID, Name: c.Name, Start: stamp(c.Start), End: stamp(c.End), Zone: c.Zone, AllDay: c.AllDay,
			Location: c.Location, URL: c.URL, Status: c.Status, Recurrence: c.Recurrence}
		if c.Description != nil {
			o.Calendar.Description = c.Description.Plain
		}
	}
	return o
}

// stamp gives nil for the zero time.
func stamp(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// more translates what a change says beside item and target.
func more(c sdk.Change) *outMore {
	switch c := c.(type) {
	case sdk.ItemRetracted:
		return &outMore{Moderated: c.Moderated, Reason: c.Reason}
	case sdk.ReactionsSet:
		return &outMore{Reactions: c.Reactions}
	case sdk.Voted:
		return &outMore{Options: c.Options}
	case sdk.RSVPSet:
		return &outMore{Answer: c.Answer}
	case sdk.FollowAsked:
		return &outMore{Object: c.Object.String()}
	case sdk.FollowAnswered:
		return &outMore{Object: c.Follower.String(), Accepted: &c.Accepted}
	case sdk.Unfollowed:
		return &outMore{Object: c.Object.String()}
	case sdk.ActorMoved:
		return &outMore{Object: c.To.String()}
	case sdk.MemberChanged:
		return &outMore{Member: c.Member.String(), Standing: pick(standings[:], uint8(c.Membership)), Role: c.Role, Reason: c.Reason}
	case sdk.ConversationUpdated:
		o := &outMore{Title: c.Title}
		if c.Topic != nil {
			o.Topic = c.Topic.Plain
		}
		return o
	case sdk.Blocked:
		return &outMore{Object: c.Object.String()}
	case sdk.Unblocked:
		return &outMore{Object: c.Object.String()}
	case sdk.Reported:
		return &outMore{Object: c.Object.String(), Text: c.Text, Reason: c.Reason}
	case sdk.Signal:
		return &outMore{Signal: pick(signals[:], uint8(c.Signal))}
	default:
		return nil
	}
}
