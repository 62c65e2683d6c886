package atom

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"bridgehost/plugins/xmpp/internal/social/pubsub"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

var (
	now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	at  = pubsub.Address{Service: "ana@example.org", Node: pubsub.NSMicroblog, Item: "p1"}
)

func parse(t *testing.T, s string) Entry {
	t.Helper()
	e, err := xmltok.Parse([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	x, err := Parse(e)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

const full = `<entry xmlns='http://www.w3.org/2005/Atom' xmlns:thr='http://purl.org/syndication/thread/1.0' xml:lang='en'>
  <title type='text'>Tea at four?</title>
  <content type='text'>Tea at four?</content>
  <author><name>Ana</name><uri>xmpp:ana@example.org</uri></author>
  <id>tag:example.org,2026:post-1</id>
  <published>2026-03-01T15:00:00Z</published><updated>2026-03-01T16:00:00Z</updated>
  <category term='tea'/><category term='#cake'/>
  <link rel='alternate' type='text/html' href='https://example.org/p/1'/>
  <link rel='enclosure' type='image/png' title='a pot' href='https://example.org/pot.png' length='12'/>
  <link rel='replies' title='comments' href='xmpp:pubsub.example.org?;node=urn%3Axmpp%3Amicroblog%3A0%3Acomments%2Fp1'/>
  <thr:in-reply-to ref='tag:example.org,2026:post-0' href='http://example.net/0'/>
  <thr:in-reply-to ref='tag:example.org,2026:post-0' href='xmpp:bo@example.net?;
      node=urn%3Axmpp%3Amicroblog%3A0;
      item=p0'/>
</entry>`

func TestReadFullEntry(t *testing.T) {
	x := parse(t, full)
	it := x.Item(at, now)
	if it.Title != "" || it.Body() != "Tea at four?" {
		t.Errorf("title %q, text %q: a title that repeats the text is none", it.Title, it.Body())
	}
	if want := sdk.RemoteID("xmpp:bo@example.net?;node=urn%3Axmpp%3Amicroblog%3A0;item=p0"); it.ReplyTo.Remote != want {
		t.Errorf("reply to %q, want %q", it.ReplyTo.Remote, want)
	}
	if len(it.Tags) != 2 || it.Tags[1] != "cake" || it.Language != "en" || it.URL != "https://example.org/p/1" {
		t.Errorf("tags %q language %q url %q", it.Tags, it.Language, it.URL)
	}
	if len(it.Media) != 1 || it.Media[0].Alt != "a pot" || it.Media[0].Size != 12 || it.Media[0].Name != "pot.png" {
		t.Errorf("media %+v", it.Media)
	}
	if it.Created.Hour() != 15 || it.Edited.Hour() != 16 {
		t.Errorf("created %v edited %v", it.Created, it.Edited)
	}
	if len(x.Comments) != 1 || x.Comments[0].Service != "pubsub.example.org" || x.Comments[0].Node != "urn:xmpp:microblog:0:comments/p1" {
		t.Errorf("comments %+v", x.Comments)
	}
}

func TestReadLeniently(t *testing.T) {
	for name, c := range map[string]struct{ xml, title, text string }{
		"comment without id and updated": {`<entry xmlns='http://www.w3.org/2005/Atom'><title type='text'>She is so pretty!</title></entry>`, "", "She is so pretty!"},
		"xhtml title":                    {`<entry xmlns='http://www.w3.org/2005/Atom'><title type='xhtml'><div xmlns='http://www.w3.org/1999/xhtml'><p>at the <b>cafe</b></p></div></title></entry>`, "", "at the cafe"},
		"title and content":              {`<entry xmlns='http://www.w3.org/2005/Atom'><title>News</title><content>Long text</content></entry>`, "News", "Long text"},
		"cut title":                      {`<entry xmlns='http://www.w3.org/2005/Atom'><title>Long…</title><content>Long  text</content></entry>`, "", "Long  text"},
		"summary only":                   {`<entry xmlns='http://www.w3.org/2005/Atom'><title>News</title><summary>Short</summary></entry>`, "News", "Short"},
		"only xhtml":                     {`<entry xmlns='http://www.w3.org/2005/Atom'><title>News</title><content type='xhtml'><div xmlns='http://www.w3.org/1999/xhtml'><p>one</p><p>two</p></div></content></entry>`, "News", "one\n\ntwo"},
		"html content is not shown":      {`<entry xmlns='http://www.w3.org/2005/Atom'><title>News</title><content type='html'>&lt;script&gt;</content></entry>`, "", "News"},
	} {
		it := parse(t, c.xml).Item(at, now)
		if it.Title != c.title || strings.TrimSpace(it.Body()) != c.text {
			t.Errorf("%s: title %q text %q, want %q %q", name, it.Title, it.Body(), c.title, c.text)
		}
		if it.Created.IsZero() {
			t.Errorf("%s: no time", name)
		}
	}
}

func TestFutureStampIsNow(t *testing.T) {
	it := parse(t, `<entry xmlns='http://www.w3.org/2005/Atom'><title>x</title><published>2126-03-01T15:00:00Z</published></entry>`).Item(at, now)
	if !it.Created.Equal(now) {
		t.Errorf("created %v, want %v", it.Created, now)
	}
}

func TestRoundTrip(t *testing.T) {
	item := sdk.Item{
		Title: "A day out", Text: sdk.NewText("We went <there> & back."), Tags: []string{"walk"}, Language: "en",
		URL: "https://m.example/1", Created: now.Add(-time.Hour), Edited: now.Add(-time.Minute), Warning: "sun",
		ReplyTo: sdk.Target{Remote: Remote(pubsub.Address{Service: "bo@example.net", Node: pubsub.NSMicroblog, Item: "p 0;x"})},
		Media:   []sdk.Media{{URL: "https://m.example/a.png", Type: "image/png", Alt: "a hill", Size: 7, Name: "a.png"}},
	}
	x, loss, ok := FromItem(item, at, Author{Name: "Bob", JID: `bob\40m.example@ap.example.org`}, now)
	if !ok || len(loss) != 1 || loss[0].Kind != sdk.LossWarning {
		t.Fatalf("ok %v loss %+v", ok, loss)
	}
	e, err := x.Element()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Parse(e)
	if err != nil {
		t.Fatal(err)
	}
	got := back.Item(at, now)
	if got.Body() != item.Body() || got.Warning != "sun" || got.Language != "en" || got.URL != item.URL || got.ReplyTo != item.ReplyTo {
		t.Errorf("got %+v", got)
	}
	if !got.Created.Equal(item.Created) || !got.Edited.Equal(item.Edited) || len(got.Media) != 1 || !reflect.DeepEqual(got.Media, item.Media) {
		t.Errorf("got %+v", got)
	}
	if back.AuthorURI != `xmpp:bob\40m.example@ap.example.org` || back.AuthorName != "Bob" {
		t.Errorf("author %q %q", back.AuthorName, back.AuthorURI)
	}
}

func TestMarkupSurvives(t *testing.T) {
	text := sdk.Text{Plain: "go & see <this>", Spans: []sdk.Span{{Kind: sdk.SpanBold, Start: 0, End: 2}, {Kind: sdk.SpanLink, Start: 5, End: 8, Value: "https://m.example/?a&b"}}}
	x, loss, ok := FromItem(sdk.Item{Text: &text}, at, Author{Name: "Bob"}, now)
	if !ok || len(loss) != 0 || x.XHTML.IsZero() {
		t.Fatalf("ok %v loss %+v", ok, loss)
	}
	e, err := x.Element()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Parse(e)
	if err != nil {
		t.Fatal(err)
	}
	if back.Text != text.Plain {
		t.Errorf("text alternative %q", back.Text)
	}
	if got := back.Item(at, now).Text; !reflect.DeepEqual(*got, text) {
		t.Errorf("got %+v, want %+v", *got, text)
	}
}

func TestHostileXHTML(t *testing.T) {
	it := parse(t, `<entry xmlns='http://www.w3.org/2005/Atom'><title>x</title><content type='xhtml'><div xmlns='http://www.w3.org/1999/xhtml'>`+
		`<script>alert(1)</script><a href='javascript:alert(1)'>click</a><p><img src='https://m.example/p.png' alt='a pot'/></p></div></content></entry>`).Item(at, now)
	if !strings.HasPrefix(it.Text.Plain, "click") || strings.Contains(it.Text.Plain, "alert") || len(it.Text.Spans) != 0 {
		t.Errorf("text %+v", it.Text)
	}
	if len(it.Media) != 1 || it.Media[0].URL != "https://m.example/p.png" || it.Media[0].Alt != "a pot" {
		t.Errorf("media %+v", it.Media)
	}
}

func TestStrictWriting(t *testing.T) {
	for name, x := range map[string]Entry{
		"no id": {Title: "x", Updated: now}, "no title": {ID: "x", Updated: now}, "no updated": {ID: "x", Title: "x"},
	} {
		if _, err := x.Element(); err == nil {
			t.Errorf("%s was written", name)
		}
	}
	if _, _, ok := FromItem(sdk.Item{}, at, Author{}, now); ok {
		t.Error("an item without content became an entry")
	}
	long := strings.Repeat("wörter ", 60)
	x, _, _ := FromItem(sdk.Item{Text: sdk.NewText(long)}, at, Author{}, now)
	if len([]rune(x.Title)) > titleRune+1 || !strings.HasSuffix(x.Title, "…") {
		t.Errorf("title %q", x.Title)
	}
}

func TestRepeat(t *testing.T) {
	x := parse(t, `<entry xmlns='http://www.w3.org/2005/Atom'><title>x</title><link rel='via' href='xmpp:romeo@montague.lit?;node=urn%3Axmpp%3Amicroblog%3A0;item=1'/></entry>`)
	if a, ok := x.Repeats(); !ok || a.Service != "romeo@montague.lit" || a.Item != "1" {
		t.Errorf("repeats %+v %v", a, ok)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte(`<entry xmlns='http://www.w3.org/2005/Atom'><content type='xhtml'><div xmlns='http://www.w3.org/1999/xhtml'>a<br/>b</div></content></entry>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := xmltok.Parse(b)
		if err != nil {
			return
		}
		x, err := Parse(e)
		if err != nil {
			return
		}
		it := x.Item(at, now)
		y, _, ok := FromItem(it, at, Author{Name: x.AuthorName}, now)
		if !ok {
			return
		}
		out, err := y.Element()
		if err != nil {
			t.Fatalf("write what was read: %v", err)
		}
		if _, err := Parse(out); err != nil {
			t.Fatal(err)
		}
	})
}
