package contact

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// maxCarried bounds an avatar that an event carries, in bytes, as sdk.Media.Data allows.
const maxCarried = 64 << 10

// news is what is known of a user's own profile: enough to name the user, and to tell whether something changed. It is guarded by its
// roster's mutex and kept with it.
type news struct {
	Name    string            `json:"n,omitempty"`
	Print   string            `json:"p,omitempty"` // of what was published last
	Marks   map[string]string `json:"m,omitempty"` // what each source said last
	reading bool
	again   bool // something changed while the profile was read
}

// brief makes a short mark of texts.
func brief(texts ...string) string {
	h := sha256.New()
	for _, t := range texts {
		fmt.Fprintf(h, "%d %s", len(t), t)
	}
	return base64.RawStdEncoding.EncodeToString(h.Sum(nil)[:12])
}

// fingerprint tells profiles apart.
func fingerprint(a sdk.Actor) string {
	var summary string
	var avatar []byte
	if a.Summary != nil {
		summary = a.Summary.Plain
	}
	if a.Avatar != nil {
		avatar = a.Avatar.Data
	}
	return brief(a.Name, a.Profile, summary, string(avatar))
}

// Profile reads what a local user shows to everybody: vCard, nick and avatar. The error is of the kind NotFound if there is no such user
// as far as the user's server tells. It serves sdk.Resolver.
func (c *Contacts) Profile(ctx context.Context, user string) (sdk.Actor, error) {
	j, err := packet.ParseJID(user)
	if err != nil || j.Localpart() == "" || j.Resourcepart() != "" || j.Domainpart() == c.opt.Address.Domain {
		return sdk.Actor{}, sdk.Errorf(sdk.NotFound, "read profile", "%q is no address of a user", user)
	}
	user = j.String()
	if !c.opt.Allow(user) {
		return sdk.Actor{}, sdk.Errorf(sdk.NotFound, "read profile", "%q does not use the bridge", user)
	}
	a := person(user, "")
	card, err := c.get(ctx, user, xmltok.New(nsVCard, "vCard", ""))
	if err != nil {
		if e := c.noUser(err); e != nil {
			return sdk.Actor{}, e
		}
	} else {
		c.readCard(&a, card)
	}
	if e, err := c.last(ctx, user, nsNick); err == nil && convert.Nick(e.Text()) != "" {
		a.Name = convert.Nick(e.Text())
	}
	if a.Avatar == nil {
		a.Avatar = c.avatarNode(ctx, user)
	}
	if r := c.lock(user, false); r != nil {
		r.dirty = r.dirty || r.news.Name != a.Name
		r.news.Name = a.Name
		r.mu.Unlock()
	}
	return a, nil
}

// noUser gives the error of a user who does not exist, or whose server cannot be reached; nil when only the vCard is missing.
func (c *Contacts) noUser(err error) error {
	var e *packet.Error
	if !errors.As(err, &e) {
		return sdk.Errorf(sdk.Transient, "read profile", "%w", err)
	}
	switch e.Condition {
	case "remote-server-not-found", "remote-server-timeout":
		return sdk.Errorf(sdk.Transient, "read profile", "%w", err)
	case "gone":
		return sdk.Errorf(sdk.Gone, "read profile", "%w", err)
	case "service-unavailable", "subscription-required": // RFC 6121 §8.5.1: no such account, or nothing to say
		return sdk.Errorf(sdk.NotFound, "read profile", "%w", err)
	}
	return nil
}

// get asks a user's server, in the component's own name, so that only what is public is seen.
func (c *Contacts) get(ctx context.Context, user string, payload xmltok.Element) (xmltok.Element, error) {
	answer, err := c.stream.IQ(ctx, &packet.IQ{Attrs: packet.Attrs{From: c.opt.Address.Domain, To: user, Type: "get"}, Payload: payload})
	if err != nil {
		return xmltok.Element{}, fmt.Errorf("ask server of a user: %w", err)
	}
	return answer.Payload, nil
}

// last gets the newest item of one of the user's nodes.
func (c *Contacts) last(ctx context.Context, user, node string) (xmltok.Element, error) {
	var w xmltok.Writer
	w.Start(nsPubsub, "pubsub").Start(nsPubsub, "items", xmltok.A("node", node), xmltok.A("max_items", "1"))
	request, err := w.Element()
	if err != nil {
		return xmltok.Element{}, err
	}
	answer, err := c.get(ctx, user, request)
	if err != nil {
		return xmltok.Element{}, err
	}
	list, _ := answer.Child(nsPubsub, "items")
	it, _ := list.Child(nsPubsub, "item")
	for e := range it.Children() {
		return e, nil
	}
	return xmltok.Element{}, sdk.Errorf(sdk.NotFound, "read node "+node, "no item")
}

