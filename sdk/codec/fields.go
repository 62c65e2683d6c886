package codec

import (
	"bridgehost/sdk"
)

func (c *coder) ref(r *sdk.Ref) {
	id(c, 1, &r.Link)
	id(c, 2, &r.ID)
}

// refField visits a Ref; the zero one is absent.
func (c *coder) refField(num fieldNumber, r *sdk.Ref) {
	for f := c.enter(num, !r.IsZero()); c.step(&f); {
		c.ref(r)
	}
}

func (c *coder) target(t *sdk.Target) {
	id(c, 1, &t.Item)
	id(c, 2, &t.Remote)
}

// targetField visits a Target; the zero one is absent.
func (c *coder) targetField(num fieldNumber, t *sdk.Target) {
	for f := c.enter(num, !t.IsZero()); c.step(&f); {
		c.target(t)
	}
}

func (c *coder) span1(s *sdk.Span) {
	enum(c, 1, &s.Kind)
	c.int(2, &s.Start)
	c.int(3, &s.End)
	c.string(4, &s.Value)
}

func (c *coder) textPart(t *sdk.Text) {
	c.string(1, &t.Plain)
	list(c, 2, &t.Spans, (*coder).span1)
}

func (c *coder) media(m *sdk.Media) {
	c.string(1, &m.URL)
	c.string(2, &m.Type)
	c.string(3, &m.Name)
	c.string(4, &m.Alt)
	c.int64(5, &m.Size)
	c.int(6, &m.Width)
	c.int(7, &m.Height)
	c.duration(8, &m.Duration)
	c.string(9, &m.Blurhash)
	c.string(10, &m.Digest)
	c.bytes(11, &m.Data)
}

func (c *coder) actor(a *sdk.Actor) {
	id(c, 1, &a.ID)
	enum(c, 2, &a.Kind)
	c.refField(3, &a.Home)
	c.string(4, &a.Handle)
	c.string(5, &a.Name)
	c.string(6, &a.Profile)
	optional(c, 7, &a.Summary, (*coder).textPart)
	optional(c, 8, &a.Avatar, (*coder).media)
	enum(c, 9, &a.Consent)
	id(c, 10, &a.Puppet)
}

// actorField visits an Actor; the zero one is absent.
func (c *coder) actorField(num fieldNumber, a *sdk.Actor) {
	for f := c.enter(num, *a != sdk.Actor{}); c.step(&f); {
		c.actor(a)
	}
}

func (c *coder) mention(m *sdk.Mention) {
	c.refField(1, &m.Actor)
	c.string(2, &m.Handle)
	c.int(3, &m.Start)
	c.int(4, &m.End)
}

func (c *coder) emoji(e *sdk.Emoji) {
	c.string(1, &e.Code)
	for f := c.enter(2, true); c.step(&f); {
		c.media(&e.Media)
	}
}

func (c *coder) pollOption(o *sdk.PollOption) {
	c.string(1, &o.Text)
	c.int(2, &o.Votes)
}

func (c *coder) poll(p *sdk.Poll) {
	list(c, 1, &p.Options, (*coder).pollOption)
	c.bool(2, &p.Multiple)
	c.time(3, &p.Closes)
	c.bool(4, &p.Closed)
	c.int(5, &p.Voters)
}

func (c *coder) calendar(e *sdk.CalendarEvent) {
	c.string(1, &e.UID)
	c.string(2, &e.Name)
	c.time(3, &e.Start)
	c.time(4, &e.End)
	c.string(5, &e.Zone)
	c.bool(6, &e.AllDay)
	c.string(7, &e.Location)
	c.string(8, &e.Latitude)
	c.string(9, &e.Longitude)
	c.string(10, &e.URL)
	c.string(11, &e.Status)
	stringList(c, 12, &e.Categories)
	c.string(13, &e.Recurrence)
	c.int(14, &e.MaxAttend)
	c.string(15, &e.OnlineURL)
	optional(c, 16, &e.Description, (*coder).textPart)
}

func (c *coder) sealed(s *sdk.Sealed) {
	c.string(1, &s.Scheme)
	c.bytes(2, &s.Data)
}

func (c *coder) item(it *sdk.Item) {
	id(c, 1, &it.ID)
	id(c, 2, &it.Conversation)
	id(c, 3, &it.Author)
	c.uint32(4, &it.Revision)
	c.refField(5, &it.Origin)
	c.targetField(6, &it.ReplyTo)
	c.targetField(7, &it.Thread)
	c.targetField(8, &it.Quote)
	c.string(9, &it.Title)
	optional(c, 10, &it.Text, (*coder).textPart)
	list(c, 11, &it.Media, (*coder).media)
	optional(c, 12, &it.Calendar, (*coder).calendar)
	optional(c, 13, &it.Poll, (*coder).poll)
	list(c, 14, &it.Mentions, (*coder).mention)
	stringList(c, 15, &it.Tags)
	list(c, 16, &it.Emoji, (*coder).emoji)
	enum(c, 17, &it.Visibility)
	c.string(18, &it.Warning)
	c.string(19, &it.Language)
	c.string(20, &it.URL)
	c.time(21, &it.Created)
	c.time(22, &it.Edited)
	optional(c, 23, &it.Sealed, (*coder).sealed)
	mapField(c, 24, &it.Native)
}

