package convert

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
	"bridgehost/sdk/richtext"
)

var chatPrefix = MessagePrefix("chat", "juliet@capulet.example/balcony", "bob@chat.example.net")

// jidOf is a Style.Mention for tests.
func jidOf(m sdk.Mention) string { return string(m.Actor.ID) }

// sample makes an item of what a chat is declared to carry.
func sample(r *rand.Rand) sdk.Item {
	words := []string{"tea", "*", "_x_", "at", "five\n", "> q\n", "```\n", "🔥", "a<b&c", "ünï", "https://x.example/a_b", " ", "\n", "~", "`c`", "1.", "/me"}
	var b strings.Builder
	for range 1 + r.IntN(12) {
		b.WriteString(words[r.IntN(len(words))])
		if r.IntN(3) > 0 {
			b.WriteByte(' ')
		}
	}
	it := sdk.Item{Language: []string{"", "en", "de-CH"}[r.IntN(3)]}
	plain := strings.TrimSpace(b.String())
	if plain != "" && !strings.HasPrefix(plain, "/me") {
		text := sdk.Text{Plain: plain}
		for range r.IntN(3) {
			text.Spans = append(text.Spans, sdk.Span{Kind: sdk.SpanKind(r.IntN(4)), Start: r.IntN(len(plain)), End: r.IntN(len(plain) + 1)})
		}
		text = richtext.Normalize(text)
		it.Text = &text
		for i, c := range plain {
			if c == '🔥' || c == 'ü' {
				it.Mentions = append(it.Mentions, sdk.Mention{Actor: sdk.Ref{ID: "bob@m.example"}, Handle: "bob@m.example", Start: i, End: i + len(string(c))})
				break
			}
		}
	}
	if r.IntN(3) == 0 {
		it.Warning = "a & b"
	}
	if it.Text == nil || r.IntN(3) == 0 {
		it.Media = append(it.Media, sdk.Media{
			URL: "https://files.example/" + fmt.Sprint(r.IntN(9)), Type: "image/png", Name: "a b.png", Alt: "<a> & 🔥", Size: 5, Width: 3, Height: 4,
			Duration: 1500 * time.Millisecond, Blurhash: "LE%|x", Digest: strings.Repeat("0f", 32),
		})
	}
	return it
}

// TestRoundTrip sends items and reads the messages again: what differs is exactly what was declared lost.
func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 3000 {
		it := sample(r)
		style := Style{Mention: jidOf, Has: CanShare}
		if r.IntN(2) == 0 {
			style.Parent = &Parent{ID: "p1", JID: "bob@m.example", Name: "Bob", Text: "what\nthen?"}
		}
		messages, losses := AppendItem(&it, Envelope{Prefix: chatPrefix, ID: "bh001122-1", Receipt: true, Marker: true, State: StateActive}, style)
		if len(messages) != 1 {
			t.Fatalf("%d: %d messages", i, len(messages))
		}
		got := FromChat(decode(t, messages[0].Data), now)
		if got.Kind != Text || !got.WantsReceipt || !got.WantsMarker || got.State != StateActive {
			t.Fatalf("%d: %+v of %s", i, got, messages[0].Data)
		}
		if style.Parent != nil && (got.ReplyTo != "p1" || got.ReplyAt != "bob@m.example") {
			t.Fatalf("%d: reply %q %q", i, got.ReplyTo, got.ReplyAt)
		}
		compare(t, it, got.Item, losses, string(messages[0].Data))
		if t.Failed() {
			return
		}
	}
}

