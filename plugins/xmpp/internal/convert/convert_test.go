package convert

import (
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"mellium.im/xmpp/jid"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

func TestNick(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"Grafana", "Grafana"},
		{"  two   words ", "two words"},
		{"new\nline\ttab", "new line tab"},
		{"evil\u202egnp", "evilgnp"},
		{"zero\u200bwidth\ufeff", "zerowidth"},
		{"tag\U000e0041", "tag"},
		{"ＦＵＬＬ", "FULL"},
		{"\u0301\u0302", ""},
		{" \u200b\u3164\u2800", ""},
		{"", ""},
		{"\xff\xfeab", "ab"},
		{"Jürgen 🔥", "Jürgen 🔥"},
		{strings.Repeat("ä", 100), strings.Repeat("ä", 32)},
		{"a/b@c", "a/b@c"},
	} {
		if got := Nick(c.in); got != c.want {
			t.Errorf("Nick(%q) = %q, want %q", c.in, got, c.want)
		}
	}
	if got := NickWith(strings.Repeat("x", 64), "hooks"); len(got) > MaxNick || !strings.HasSuffix(got, " (hooks)") {
		t.Errorf("suffix: %q", got)
	}
}

func TestSkeleton(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"Juliet", "Julіet", true}, {"Juliet", "JULIET", true}, {"Juliet", "Jul1et", true}, {"Admin", "Аdmіn", true},
		{"Zoë", "Zoe", true}, {"Juliet", "Romeo", false}, {"O'Neil", "0'Neil", true},
	} {
		if got := Skeleton(c.a) == Skeleton(c.b); got != c.same {
			t.Errorf("%q and %q: same is %v", c.a, c.b, got)
		}
	}
}

// TestPuppetLocal shows that localparts are valid, stable and never shared.
func TestPuppetLocal(t *testing.T) {
	seen := map[string]sdk.Ref{}
	for _, home := range []sdk.Ref{
		{Link: "hooks", ID: "grafana"}, {Link: "hooks", ID: "Grafana"}, {Link: "hooks", ID: "GRAFANA"}, {Link: "hooks", ID: "a b"},
		{Link: "hooks", ID: `a\20b`}, {Link: "fedi", ID: "https://m.example/users/bob"}, {Link: "fedi", ID: "@bob@m.example"},
		{Link: "home", ID: "occupant:AbC+/=@ops@muc.example"}, {Link: "home", ID: "ops@muc.example/Juliet"},
		{Link: "hooks", ID: sdk.RemoteID(strings.Repeat("x", 5000))}, {Link: "hooks", ID: sdk.RemoteID(strings.Repeat("x", 5001))},
		{Link: "hooks", ID: ""}, {Link: "hooks", ID: "🔥"}, {Link: "hooks", ID: "\x00"}, {Link: "hooks", ID: "ﬁ"}, {Link: "hooks", ID: "fi"},
	} {
		local := PuppetLocal(home)
		j, err := jid.New(local, "bridge.example.org", "b")
		if err != nil || j.Localpart() != local {
			t.Errorf("localpart %q of %v is not one: %v, %v", local, home, j, err)
		}
		if other, taken := seen[local]; taken {
			t.Errorf("%v and %v share %q", other, home, local)
		}
		seen[local] = home
		if PuppetLocal(home) != local {
			t.Errorf("%v changes", home)
		}
	}
	if got := PuppetLocal(sdk.Ref{Link: "hooks", ID: "grafana"}); got != "hooks.grafana" {
		t.Errorf("localpart is %q", got)
	}
}

func TestRemote(t *testing.T) {
	for _, id := range []ID{
		{Room: "r@m", Stanza: "s", Message: "m"}, {Room: "r@m", Message: "m|%7C", From: "n|x"}, {Room: "r@m", Stanza: "a%b|c:d"},
		{Room: "a b", Message: "m", Origin: "o", From: "x@y"}, {Room: "r@m", Stanza: "s", More: []string{"t", "u|"}},
	} {
		got, ok := ParseRemote(id.Remote())
		if !ok || !reflect.DeepEqual(got, id) {
			t.Errorf("%+v comes back as %+v, %v", id, got, ok)
		}
	}
	for _, bad := range []sdk.RemoteID{"", "x", "s", "z:1", "s:%zz", "r:room"} {
		if id, ok := ParseRemote(bad); ok {
			t.Errorf("%q is %+v", bad, id)
		}
	}
}

func TestMessageID(t *testing.T) {
	if got := MessageID("bh-", "01JABC-9"); got != "bh-01JABC-9" {
		t.Errorf("id is %q", got)
	}
	a, b := MessageID("bh-", "with space"), MessageID("bh-", sdk.DeliveryID(strings.Repeat("x", 65)))
	if a == b || len(a) != 35 || strings.ContainsAny(a+b, " <&'") || a != MessageID("bh-", "with space") {
		t.Errorf("ids are %q and %q", a, b)
	}
}

func TestTag(t *testing.T) {
	a, b, c := Tag("home", "b.example"), Tag("home", "c.example"), Tag("far", "b.example")
	if a == b || a == c || a != Tag("home", "b.example") || len(a) != 9 {
		t.Errorf("tags are %q, %q, %q", a, b, c)
	}
}

