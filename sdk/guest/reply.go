package guest

import "time"

// Verdict is a filter's answer. The zero value passes the event on unchanged.
type Verdict struct {
	verb   uint64
	reason string
	until  int64
	patch  *Patch
	emit   []NewEvent
}

// Pass lets the event go on.
func Pass() Verdict { return Verdict{} }

// Drop ends the event's way; the reason is shown to the operator.
func Drop(reason string) Verdict { return Verdict{verb: 1, reason: reason} }

// Hold lets the event wait, then pass the filter again.
func Hold(until time.Time, reason string) Verdict {
	return Verdict{verb: 3, reason: reason, until: until.UnixNano()}
}

// Emit adds events to the verdict; at most 16 are taken.
func (v Verdict) Emit(events ...NewEvent) Verdict {
	v.emit = append(v.emit, events...)
	return v
}

// append writes the verdict as GuestReply.
func (v Verdict) append(dst []byte) []byte {
	dst = appendUint(dst, 1, v.verb)
	dst = appendString(dst, 2, v.reason)
	if v.patch != nil {
		dst = v.patch.append(dst)
	}
	dst = appendUint(dst, 5, uint64(v.until))
	for _, e := range v.emit {
		dst = appendBytes(dst, 6, e.append(nil))
	}
	return dst
}

// Patch changes fields of an event's item. It does nothing to events without one.
type Patch struct {
	kind  ChangeKind
	item  []byte // fields of Item
	clear []byte // FieldPath fields of GuestReply
}

// patch is used again: a module handles one event at a time.
var patch Patch

// Patch begins a patch. Only the last one begun in a handler counts.
func (e Event) Patch() *Patch {
	patch = Patch{kind: e.Kind(), item: patch.item[:0], clear: patch.clear[:0]}
	return &patch
}

// clearPath adds a path below Item to the clear list.
func (p *Patch) clearPath(fields ...byte) {
	path := [6]byte{0: 20 + byte(p.kind), 1: 1}
	n := 2 + copy(path[2:], fields)
	p.clear = appendVarint(p.clear, 4<<3|wireBytes)
	p.clear = append(p.clear, byte(n+2), 1<<3|wireBytes, byte(n))
	p.clear = append(p.clear, path[:n]...)
}

// SetText replaces the text; markup, whose positions would no longer fit, is dropped.
func (p *Patch) SetText(plain string) *Patch {
	p.clearPath(10)
	p.item = appendVarint(p.item, 10<<3|wireBytes)
	size := len(plain)
	p.item = appendVarint(p.item, uint64(size+1+varintLen(size)))
	p.item = append(p.item, 1<<3|wireBytes)
	p.item = appendVarint(p.item, uint64(size))
	p.item = append(p.item, plain...)
	return p
}

// varintLen returns how many bytes a number takes.
func varintLen(v int) int {
	n := 1
	for v >= 0x80 {
		v >>= 7
		n++
	}
	return n
}

// set replaces a string field of the item; the empty string clears it.
func (p *Patch) set(num byte, s string) *Patch {
	if s == "" {
		p.clearPath(num)
		return p
	}
	p.item = appendString(p.item, uint32(num), s)
	return p
}

// SetTitle replaces the title.
func (p *Patch) SetTitle(s string) *Patch { return p.set(9, s) }

// SetWarning replaces the content warning.
func (p *Patch) SetWarning(s string) *Patch { return p.set(18, s) }

// SetLanguage replaces the language.
func (p *Patch) SetLanguage(s string) *Patch { return p.set(19, s) }

// SetVisibility narrows who may see the item; it never widens.
func (p *Patch) SetVisibility(v int) *Patch {
	p.item = appendUint(p.item, 17, uint64(v))
	return p
}

// AddTag adds a tag.
func (p *Patch) AddTag(tag string) *Patch {
	p.item = appendString(p.item, 15, tag)
	return p
}

// SetTags replaces all tags.
func (p *Patch) SetTags(tags ...string) *Patch {
	p.clearPath(15)
	for _, t := range tags {
		p.AddTag(t)
	}
	return p
}

// ClearMedia drops all files.
func (p *Patch) ClearMedia() *Patch {
	p.clearPath(11)
	return p
}

// Verdict gives the patch as a verdict.
func (p *Patch) Verdict() Verdict {
	if p.kind != ItemCreated && p.kind != ItemUpdated {
		return Pass()
	}
	return Verdict{patch: p}
}