// itemField visits the item of a change; it is always there.
func (c *coder) itemField(num fieldNumber, it *sdk.Item) {
	for f := c.enter(num, true); c.step(&f); {
		c.item(it)
	}
}

func (c *coder) event(e *sdk.Event) {
	id(c, 1, &e.ID)
	c.uint64(2, &e.Seq)
	c.time(3, &e.Time)
	c.refField(4, &e.Place)
	c.actorField(5, &e.Actor)
	c.string(6, &e.Dedup)
	stringList(c, 7, &e.Via)
	c.bool(8, &e.Want)
	c.bool(9, &e.Notice)
	c.change(&e.Change)
}

func (c *coder) delivery(d *sdk.Delivery) {
	id(c, 1, &d.ID)
	id(c, 2, &d.Place)
	for f := c.enter(3, true); c.step(&f); {
		c.event(&d.Event)
	}
	c.int(4, &d.Attempt)
	c.bool(5, &d.Uncertain)
	c.time(6, &d.Since)
	c.time(7, &d.Deadline)
}

func (c *coder) loss(l *sdk.Loss) {
	id(c, 1, &l.Kind)
	c.string(2, &l.Detail)
}

func (c *coder) copyPart(p *sdk.Copy) {
	id(c, 1, &p.Item)
	id(c, 2, &p.Remote)
}

func (c *coder) receipt(r *sdk.Receipt) {
	id(c, 1, &r.Delivery)
	list(c, 2, &r.Copies, (*coder).copyPart)
	id(c, 3, &r.Puppet)
	list(c, 4, &r.Loss, (*coder).loss)
	c.errorField(5, &r.Err)
	c.bool(6, &r.Unsent)
	stringList(c, 7, &r.Spread)
}

func (c *coder) outcome(o *sdk.Outcome) {
	c.string(1, &o.Dedup)
	id(c, 2, &o.Origin)
	c.refField(3, &o.Place)
	enum(c, 4, &o.State)
	c.string(5, &o.Reason)
	list(c, 6, &o.Loss, (*coder).loss)
}

func (c *coder) verdict(v *sdk.Verdict) {
	enum(c, 1, &v.Verb)
	c.string(2, &v.Reason)
	optional(c, 3, &v.Event, (*coder).event)
	c.time(4, &v.Until)
	list(c, 5, &v.Emit, (*coder).event)
}

func (c *coder) capabilities(p *sdk.Capabilities) {
	stringList(c, 1, &p.Features)
	c.int(2, &p.MaxText)
	c.int64(3, &p.MaxMedia)
	c.duration(4, &p.EditWindow)
	stringList(c, 5, &p.Reactions)
}

func (c *coder) placeUse(p *sdk.PlaceUse) {
	id(c, 1, &p.ID)
	c.bool(2, &p.Source)
	c.bool(3, &p.Target)
}

func (c *coder) place(p *sdk.Place) {
	c.refField(1, &p.Ref)
	enum(c, 2, &p.Kind)
	c.string(3, &p.Title)
	for f := c.enter(4, true); c.step(&f); {
		c.capabilities(&p.Capabilities)
	}
}

func (c *coder) report(r *sdk.Report) {
	id(c, 1, &r.Place)
	enum(c, 2, &r.State)
	c.string(3, &r.Reason)
	c.string(4, &r.Title)
	optional(c, 5, &r.Capabilities, (*coder).capabilities)
}

func (c *coder) resolved(r *sdk.Resolved) {
	optional(c, 1, &r.Actor, (*coder).actor)
	optional(c, 2, &r.Place, (*coder).place)
}

func (c *coder) invocation(v *sdk.Invocation) {
	c.string(1, &v.Name)
	stringList(c, 2, &v.Args)
	c.actorField(3, &v.Actor)
}

func (c *coder) config(v *sdk.Config) {
	id(c, 1, &v.Link)
	c.bytes(2, (*[]byte)(&v.JSON))
	list(c, 3, &v.Places, (*coder).placeUse)
	c.string(4, &v.PublicURL)
	c.string(5, &v.Dir)
	id(c, 6, &v.Gateway)
}

func (c *coder) commandInfo(v *sdk.CommandInfo) {
	c.string(1, &v.Name)
	c.string(2, &v.Usage)
	c.string(3, &v.Help)
}

func (c *coder) limits(l *sdk.Limits) {
	c.int64(1, &l.Memory)
	c.duration(2, &l.Time)
}

func (c *coder) manifest(m *sdk.Manifest) {
	c.string(1, &m.ID)
	c.string(2, &m.Version)
	c.string(3, &m.Description)
	c.int(4, &m.ContractMin)
	c.int(5, &m.ContractMax)
	numbers(c, 6, &m.Takes, saturate[sdk.ChangeKind])
	numbers(c, 7, &m.Gives, saturate[sdk.ChangeKind])
	stringList(c, 8, &m.Facets)
	stringList(c, 9, &m.Abilities)
	stringList(c, 10, &m.Hosts)
	c.bytes(11, (*[]byte)(&m.Schema))
	c.string(12, &m.Sample)
	list(c, 13, &m.Commands, (*coder).commandInfo)
	for f := c.enter(14, m.Limits != sdk.Limits{}); c.step(&f); {
		c.limits(&m.Limits)
	}
	c.int(15, &m.BatchMax)
	c.bool(16, &m.GlobalIDs)
	c.bool(17, &m.Reports)
}