// compare fails where got is not want but for what was lost.
func compare(t *testing.T, want, got sdk.Item, losses []sdk.Loss, wire string) {
	t.Helper()
	lost := func(k sdk.LossKind) bool {
		return slices.ContainsFunc(losses, func(l sdk.Loss) bool { return l.Kind == k })
	}
	if got.Body() != want.Body() {
		t.Errorf("text is %q, want %q\n%s", got.Body(), want.Body(), wire)
		return
	}
	if want.Text != nil && !lost(sdk.LossMarkup) && !slices.Equal(marks(*got.Text), marks(*want.Text)) {
		t.Errorf("markup is %v, want %v\n%s", got.Text.Spans, want.Text.Spans, wire)
	}
	if !slices.Equal(got.Mentions, want.Mentions) {
		t.Errorf("mentions are %+v, want %+v\n%s", got.Mentions, want.Mentions, wire)
	}
	if !reflect.DeepEqual(got.Media, want.Media) {
		t.Errorf("files are %+v, want %+v\n%s", got.Media, want.Media, wire)
	}
	if got.Warning != want.Warning || got.Language != want.Language {
		t.Errorf("warning %q, language %q\n%s", got.Warning, got.Language, wire)
	}
}

// marks gives for every byte that is seen how it is marked.
func marks(text sdk.Text) []uint16 {
	out := make([]uint16, len(text.Plain))
	for _, s := range text.Spans {
		for i := s.Start; i < s.End; i++ {
			if text.Plain[i] > ' ' {
				out[i] |= 1 << s.Kind
			}
		}
	}
	return out
}

// TestParts splits an item over several messages and takes them back.
func TestParts(t *testing.T) {
	text := strings.Repeat("A sentence with *stars* & more. ", 40)
	it := sdk.Item{Text: sdk.NewText(text), Media: []sdk.Media{{URL: "https://f.example/1"}, {URL: "https://f.example/2", Alt: "two"}}}
	env := Envelope{Prefix: chatPrefix, ID: "bh001122-1"}
	messages, losses := AppendItem(&it, env, Style{MaxText: 500, Parts: 8, Parent: &Parent{ID: "p", Name: "Bob", Text: "x"}})
	if len(losses) != 0 || len(messages) < 5 {
		t.Fatalf("%d messages, lost %v", len(messages), losses)
	}
	whole, files := "", 0
	for i, m := range messages {
		got := FromChat(decode(t, m.Data), now)
		if (got.ReplyTo != "") != (i == 0) {
			t.Errorf("message %d answers %q", i, got.ReplyTo)
		}
		if n := len(xmltok.AppendText(nil, decode(t, m.Data).Body())); n > 500 {
			t.Errorf("message %d has %d bytes", i, n)
		}
		if !slices.Equal(PartsOf(m.ID), idsOf(messages)) {
			t.Errorf("parts of %s are %v", m.ID, PartsOf(m.ID))
		}
		whole += got.Item.Body() + " "
		files += len(got.Item.Media)
	}
	if strings.Join(strings.Fields(whole), "") != strings.Join(strings.Fields(text), "") || files != 2 {
		t.Errorf("text is %q, %d files", whole, files)
	}
	again, losses := AppendItem(&sdk.Item{Text: sdk.NewText("short")}, Envelope{Prefix: chatPrefix, ID: "bh001122-2", Replace: messages[0].ID}, Style{MaxText: 500, Parts: 8})
	if len(again) != len(messages) || len(losses) != 0 {
		t.Fatalf("correction has %d messages, lost %v", len(again), losses)
	}
	for i, m := range again {
		got := FromChat(decode(t, m.Data), now)
		if want := Retract; (i > 0 && got.Kind != want) || i == 0 && got.Kind != Correct || got.Target != messages[i].ID {
			t.Errorf("message %d: %v of %q", i, got.Kind, got.Target)
		}
	}
	if more, losses := AppendItem(&it, Envelope{Prefix: chatPrefix, ID: "bh001122-3", Replace: "bh001122-0"}, Style{MaxText: 500, Parts: 8}); len(more) != 1 || len(losses) == 0 {
		t.Errorf("correction of one message has %d, lost %v", len(more), losses)
	}
	if got := Retractions(env, PartsOf(messages[2].ID)...); len(got) != len(messages) || got[0].ID != "bh001122-1~1."+fmt.Sprint(len(messages)) {
		t.Errorf("%d retractions", len(got))
	}
}

