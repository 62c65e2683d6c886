package convert

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"

	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/sdk"
)

func noteOf(t testing.TB, html string) Post {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"id": "https://evil.example/1", "type": "Note", "attributedTo": "https://evil.example/u", "to": []string{object.Public}, "content": html,
		"published": "2026-03-01T12:00:00Z"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Read(parse(t, string(raw)), Reading{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestHostileHTML: AP-25. What is written of hostile HTML holds no script, handler, foreign element or odd address, whatever the text says.
func TestHostileHTML(t *testing.T) {
	for name, html := range map[string]string{
		"script":                `a<script>alert(1)</script>b`,
		"script in capitals":    `a<SCRIPT SRC=//evil.example/x.js></SCRIPT>b`,
		"script without end":    `a<script>alert(1)`,
		"nested script":         `a<scr<script>ipt>alert(1)</script>b`,
		"onerror":               `<img src=x onerror=alert(1)>`,
		"onclick":               `<p onclick="alert(1)">x</p>`,
		"javascript":            `<a href="javascript:alert(1)">x</a>`,
		"javascript with tab":   "<a href=\"java\tscript:alert(1)\">x</a>",
		"javascript by entity":  `<a href="&#106;avascript:alert(1)">x</a>`,
		"data":                  `<a href="data:text/html,<script>alert(1)</script>">x</a>`,
		"vbscript":              `<a href="vbscript:x">x</a>`,
		"svg":                   `<svg onload=alert(1)><script>x</script></svg>`,
		"math":                  `<math><mtext><script>alert(1)</script></mtext></math>`,
		"style":                 `<style>*{background:url(https://evil.example)}</style>x`,
		"style attribute":       `<p style="background:url(https://evil.example)">x</p>`,
		"iframe":                `<iframe src="https://evil.example"></iframe>x`,
		"object":                `<object data="x"></object><embed src=x>x`,
		"form":                  `<form action="https://evil.example"><input name=a><button>b</button></form>`,
		"base and meta":         `<base href="https://evil.example"><meta http-equiv=refresh content="0;url=x">x`,
		"comment":               `a<!-- --><script>alert(1)</script>-->b`,
		"conditional":           `<!--[if IE]><script>alert(1)</script><![endif]-->x`,
		"direction":             "abc\u202egnp.exe",
		"isolates":              "a\u2066b\u2069c",
		"zero width":            "pay\u200bpal",
		"null":                  "a\u0000b",
		"double escape":         `&lt;script&gt;alert(1)&lt;/script&gt;`,
		"triple escape":         `&amp;lt;script&amp;gt;`,
		"quote in href":         `<a href='https://e.example/"onmouseover="alert(1)'>x</a>`,
		"user in href":          `<a href="https://good.example@evil.example/">x</a>`,
		"mention of a script":   `<a class="mention" href="javascript:x">@x</a>`,
		"mention without tag":   `<a class="u-url mention" href="https://evil.example/@x">@x</a>`,
		"template":              `<template><script>alert(1)</script></template>x`,
		"noscript":              `<noscript><p title="</noscript><img src=x onerror=alert(1)>">`,
		"textarea":              `<textarea></p><script>alert(1)</script></textarea>x`,
		"CDATA":                 `<![CDATA[<script>alert(1)</script>]]>`,
		"broken tags":           `<p<b<i>x</`,
		"class of our own":      `<p class="quote-inline">kept</p>`,
		"audio":                 `<audio src=x onerror=alert(1)>y</audio>x`,
		"id and name":           `<p id="location" name="cookie">x</p>`,
		"10,000 nested":         strings.Repeat("<b>", 10000) + "x",
		"10,000 quotes":         strings.Repeat("<blockquote>", 10000) + "x",
		"100,000 open brackets": strings.Repeat("<", 100000),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			p := noteOf(t, html)
			out, _ := Write(p.Item, names)
			if d := time.Since(start); d > 500*time.Millisecond {
				t.Errorf("took %v", d)
			}
			got := out.Text("content")
			rest := got
			for rest != "" {
				i := strings.IndexByte(rest, '<')
				if i < 0 {
					break
				}
				end := strings.IndexByte(rest[i:], '>')
				if end < 0 {
					t.Fatalf("open tag in %q", got)
				}
				harmless(t, rest[i:i+end+1])
				rest = rest[i+end+1:]
			}
			for _, r := range got + p.Item.Body() {
				if unicode.Is(unicode.Bidi_Control, r) || r == 0 || r == '\u200b' {
					t.Errorf("%U is left in %q", r, got)
				}
			}
			if name == "class of our own" && p.Item.Body() != "kept" {
				t.Errorf("text %q", p.Item.Body())
			}
		})
	}
}

const allowedTags = " p br a strong em del code pre blockquote ul ol li h1 h2 h3 h4 h5 h6 span "

// harmless checks one tag.
func harmless(t *testing.T, tag string) {
	t.Helper()
	name, rest, _ := strings.Cut(strings.Trim(tag, "</>"), " ")
	if !strings.Contains(allowedTags, " "+name+" ") {
		t.Errorf("tag %q", tag)
	}
	for rest != "" {
		attr, after, ok := strings.Cut(rest, `="`)
		value, next, closed := strings.Cut(after, `"`)
		if !ok || !closed {
			t.Errorf("attributes of %q", tag)
			return
		}
		switch strings.TrimSpace(attr) {
		case "href":
			if object.Origin(value) == "" {
				t.Errorf("address of %q", tag)
			}
		case "rel", "class", "start", "value":
		default:
			t.Errorf("attribute of %q", tag)
		}
		rest = strings.TrimSpace(next)
	}
}

// TestBounds: AP-21. Too much is cut and declared.
func TestBounds(t *testing.T) {
	var tags, options, files []any
	for i := range 1000 {
		n := strings.Repeat("x", i%50) + "-" + strings.Repeat("y", i/50)
		tags = append(tags, map[string]any{"type": "Mention", "href": "https://m.example/u/" + n, "name": "@u" + n}, map[string]any{"type": "Hashtag", "name": "#" + n})
		options = append(options, map[string]any{"type": "Note", "name": n})
		files = append(files, map[string]any{"type": "Document", "mediaType": "image/png", "url": "https://m.example/f/" + n})
	}
	raw, err := json.Marshal(map[string]any{"id": "https://m.example/1", "type": "Question", "attributedTo": "https://m.example/u", "to": object.Public, "content": strings.Repeat("a word ", 50000),
		"tag": tags, "oneOf": options, "attachment": files, "summary": strings.Repeat("w", 10000), "published": "2026-03-01T12:00:00Z"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Read(parse(t, string(raw)), Reading{})
	if err != nil {
		t.Fatal(err)
	}
	it := p.Item
	if len(it.Mentions) != MaxMentions || len(it.Tags) != MaxTags || len(it.Poll.Options) != MaxOptions || len(it.Media) != MaxMedia || len(it.Warning) > maxShort || len(it.Body()) > maxText {
		t.Errorf("%d mentions, %d tags, %d options, %d files, warning of %d, text of %d", len(it.Mentions), len(it.Tags), len(it.Poll.Options), len(it.Media), len(it.Warning), len(it.Body()))
	}
	kinds := map[sdk.LossKind]bool{}
	for _, l := range p.Loss {
		kinds[l.Kind] = true
	}
	if !kinds[sdk.LossText] || !kinds[sdk.LossPoll] || !kinds[sdk.LossMedia] {
		t.Errorf("losses %v", p.Loss)
	}
	out, loss := Write(it, names)
	document(t, out)
	if len(loss) == 0 {
		t.Error("shortening was not declared")
	}
}

func TestVisibility(t *testing.T) {
	const f = "https://m.example/u/followers"
	for _, c := range []struct {
		name, rest, followers string
		want                  sdk.Visibility
	}{
		{"public", `"to":"https://www.w3.org/ns/activitystreams#Public"`, f, sdk.VisibilityPublic},
		{"as:Public", `"to":["as:Public"]`, f, sdk.VisibilityPublic},
		{"Public", `"to":["Public"],"cc":"` + f + `"`, f, sdk.VisibilityPublic},
		{"unlisted", `"to":"` + f + `","cc":["as:Public"]`, f, sdk.VisibilityUnlisted},
		{"followers", `"to":"` + f + `"`, f, sdk.VisibilityFollowers},
		{"followers in cc", `"cc":["` + f + `"]`, "", sdk.VisibilityFollowers},
		{"followers of another", `"to":"https://x.example/u/followers"`, f, sdk.VisibilityDirect},
		{"direct", `"to":["https://x.example/u"]`, f, sdk.VisibilityDirect},
		{"nobody", `"type":"Note"`, f, sdk.VisibilityDirect},
		{"looks public", `"to":["public","https://www.w3.org/ns/activitystreams#Public/x"]`, f, sdk.VisibilityDirect},
		{"bcc", `"bcc":"` + f + `"`, f, sdk.VisibilityFollowers},
	} {
		if got := Visibility(parse(t, `{`+c.rest+`}`), c.followers); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

// TestDirect: a direct message goes to its recipients and names all of them, whoever else is mentioned.
func TestDirect(t *testing.T) {
	carol := Person{ID: "https://c.example/u/carol", Handle: "carol@c.example"}
	n := names
	n.Recipients = []Person{bob}
	n.ReplyAuthor = carol
	n.Person = func(m sdk.Mention) (Person, bool) { return carol, m.Actor.ID == "carol@c.example" }
	out, _ := Write(sdk.Item{Visibility: sdk.VisibilityDirect, Title: "subject", Text: sdk.NewText("@carol is odd"),
		Mentions: []sdk.Mention{{Actor: sdk.Ref{ID: "carol@c.example"}, Start: 0, End: 6}}}, n)
	o := document(t, out)
	if to, cc := o.To(), o.Cc(); len(to) != 1 || to[0] != bob.ID || len(cc) != 0 {
		t.Errorf("to %v cc %v", to, cc)
	}
	tags := o.Tags()
	if len(tags) != 1 || tags[0].Ref("href") != bob.ID || tags[0].Text("name") != "@bob@m.example" {
		t.Errorf("%d tags", len(tags))
	}
	if html, _ := o.Content(); !strings.Contains(html, "<strong>subject</strong>") || !o.Is("Note") {
		t.Errorf("%s %q", o.Type(), html)
	}
}

// TestStrip: the mention at the beginning of a direct message to us is left out, no other one.
func TestStrip(t *testing.T) {
	doc := func(to string) string {
		return `{"id":"https://m.example/1","type":"Note","attributedTo":"https://m.example/users/bob","to":["` + to + `"],"content":"<p><a class=\"mention\" href=\"https://ours.example/@ann\">@ann</a> <a class=\"mention\" href=\"https://c.example/@carol\">@carol</a>, hello <b>you</b></p>",
		"tag":[{"type":"Mention","href":"` + ann + `","name":"@ann@ours.example"},{"type":"Mention","href":"https://c.example/u/carol","name":"@carol@c.example"}]}`
	}
	r := Reading{Strip: func(id string) bool { return id == ann }}
	p, err := Read(parse(t, doc(ann)), r)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Item.Body(); got != "@carol, hello you" || len(p.Item.Mentions) != 2 {
		t.Errorf("%q %+v", got, p.Item.Mentions)
	}
	for _, m := range p.Item.Mentions {
		if m.End > 0 && p.Item.Body()[m.Start:m.End] != "@carol" {
			t.Errorf("mention %+v", m)
		}
	}
	for _, s := range p.Item.Text.Spans {
		if got := p.Item.Body()[s.Start:s.End]; s.Kind == sdk.SpanBold && got != "you" || s.Kind == sdk.SpanMention && got != "@carol" {
			t.Errorf("span %+v is %q", s, got)
		}
	}
	p, err = Read(parse(t, doc(object.Public)), r)
	if err != nil || p.Item.Body() != "@ann @carol, hello you" {
		t.Errorf("public: %q %v", p.Item.Body(), err)
	}
}

// FuzzRead: never a panic, and what is written of what was read is a document that reads the same again.
func FuzzRead(f *testing.F) {
	f.Add(`{"id":"https://m.example/1","type":"Note","attributedTo":"https://m.example/u","content":"<p>RE: <a href=\"https://q.example/1\">https://q.example/1</a></p>","quoteUrl":"https://q.example/1","tag":[{"type":"Mention","href":"https://ours.example/u/ann","name":"@ann"}],"attachment":[{"type":"Link","href":"https://l.example/"}]}`)
	f.Add(`{"id":"https://m.example/1","type":"Event","attributedTo":"https://m.example/u","startTime":"2026-01-01T00:00:00Z","location":[{"type":"Place","latitude":1.5,"longitude":2}]}`)
	f.Add(`{"id":"https://m.example/1","type":"Undo","actor":"https://m.example/u","object":{"type":"Like","object":"https://ours.example/1"}}`)
	f.Add(`{"id":"https://m.example/u","type":"Person","inbox":"https://m.example/in","preferredUsername":"u","summary":"#nobot"}`)
	f.Fuzz(func(t *testing.T, doc string) {
		o, err := object.Parse([]byte(doc))
		if err != nil {
			return
		}
		_, _ = ReadActor(o)
		_, _ = ReadActivity(o, Reading{})
		p, err := Read(o, Reading{Strip: func(string) bool { return true }})
		if err != nil || p.Vote != "" {
			return
		}
		for _, m := range p.Item.Mentions {
			if m.Start < 0 || m.End < m.Start || m.End > len(p.Item.Body()) {
				t.Fatalf("mention %+v of %q", m, p.Item.Body())
			}
		}
		out, _ := Write(p.Item, goldenNames(p))
		raw, err := out.Document()
		if err != nil {
			t.Fatal(err)
		}
		back, err := object.Parse(raw)
		if err != nil {
			t.Fatalf("own document refused: %v", err)
		}
		again, err := Read(back, Reading{})
		if err != nil || again.Vote != "" {
			t.Fatalf("own document not read: %v", err)
		}
		if again.Item.Visibility < p.Item.Visibility {
			t.Fatalf("visibility %d became %d", p.Item.Visibility, again.Item.Visibility)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	o := parse(b, `{"id":"https://m.example/1","type":"Note","attributedTo":"https://m.example/users/bob","to":["as:Public"],"content":"<p><span class=\"h-card\"><a href=\"https://ours.example/@ann\" class=\"u-url mention\">@<span>ann</span></a></span> hello, what a day <a href=\"https://m.example/tags/cats\" class=\"mention hashtag\" rel=\"tag\">#<span>cats</span></a></p>","tag":[{"type":"Mention","href":"https://ours.example/u/ann","name":"@ann@ours.example"},{"type":"Hashtag","name":"#cats"}],"attachment":[{"type":"Document","mediaType":"image/png","url":"https://m.example/1.png"}]}`)
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Read(o, Reading{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	p, _ := Read(o, Reading{})
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			out, _ := Write(p.Item, names)
			if _, err := out.Document(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func TestDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{"PT95S": 95 * time.Second, "PT1M1.5S": 61500 * time.Millisecond, "P1DT1H": 25 * time.Hour, "PT0S": 0, "": 0, "95": 0,
		"P": 0, "PT": 0, "PTS": 0, "P1Y": 0, "PT1X": 0, "P9999D": 0, "PT1..2S": 0, "-PT1S": 0, "P1M": 0} {
		if got := span(s); got != want {
			t.Errorf("%q: got %v, want %v", s, got, want)
		}
	}
}