// readCard takes what a vCard says (XEP-0054).
func (c *Contacts) readCard(a *sdk.Actor, card xmltok.Element) {
	for _, name := range []string{"NICKNAME", "FN"} {
		if a.Name == "" {
			a.Name = convert.Nick(card.ChildText(nsVCard, name))
		}
	}
	a.Profile = web(strings.TrimSpace(card.ChildText(nsVCard, "URL")))
	if s := strings.TrimSpace(card.ChildText(nsVCard, "DESC")); s != "" {
		a.Summary = sdk.NewText(clip(s, maxField))
	}
	photo, _ := card.Child(nsVCard, "PHOTO")
	a.Avatar = carried(photo.ChildText(nsVCard, "BINVAL"))
}

// avatarNode reads an avatar by XEP-0084.
func (c *Contacts) avatarNode(ctx context.Context, user string) *sdk.Media {
	meta, err := c.last(ctx, user, nsMetadata)
	if err != nil {
		return nil
	}
	info, ok := meta.Child(nsMetadata, "info")
	if !ok {
		return nil
	}
	data, err := c.last(ctx, user, nsData)
	if err != nil || info.Get("id") == "" {
		return nil
	}
	return carried(data.Text())
}

// carried makes a file of base64 that an event can carry. An image that is too large is made smaller, and left out when that fails.
func carried(text string) *sdk.Media {
	if text == "" || len(text) > 4<<20 {
		return nil
	}
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil
	}
	a, err := NewAvatar(data)
	if err != nil {
		return nil
	}
	if len(a.Data) > maxCarried {
		small, typ, w, h, err := smaller(a.Data)
		if err != nil || len(small) > maxCarried {
			return nil
		}
		a.Data, a.Type, a.Width, a.Height = small, typ, w, h
	}
	return &sdk.Media{Data: a.Data, Type: a.Type, Size: int64(len(a.Data)), Width: a.Width, Height: a.Height, Name: "avatar"}
}

// HandleMessage takes notifications of a user's nodes to a contact's JID (XEP-0163): a new avatar, nick or vCard. It is false for everything
// else.
func (c *Contacts) HandleMessage(ctx context.Context, m *packet.Message) bool {
	event, ok := m.Extension(nsEvent, "event")
	if !ok || m.Type == "error" {
		return false
	}
	if _, _, isContact, err := c.virtual(m.To); !isContact || err != nil {
		return false
	}
	list, _ := event.Child(nsEvent, "items")
	node := list.Get("node")
	if node != nsMetadata && node != nsNick && node != nodeVCard4 {
		return false
	}
	user, _, ok := c.user(m.From)
	if !ok || c.wait(ctx) != nil {
		return true
	}
	it, _ := list.Child(nsEvent, "item")
	if r := c.lock(user, false); r != nil {
		c.changed(r, node, it.Get("id")+" "+string(it.Inner()))
		r.mu.Unlock()
	}
	return true
}

// updated looks at what a user's presence says of the avatar (XEP-0153 §3.2). Called with r.mu held.
func (c *Contacts) updated(r *roster, p *packet.Presence) {
	x, ok := p.Extension(nsUpdate, "x")
	if !ok {
		return
	}
	if photo, ok := x.Child(nsUpdate, "photo"); ok {
		c.changed(r, nsUpdate, photo.Text())
	}
}

// changed reads the user's profile if what a source says of it is new. The same news comes once for each contact. Called with r.mu held.
func (c *Contacts) changed(r *roster, source, value string) {
	mark := brief(value)
	if r.news.Marks[source] == mark {
		return
	}
	if r.news.Marks == nil {
		r.news.Marks = map[string]string{}
	}
	r.news.Marks[source], r.dirty = mark, true
	if r.news.reading {
		r.news.again = true
		return
	}
	user := r.user
	r.news.reading = c.background(func(ctx context.Context) {
		for c.publishOwn(ctx, user) {
			continue
		}
	})
	if !r.news.reading {
		delete(r.news.Marks, source) // another time
	}
}

// publishOwn reads a user's profile and publishes it at the user's feed, if it is another than before. It reports whether something
// changed meanwhile.
func (c *Contacts) publishOwn(ctx context.Context, user string) (again bool) {
	read, cancel := context.WithTimeout(ctx, lookupTime)
	a, err := c.Profile(read, user)
	cancel()
	if err != nil {
		c.opt.Log.Debug("profile of a user not read", "error", err)
	}
	r := c.lock(user, false)
	if r == nil {
		return false
	}
	mark := fingerprint(a)
	fresh := err == nil && r.news.Print != mark
	if fresh {
		r.news.Print, r.dirty = mark, true
	}
	again = r.news.again && ctx.Err() == nil
	r.news.again, r.news.reading = false, again
	r.mu.Unlock()
	if fresh {
		ev := sdk.Event{Time: c.opt.Now(), Place: sdk.Ref{ID: sdk.PeerPlace(user, sdk.PeerAll)}, Actor: a, Change: sdk.ActorUpdated{}}
		if err := c.tell(ctx, []sdk.Event{ev}); err != nil {
			c.opt.Log.Warn("profile of a user not published", "error", err)
		}
	}
	return again
}