func TestCompose(t *testing.T) {
	start := time.Date(2026, 6, 6, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name  string
		item  sdk.Item
		style Style
		body  string
		loss  string
		url   string
		plain bool
	}{
		{name: "text", item: sdk.Item{Text: sdk.NewText("a\nb")}, body: "a\nb"},
		{name: "author", item: sdk.Item{Text: sdk.NewText("a")}, style: Style{Author: "Ana"}, body: "Ana: a", loss: "author"},
		{name: "spans", item: sdk.Item{Text: &sdk.Text{Plain: "a", Spans: []sdk.Span{{End: 1}}}}, body: "*a*"},
		{name: "spans in a word", item: sdk.Item{Text: &sdk.Text{Plain: "ab", Spans: []sdk.Span{{End: 1, Start: 0}, {Start: 1, End: 2, Kind: sdk.SpanItalic}}}}, body: "*a*b", loss: "markup"},
		{name: "title", item: sdk.Item{Title: "T", Text: sdk.NewText("a")}, body: "T\na"},
		{name: "warning", item: sdk.Item{Warning: "a\nb", Text: sdk.NewText("c")}, body: "[a b]\nc", loss: "warning"},
		{name: "controls", item: sdk.Item{Text: sdk.NewText("a\x00b\r\nc\rd\ufffee")}, body: "a\ufffdb\nc\nd\ufffde", loss: "text"},
		{name: "styling", item: sdk.Item{Text: sdk.NewText("a *b*")}, body: "a *b*", plain: true},
		{name: "as it came", item: sdk.Item{Text: &sdk.Text{Plain: "a", Spans: []sdk.Span{{Kind: sdk.SpanQuote, End: 1}}}, Native: map[string][]byte{nativeBody: []byte(">a")}}, body: ">a"},
		{name: "changed since", item: sdk.Item{Text: &sdk.Text{Plain: "b", Spans: []sdk.Span{{Kind: sdk.SpanQuote, End: 1}}}, Native: map[string][]byte{nativeBody: []byte(">a")}}, body: "> b"},
		{name: "file", item: sdk.Item{Media: []sdk.Media{{URL: "https://x/a"}}}, body: "https://x/a", url: "https://x/a"},
		{name: "file with text", item: sdk.Item{Text: sdk.NewText("t"), Media: []sdk.Media{{URL: "https://x/a", Alt: "b"}}}, body: "t\nhttps://x/a (b)", loss: "media"},
		{name: "file without address", item: sdk.Item{Media: []sdk.Media{{Name: "a.png"}}}, body: "[file a.png]", loss: "media"},
		{name: "poll", item: sdk.Item{Text: sdk.NewText("q"), Poll: &sdk.Poll{Options: []sdk.PollOption{{Text: "a", Votes: 2}, {Text: "b"}}}}, body: "q\n1. a (2)\n2. b", loss: "poll"},
		{
			name: "calendar", item: sdk.Item{Calendar: &sdk.CalendarEvent{Name: "Picnic", Start: start, End: start.Add(time.Hour), Location: "park"}},
			body: "Picnic\n2026-06-06 10:00 UTC – 2026-06-06 11:00 UTC\npark", loss: "calendar",
		},
		{name: "sealed", item: sdk.Item{Sealed: &sdk.Sealed{}}, body: "[encrypted message that cannot be shown here]", loss: "sealed"},
		{name: "nothing", item: sdk.Item{}},
		{name: "long warning", item: sdk.Item{Warning: strings.Repeat("w", 3000), Text: sdk.NewText("a")}, body: "[" + strings.Repeat("w", 2000) + "]\na", loss: "text warning"},
		{name: "emoji", item: sdk.Item{Text: sdk.NewText(":x:"), Emoji: []sdk.Emoji{{Code: "x"}}}, body: ":x:", loss: "markup"},
		{name: "quote", item: sdk.Item{Text: sdk.NewText("a"), Quote: sdk.Target{Item: "1"}}, body: "a", loss: "reply"},
		{name: "action", item: sdk.Item{Text: &sdk.Text{Plain: "waves", Spans: []sdk.Span{{Kind: sdk.SpanItalic, End: 5}}}, Native: map[string][]byte{nativeAction: []byte("1")}}, body: "/me waves"},
		{name: "action by name", item: sdk.Item{Text: &sdk.Text{Plain: "waves", Spans: []sdk.Span{{Kind: sdk.SpanItalic, End: 5}}}, Native: map[string][]byte{nativeAction: []byte("1")}}, style: Style{Author: "Ana"}, body: "Ana: _waves_", loss: "author"},
		{name: "quotation by name", item: sdk.Item{Text: &sdk.Text{Plain: "a", Spans: []sdk.Span{{Kind: sdk.SpanQuote, End: 1}}}}, style: Style{Author: "Ana"}, body: "Ana:\n> a", loss: "author"},
		{name: "warning of a file", item: sdk.Item{Warning: "w", Media: []sdk.Media{{URL: "https://x/a", Type: "image/png"}}}, body: "[w]\nhttps://x/a", loss: "media warning"},
		{name: "warning alone", item: sdk.Item{Warning: "w"}, body: "[w]"},
		{name: "file by name", item: sdk.Item{Media: []sdk.Media{{URL: "https://x/a"}}}, style: Style{Author: "Ana"}, body: "Ana: https://x/a", loss: "media author"},
		{name: "address that is none", item: sdk.Item{Media: []sdk.Media{{URL: "javascript:x", Name: "n"}}}, body: "[file n]", loss: "media"},
		{name: "all is replaced", item: sdk.Item{Text: &sdk.Text{Plain: "\x00\x01", Spans: []sdk.Span{{End: 2}}}}, body: "\ufffd\ufffd", loss: "text"},
		{name: "long", item: sdk.Item{Text: sdk.NewText(strings.Repeat("&", 100))}, style: Style{MaxText: 106}, body: strings.Repeat("&", 20) + " […]", loss: "text"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Compose(&c.item, c.style)
			var loss []string
			for _, l := range got.Loss {
				loss = append(loss, string(l.Kind))
			}
			if got.Body != c.body || strings.Join(loss, " ") != c.loss || got.URL != c.url || got.Unstyled != c.plain {
				t.Errorf("got %q, loss %v, url %q, unstyled %v", got.Body, loss, got.URL, got.Unstyled)
			}
		})
	}
}