func idsOf(messages []Message) []string {
	var ids []string
	for _, m := range messages {
		ids = append(ids, m.ID)
	}
	return ids
}

func TestPartsOf(t *testing.T) {
	for _, id := range []string{"x", "bh001122-1", "bh001122-1~1.1", "bh001122-1~3.2", "bh001122-1~0.2", "bh001122-1~01.2", "bh001122-1~1.999", "other~1.2", "bh001122-1~1.2.3"} {
		if got := PartsOf(id); len(got) != 1 || got[0] != id {
			t.Errorf("parts of %q are %v", id, got)
		}
	}
	if got := PartsOf("bh001122-1~2.2"); !slices.Equal(got, []string{"bh001122-1~1.2", "bh001122-1~2.2"}) {
		t.Errorf("parts are %v", got)
	}
}

// TestComposeReply looks at the fallback of replies (XEP-0461 §3.1).
func TestComposeReply(t *testing.T) {
	long := strings.Repeat("word ", 300)
	for _, c := range []struct {
		name      string
		style     Style
		body      string
		fallbacks []Fallback
		reply     bool
		loss      string
	}{
		{name: "known", style: Style{Parent: &Parent{ID: "p", Name: "Bob", Text: "one\ntwo"}}, body: "> Bob:\n> one\n> two\nyes", fallbacks: []Fallback{{NSReply, 0, 19}}, reply: true},
		{name: "understood", style: Style{Parent: &Parent{ID: "p", Name: "Bob", Text: "one"}, Has: CanReply}, body: "yes", reply: true},
		{name: "no copy", style: Style{Parent: &Parent{Name: "Bob", Text: "one"}}, body: "> Bob:\n> one\nyes", loss: "reply"},
		{name: "no text", style: Style{Parent: &Parent{ID: "p"}}, body: "yes", reply: true},
		{name: "nothing", style: Style{Parent: &Parent{}}, body: "yes", loss: "reply"},
		{name: "author", style: Style{Author: "Ana", Parent: &Parent{ID: "p", Text: "one"}}, body: "> one\nAna: yes", fallbacks: []Fallback{{NSReply, 0, 6}}, reply: true, loss: "author"},
		{name: "long", style: Style{Parent: &Parent{ID: "p", Text: long}}, body: "> " + strings.TrimSpace(long[:600]) + " […]\nyes", fallbacks: []Fallback{{NSReply, 0, 606}}, reply: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Compose(&sdk.Item{Text: sdk.NewText("yes")}, c.style)
			var loss []string
			for _, l := range got.Loss {
				loss = append(loss, string(l.Kind))
			}
			if got.Body != c.body || !slices.Equal(got.Fallbacks, c.fallbacks) || (got.Reply != nil) != c.reply || strings.Join(loss, " ") != c.loss {
				t.Errorf("got %q %v %v, lost %v", got.Body, got.Fallbacks, got.Reply, loss)
			}
		})
	}
}

// TestSigns looks at messages that are no items.
func TestSigns(t *testing.T) {
	env := Envelope{Prefix: chatPrefix, ID: "x1"}
	for name, c := range map[string]struct {
		data []byte
		want func(Reading) bool
	}{
		"state":     {AppendChatState(nil, env, StateComposing), func(r Reading) bool { return r.State == StateComposing && r.Hints == HintNoStore }},
		"receipt":   {AppendReceipt(nil, env, "m1"), func(r Reading) bool { return r.Signals[0] == Signal{sdk.SignalReceived, "m1"} && !r.WantsReceipt }},
		"displayed": {AppendDisplayed(nil, env, "m1"), func(r Reading) bool { return r.Signals[0] == Signal{sdk.SignalDisplayed, "m1"} }},
		"invite":    {AppendInvite(nil, env, Invite{Room: "r@m.example", Reason: "'"}), func(r Reading) bool { return r.Invite.Room == "r@m.example" && r.Invite.Reason == "'" }},
		"reactions": {AppendReactions(nil, env, "m1", []string{"👍"}), func(r Reading) bool { return r.Target == "m1" && len(r.Reactions) == 1 && r.Hints == HintStore }},
		"decline": {
			[]byte("<message from='r@m.example'><x xmlns='http://jabber.org/protocol/muc#user'><decline from='a@b.example'><reason>no</reason></decline></x></message>"),
			func(r Reading) bool {
				return r.Invite.Declined && r.Invite.From == "a@b.example" && r.Invite.Reason == "no"
			},
		},
	} {
		if r := FromChat(decode(t, c.data), now); !c.want(r) {
			t.Errorf("%s: %s is %+v", name, c.data, r)
		}
	}
}