// append writes fields patch and clear of GuestReply.
func (p *Patch) append(dst []byte) []byte {
	dst = append(dst, p.clear...)
	if len(p.item) == 0 {
		return dst
	}
	change := 1 + varintLen(len(p.item)) + len(p.item) // field 1 of the change
	event := 2 + varintLen(change) + change            // fields 21 and 22 have tags of two bytes
	dst = appendVarint(dst, 3<<3|wireBytes)
	dst = appendVarint(dst, uint64(event))
	dst = appendVarint(dst, uint64(20+p.kind)<<3|wireBytes)
	dst = appendVarint(dst, uint64(change))
	return appendBytes(dst, 1, p.item)
}

// NewActor is the author of a NewEvent, or who has an address.
type NewActor struct {
	ID      string // in the link's own network
	Name    string
	Handle  string
	Profile string
	Bot     bool
}

// append writes message Actor.
func (a NewActor) append(dst []byte) []byte {
	if a.Bot {
		dst = appendUint(dst, 2, 1)
	}
	if a.ID != "" {
		dst = appendBytes(dst, 3, appendString(nil, 2, a.ID))
	}
	dst = appendString(dst, 4, a.Handle)
	dst = appendString(dst, 5, a.Name)
	return appendString(dst, 6, a.Profile)
}

// NewEvent is an item that the module publishes.
type NewEvent struct {
	Place   string // as the operator wrote it
	Dedup   string // the same key is the same event
	Time    time.Time
	Actor   NewActor
	ID      string // of the item in the module's own network
	Update  bool   // a new revision of the item ID
	Title   string
	Text    string
	URL     string
	Tags    []string
	Created time.Time
}

// append writes message Event.
func (e NewEvent) append(dst []byte) []byte {
	dst = appendTime(dst, 3, e.Time)
	dst = appendBytes(dst, 4, appendString(nil, 2, e.Place))
	dst = appendBytes(dst, 5, e.Actor.append(nil))
	dst = appendString(dst, 6, e.Dedup)
	var item []byte
	if e.ID != "" {
		item = appendBytes(item, 5, appendString(nil, 2, e.ID))
	}
	item = appendString(item, 9, e.Title)
	item = appendBytes(item, 10, appendString(nil, 1, e.Text))
	for _, t := range e.Tags {
		item = appendString(item, 15, t)
	}
	item = appendString(item, 20, e.URL)
	item = appendTime(item, 21, e.Created)
	change := appendBytes(nil, 1, item)
	if e.Update {
		change = appendBytes(change, 2, appendString(nil, 2, e.ID))
		return appendBytes(dst, 22, change)
	}
	return appendBytes(dst, 21, change)
}

// Copy is how an item appears in another place.
type Copy struct{ Item, Remote string }

// Receipt answers one delivery.
type Receipt struct {
	Delivery string // Delivery.ID
	Copies   []Copy
	Lost     map[string]string // kind of loss (sdk.LossKind) -> detail
	Err      error
	Unsent   bool // with Err: nothing was handed to the network
}

// append writes message Receipt.
func (r Receipt) append(dst []byte) []byte {
	dst = appendString(dst, 1, r.Delivery)
	for _, c := range r.Copies {
		dst = appendBytes(dst, 2, appendString(appendString(nil, 1, c.Item), 2, c.Remote))
	}
	for kind, detail := range r.Lost {
		dst = appendBytes(dst, 4, appendString(appendString(nil, 1, kind), 2, detail))
	}
	if r.Err != nil {
		dst = appendBytes(dst, 5, asError(r.Err).append(nil))
	}
	if r.Unsent {
		dst = appendUint(dst, 6, 1)
	}
	return dst
}

// WebRoute is a part of the host's public listener that the module asks for.
type WebRoute struct {
	Prefix  string
	Methods []string
	MaxBody int64
}

func (r WebRoute) append(dst []byte) []byte {
	dst = appendString(dst, 1, r.Prefix)
	for _, m := range r.Methods {
		dst = appendString(dst, 2, m)
	}
	return appendUint(dst, 3, uint64(r.MaxBody))
}

// WebResponse answers a WebRequest.
type WebResponse struct {
	Status int
	Header map[string]string
	Body   []byte
}

func (r WebResponse) append(dst []byte) []byte {
	dst = appendUint(dst, 1, uint64(r.Status))
	for name, value := range r.Header {
		dst = appendBytes(dst, 2, appendString(appendString(nil, 1, name), 2, value))
	}
	return appendBytes(dst, 3, r.Body)
}