// FuzzCompose wants every message to be well-formed, within its limit, and with
// the body that Compose promised.
func FuzzCompose(f *testing.F) {
	f.Add("body", "Ana", "https://x", 100)
	f.Add("\x00<&>'\"\xff\ufffe]]>", "\u202e", "javascript:", 0)
	f.Fuzz(func(t *testing.T, body, author, url string, limit int) {
		limit = max(0, min(limit, 1<<20))
		it := sdk.Item{Text: sdk.NewText(body), Media: []sdk.Media{{URL: url}}, Warning: author}
		c := Compose(&it, Style{Author: Nick(author), MaxText: limit})
		b := AppendMessage(nil, Envelope{Prefix: MessagePrefix("groupchat", "a@b/c", author), ID: body, Replace: url, ReplyTo: author, Origin: true}, c)
		s, err := packet.DecodeBytes(b, packet.NSComponent)
		if len(b) > xmltok.ComponentLimits().MaxBytes {
			return
		}
		if err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if got := s.(*packet.Message).Body(); got != strings.ToValidUTF8(c.Body, "\ufffd") {
			t.Errorf("body is %q, want %q", got, c.Body)
		}
		if escaped := xmltok.AppendText(nil, c.Body); limit > 8 && len(escaped) > limit {
			t.Errorf("%d bytes, limit is %d", len(escaped), limit)
		}
	})
}

// FuzzFromGroupchat reads what rooms might send.
func FuzzFromGroupchat(f *testing.F) {
	f.Add([]byte("<message from='ops@muc.example.org/J' type='groupchat' id='1'><body>x</body><reply xmlns='urn:xmpp:reply:0' id='2'/><fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='0' end='1'/></fallback></message>"))
	f.Add([]byte("<message from='ops@muc.example.org'><apply-to xmlns='urn:xmpp:fasten:0' id='s'><retract xmlns='urn:xmpp:message-retract:0'/></apply-to></message>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := packet.DecodeBytes(b, packet.NSComponent)
		if err != nil {
			return
		}
		m, ok := s.(*packet.Message)
		if !ok {
			return
		}
		r := FromGroupchat(m, ops, now)
		if r.Item.Created.After(now) {
			t.Errorf("created %v", r.Item.Created)
		}
		if (r.Kind == Text || r.Kind == Correct) && r.Item.Text == nil && len(r.Item.Media) == 0 {
			t.Error("a message that says nothing")
		}
		if r.Kind == Moderate && Resource(m.From) != "" {
			t.Error("moderation by an occupant")
		}
		if id := r.ID.Remote(); id != "" {
			if back, ok := ParseRemote(id); !ok || back.Stanza != r.ID.Stanza || back.Message != r.ID.Message {
				t.Errorf("id %q comes back as %+v", id, back)
			}
		}
	})
}

// FuzzNick wants every nick to be one that rooms take.
func FuzzNick(f *testing.F) {
	for _, s := range []string{"Grafana", "\u202e", "a\u0301", "ﷺ", "\U000e0041x", "क्\u200dष"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		nick := Nick(s)
		if len(nick) > MaxNick || !utf8.ValidString(nick) || strings.ContainsAny(nick, "\n\r\t\u202e\u200b") {
			t.Fatalf("nick of %q is %q", s, nick)
		}
		if nick == "" {
			return
		}
		for _, n := range []string{nick, NickWith(nick, "hooks"), NickWith(nick, "hooks 7")} {
			if j, err := jid.New("ops", "muc.example.org", n); err != nil {
				t.Errorf("nick %q of %q: %v", n, s, err)
			} else if Nick(n) == "" || j.Resourcepart() == "" {
				t.Errorf("nick %q of %q vanishes", n, s)
			}
		}
	})
}