// TestURI has the addresses in mind that need escapes (RFC 5122 §2.2).
func TestURI(t *testing.T) {
	for in, want := range map[string]string{
		"a@b.example": "a@b.example", "bob\\40m.example@b.example": "bob%5C40m.example@b.example", "b.example/x@y/z": "b.example/x@y%2Fz",
		"r@m.example/two words": "r@m.example/two%20words",
	} {
		if got := escapeURI(in); got != want || unescapeURI(got) != in {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
}

func TestAbilities(t *testing.T) {
	if a := AbilitiesOf([]string{NSReply, "x", NSSpoiler}); a != CanReply|CanSpoiler || !a.Has(CanReply) || a.Has(CanReply|CanReact) {
		t.Errorf("abilities are %b", a)
	}
	it := sdk.Item{Text: sdk.NewText("x"), Warning: "w"}
	if c := Compose(&it, Style{Has: CanSpoiler}); c.Body != "x" || c.Warning != "w" || len(c.Loss) != 0 {
		t.Errorf("content is %+v", c)
	}
}

// TestUnwrap has the forged wrappers of XM-06 and XM-07 in mind: the caller gets who wrapped, never only who is said to have written.
func TestUnwrap(t *testing.T) {
	inner := "<forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2026-02-01T00:00:00Z'/><message xmlns='jabber:client' from='a@b.example' type='chat'><body>x</body></message></forwarded>"
	for _, c := range []struct {
		name, in string
		kind     WrapKind
		body     string
	}{
		{"none", "<message from='m@e.example'><body>y</body></message>", Unwrapped, "y"},
		{"received", "<message from='m@e.example'><received xmlns='urn:xmpp:carbons:2'>" + inner + "</received></message>", CarbonReceived, "x"},
		{"sent", "<message from='m@e.example'><sent xmlns='urn:xmpp:carbons:2'>" + inner + "</sent></message>", CarbonSent, "x"},
		{"archive", "<message from='m@e.example'><result xmlns='urn:xmpp:mam:2' queryid='q' id='a'>" + inner + "</result></message>", Archived, "x"},
		{"forward", "<message from='m@e.example'>" + inner + "</message>", Forwarded, "x"},
		{"forward with a comment", "<message from='m@e.example'><body>look</body>" + inner + "</message>", Unwrapped, "look"},
		{"empty", "<message from='m@e.example'><received xmlns='urn:xmpp:carbons:2'/></message>", CarbonReceived, ""},
		{"an iq inside", "<message from='m@e.example'><received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><iq xmlns='jabber:client'/></forwarded></received></message>", CarbonReceived, ""},
		{"message of a foreign namespace", "<message from='m@e.example'><received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='urn:x'/></forwarded></received></message>", CarbonReceived, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := decode(t, []byte(c.in))
			got, kind := Unwrap(m)
			if kind != c.kind || (got == nil) != (c.body == "") || got != nil && got.Body() != c.body {
				t.Fatalf("got %v, kind %d", got, kind)
			}
			if (FromChat(m, now).Kind == Wrapped) != (kind != Unwrapped) {
				t.Errorf("reading is %+v", FromChat(m, now))
			}
			if w, ok, err := ReadWrapper(m); ok && w.From != "m@e.example" {
				t.Errorf("wrapper is %+v, %v", w, err)
			}
		})
	}
	w, _, err := ReadWrapper(decode(t, []byte("<message from='m@e.example'><result xmlns='urn:xmpp:mam:2' queryid='q' id='a'>"+inner+"</result></message>")))
	if err != nil || w.Query != "q" || w.Archive != "a" || w.Delay.Stamp.Year() != 2026 {
		t.Errorf("wrapper is %+v, %v", w, err)
	}
}

// FuzzFromChat reads what people's clients might send, and writes it again.
func FuzzFromChat(f *testing.F) {
	for _, s := range []string{
		"<message from='a@b.example/c' to='d@e.example' type='chat' id='1'><body>&gt; x\n*y* 🔥</body><reply xmlns='urn:xmpp:reply:0' id='2'/><fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='0' end='4'/><body/></fallback><reference xmlns='urn:xmpp:reference:0' type='mention' begin='4' end='6' uri='xmpp:a%40b@c.example'/></message>",
		"<message type='chat'><body>https://x.example/a</body><x xmlns='jabber:x:oob'><url>https://x.example/a</url></x><file-sharing xmlns='urn:xmpp:sfs:0'><file xmlns='urn:xmpp:file:metadata:0'><name>..</name><size>-1</size><hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>x</hash></file><sources><url-data xmlns='http://jabber.org/protocol/url-data' target='https://x.example/a'/></sources></file-sharing></message>",
		"<message><body>/me x</body><spoiler xmlns='urn:xmpp:spoiler:0'/><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><p>x <b>y</b></p></body></html><thread parent='a'>b</thread></message>",
		"<message><received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'/></forwarded></received></message>",
		"<message><x xmlns='jabber:x:conference' jid='@'/><x xmlns='http://jabber.org/protocol/muc#user'><invite/></x></message>",
	} {
		f.Add([]byte(s), 400)
	}
	f.Fuzz(func(t *testing.T, b []byte, limit int) {
		s, err := packet.DecodeBytes(b, packet.NSComponent)
		if err != nil {
			return
		}
		m, ok := s.(*packet.Message)
		if !ok {
			return
		}
		r := FromChat(m, now)
		Unwrap(m)
		if r.Item.Created.After(now) {
			t.Errorf("created %v", r.Item.Created)
		}
		if r.Kind != Text && r.Kind != Correct {
			return
		}
		if r.Item.Text == nil && len(r.Item.Media) == 0 {
			t.Fatal("a message that says nothing")
		}
		for _, x := range r.Item.Mentions {
			if x.Start < 0 || x.Start > x.End || x.End > len(r.Item.Body()) {
				t.Fatalf("mention %+v is not in %q", x, r.Item.Body())
			}
		}
		limit = max(256, min(limit, 1<<16))
		messages, _ := AppendItem(&r.Item, Envelope{Prefix: chatPrefix, ID: "bh001122-1"}, Style{Parts: 4, MaxText: limit, Mention: jidOf})
		for _, x := range messages {
			s, err := packet.DecodeBytes(x.Data, packet.NSComponent)
			if err != nil {
				t.Fatalf("%q: %v", x.Data, err)
			}
			if again := s.(*packet.Message); len(xmltok.AppendText(nil, again.Body())) > limit && again.Body() != "" && !bytes.Contains(x.Data, []byte(NSOOB)) {
				t.Errorf("body of %d bytes, limit is %d", len(again.Body()), limit)
			}
		}
		one, losses := AppendItem(&r.Item, Envelope{Prefix: chatPrefix, ID: "bh001122-1"}, Style{Mention: jidOf, Has: CanShare | CanSpoiler})
		if len(one) == 1 && r.Kind == Text && r.Item.Title == "" {
			again := FromChat(decode(t, one[0].Data), now)
			if again.Item.Body() != r.Item.Body() && !slices.ContainsFunc(losses, func(l sdk.Loss) bool { return l.Kind == sdk.LossText }) {
				t.Fatalf("%q comes back as %q\n%s", r.Item.Body(), again.Item.Body(), one[0].Data)
			}
		}
	})
}

// FuzzBody builds messages from parts, so that the fuzzer reaches what stands behind the XML.
func FuzzBody(f *testing.F) {
	f.Add("> q\nx *y*", "<p>x <b>y</b></p>", "Bob", 0, 4, uint8(0))
	f.Add("/me *x* 🔥", "", "a@b.example", 4, 6, uint8(1))
	f.Add("[w]\nhttps://f.example/a", "x", "", 0, 4, uint8(255))
	f.Fuzz(func(t *testing.T, body, html, name string, start, end int, flags uint8) {
		name = strings.ReplaceAll(name, "..", "") // a domain loses one dot at its end each time that it is normalised
		w := new(xmltok.Writer).Start(packet.NSComponent, "message", xmltok.A("type", "chat"), xmltok.A("id", "m1"))
		w.Start(packet.NSComponent, "body").Text(body).End()
		from, to := fmt.Sprint(start), fmt.Sprint(end)
		w.Start(NSReference, "reference", xmltok.A("type", "mention"), xmltok.A("begin", from), xmltok.A("end", to), xmltok.A("uri", "xmpp:"+name)).End()
		for i, space := range []string{NSReply, NSSpoiler, NSSFS} {
			if flags&(1<<i) != 0 {
				w.Start(NSFallback, "fallback", xmltok.A("for", space)).Start(NSFallback, "body", xmltok.A("start", from), xmltok.A("end", to)).End().End()
			}
		}
		w.Start(NSReply, "reply", xmltok.A("id", name)).End()
		if flags&8 != 0 {
			w.Start(NSSpoiler, "spoiler").Text(name).End()
		}
		if flags&16 != 0 {
			w.Start(NSOOB, "x").Start(NSOOB, "url").Text(body).End().End()
		}
		if flags&32 != 0 {
			w.Start(NSStyling, "unstyled").End()
		}
		if flags&64 != 0 {
			w.Start(NSXHTMLIM, "html").Start(NSXHTML, "body").Text(html).End().End()
		}
		e, err := w.Element()
		if err != nil {
			t.Fatal(err)
		}
		s, err := packet.Decode(e)
		if err != nil {
			t.Fatal(err)
		}
		r := FromChat(s.(*packet.Message), now)
		if r.Kind != Text || strings.Contains(r.Item.Body(), "\r") { // carriage returns become line ends
			return
		}
		for _, x := range r.Item.Mentions {
			if x.Start < 0 || x.Start > x.End || x.End > len(r.Item.Body()) {
				t.Fatalf("mention %+v is not in %q", x, r.Item.Body())
			}
		}
		messages, losses := AppendItem(&r.Item, Envelope{Prefix: chatPrefix, ID: "bh001122-1"}, Style{Mention: jidOf, Has: CanShare, Parent: &Parent{ID: "p", Name: name, Text: html}})
		got := FromChat(decode(t, messages[0].Data), now)
		if slices.ContainsFunc(losses, func(l sdk.Loss) bool { return l.Kind == sdk.LossText || l.Kind == sdk.LossMedia }) {
			return
		}
		want := r.Item
		if !slices.Equal(got.Item.Mentions, want.Mentions) || got.Item.Body() != want.Body() || !slices.EqualFunc(got.Item.Media, want.Media, func(a, b sdk.Media) bool { return a.URL == b.URL }) {
			t.Fatalf("%+v\ncomes back as\n%+v\n%s", want, got.Item, messages[0].Data)
		}
		if want.Text != nil && !slices.ContainsFunc(losses, func(l sdk.Loss) bool { return l.Kind == sdk.LossMarkup }) && !slices.Equal(marks(*got.Item.Text), marks(*want.Text)) {
			t.Fatalf("%v\ncomes back as\n%v\n%s", want.Text.Spans, got.Item.Text.Spans, messages[0].Data)
		}
	})
}

// TestSplitKeepsAll splits long texts at all sorts of limits: every character that is seen arrives, in order, unless a cut is declared.
func TestSplitKeepsAll(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	units := []string{"word ", "ünï ", "a&b<c ", "🔥", "sentence. ", "line\n", "\n\n", "> q\n", "*b* ", "verylongwordwithoutanyend"}
	for i := range 150 {
		var b strings.Builder
		for n := 200 + r.IntN(3000); b.Len() < n; {
			b.WriteString(units[r.IntN(len(units))])
		}
		if i%3 == 0 {
			b.Reset()
			b.WriteString(strings.Repeat(units[r.IntN(len(units))], 700))
		}
		plain := b.String()
		text := sdk.Text{Plain: plain}
		for range r.IntN(6) {
			text.Spans = append(text.Spans, sdk.Span{Kind: sdk.SpanKind(r.IntN(6)), Start: r.IntN(len(plain)), End: r.IntN(len(plain) + 1)})
		}
		limit := 300 + r.IntN(2000)
		messages, losses := AppendItem(&sdk.Item{Text: &text}, Envelope{Prefix: chatPrefix, ID: "bh001122-1"}, Style{Parts: MaxParts, MaxText: limit})
		whole := ""
		for _, m := range messages {
			read := decode(t, m.Data)
			if n := len(xmltok.AppendText(nil, read.Body())); n > limit {
				t.Errorf("%d: body of %d bytes, limit is %d", i, n, limit)
			}
			got := FromChat(read, now)
			whole += got.Item.Body()
		}
		lost := slices.ContainsFunc(losses, func(l sdk.Loss) bool { return l.Kind == sdk.LossText })
		got, want := strings.Join(strings.Fields(whole), ""), strings.Join(strings.Fields(plain), "")
		if (got != want) != lost {
			t.Errorf("%d: %d of %d bytes arrived in %d messages of %d, lost %v", i, len(got), len(want), len(messages), limit, losses)
		}
	}
}

// TestBounds keeps a message small whatever the item holds (AP-21).
func TestBounds(t *testing.T) {
	it := sdk.Item{Text: sdk.NewText("x"), Warning: strings.Repeat("w", 1<<20)}
	for range 5000 {
		it.Mentions = append(it.Mentions, sdk.Mention{Actor: sdk.Ref{ID: "bob@m.example"}, End: 1})
		it.Media = append(it.Media, sdk.Media{URL: "https://f.example/1", Alt: strings.Repeat("a", 10000)})
	}
	messages, losses := AppendItem(&it, Envelope{Prefix: chatPrefix, ID: "bh001122-1"}, Style{MaxText: 10000, Mention: jidOf})
	if len(messages) != 1 || len(messages[0].Data) > 64<<10 || len(losses) == 0 {
		t.Errorf("%d messages, %d bytes, lost %v", len(messages), len(messages[0].Data), losses)
	}
	it.Warning = ""
	it.Text = sdk.NewText(strings.Repeat("*a* > b\n", 1<<17))
	for i := range 10000 {
		it.Text.Spans = append(it.Text.Spans, sdk.Span{Kind: sdk.SpanKind(i % 6), Start: i * 100, End: i*100 + 150})
	}
	start := time.Now()
	defer func() {
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("a MiB takes %v", d)
		}
	}()
	messages, _ = AppendItem(&it, Envelope{Prefix: chatPrefix, ID: "bh001122-1"}, Style{MaxText: 10000, Parts: 1000, Mention: jidOf})
	for _, m := range messages {
		if len(messages) != MaxParts || len(m.Data) > 64<<10 {
			t.Fatalf("%d messages, one of %d bytes", len(messages), len(m.Data))
		}
	}
}
