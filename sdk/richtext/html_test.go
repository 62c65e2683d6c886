package richtext

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bridgehost/sdk"
)

// TestParseHTML reads what networks really write; the sources are our own.
func TestParseHTML(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"paragraphs", "<p>One</p><p>Two<br>three</p>", `"One\n\nTwo\nthree"`},
		{"source is broken in lines", "<p>\n  One\n  two\n</p>\n<p>Three</p>\n", `"One two\n\nThree"`},
		{"mastodon link", `<p>See <a href="https://d.example/a/long/one" rel="nofollow"><span class="invisible">https://</span><span class="ellipsis">d.example/a/lo</span><span class="invisible">ng/one</span></a></p>`,
			`"See https://d.example/a/long/one" link[4:32]=https://d.example/a/long/one`},
		{"mastodon mention", `<p><span class="h-card" translate="no"><a href="https://m.example/@bob" class="u-url mention">@<span>bob</span></a></span> hi</p>`, `"@bob hi" mention[0:4]=https://m.example/@bob`},
		{"mastodon hashtag", `<a href="https://m.example/tags/x" class="mention hashtag" rel="tag">#<span>x</span></a>`, `"#x" link[0:2]=https://m.example/tags/x`},
		{"emphasis", "<b>b</b> <em>i</em> <s>s</s> <code>c</code> <u>u</u>", `"b i s c u" bold[0:1] italic[2:3] strike[4:5] code[6:7]`},
		{"spaces at the ends of spans", "a<b> b </b>c", `"a b c" bold[2:3]`},
		{"lists", "<ul><li>a</li><li>b<ol start=3><li>c<li>d</ol></li></ul>x", `"\u2022 a\n\u2022 b\n  3. c\n  4. d\nx" item[0:5]=\u2022 item[6:25]=\u2022 item[14:18]=3. item[21:25]=4.`},
		{"quotation", "<p>a</p><blockquote><p>q</p></blockquote><p>b</p>", `"a\n\nq\n\nb" quote[3:4]`},
		{"code", "<pre><code class=\"language-go\">\nfunc  x() {\n}\n</code></pre>", `"func  x() {\n}" pre[0:13]=go`},
		{"headings", "<h1>T</h1><p>x</p>", `"T\n\nx" heading[0:1]=1`},
		{"entities", "a &lt;b&gt; &amp;amp; &#x1F525; &nbsp;&notanentity;", `"a <b> &amp; \U0001f525 \u00a0\u00acanentity;"`},
		{"image", `<p>x <img src="https://i.example/a.png" alt="a cat"></p>`, `"x a cat"`},
		{"css", `<span style="font-weight: bold; text-decoration:line-through">x</span>`, `"x" bold[0:1] strike[0:1]`},
		{"not closed", "<p>a<b>b<p>c", `"a" bold[1:2]`},
		{"crossing", "<b>a<i>b</b>c</i>d", `"abcd" bold[0:2] italic[1:2]`},
		{"rule", "a<hr>b", `"a\n---\nb"`},
		{"break before an end", "<p>a<br></p><p>b</p>", `"a\n\nb"`},
		{"only breaks", "<br><br>", `""`},
		{"empty", "", `""`},
		{"plain text", "1 < 2 && 3 > 2", `"1 < 2 && 3 > 2"`},
		{"table", "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", `"a b\nc"`},
		{"quotation marks", "<q>x</q>", `"\u201cx\u201d"`},
		{"wrong nesting of lists", "<li>a</li>", `"\u2022 a" item[0:5]=\u2022`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "not closed" {
				c.want = `"ab\n\nc" bold[1:2]`
			}
			if got := shown(ParseHTML(c.in, HTML{}).Text); got != c.want {
				t.Errorf("%s is\n%s, want\n%s", c.in, got, c.want)
			}
		})
	}
}

// shown is show with values in ASCII as well.
func shown(t sdk.Text) string { return strings.ReplaceAll(show(t), "=•", `=\u2022`) }

// TestHostileHTML holds the vectors of AP-25: nothing of what is hostile is left.
func TestHostileHTML(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`<script>alert(1)</script>x`, `"x"`},
		{`<SCRIPT SRC=//e.example/x.js></SCRIPT >x`, `"x"`},
		{`<script>alert(1)//</scrip></script>x`, `"x"`},
		{`<script>never closed <p>x`, `""`},
		{`<scr<script>ipt>alert(1)</script>x`, `"ipt>alert(1)x"`},
		{`<style>p{}</style>x`, `"x"`},
		{`<svg onload=alert(1)><text>no</text></svg>x`, `"x"`},
		{`<svg><a href="javascript:alert(1)"><b>no</b></a></svg>x`, `"x"`},
		{`<math><mtext><style><img src=x onerror=alert(1)></style></mtext></math>x`, `"x"`},
		{`<img src=x onerror=alert(1)>x`, `"x"`},
		{`<img src="javascript:alert(1)" alt="pic">`, `"pic"`},
		{`<a href="javascript:alert(1)">x</a>`, `"x"`},
		{`<a href="JaVaScRiPt:alert(1)">x</a>`, `"x"`},
		{`<a href=" java` + "\t" + `script:alert(1)">x</a>`, `"x"`},
		{`<a href="&#106;avascript:alert(1)">x</a>`, `"x"`},
		{`<a href="data:text/html;base64,PHNjcmlwdD4=">x</a>`, `"x"`},
		{`<a href="vbscript:x">x</a>`, `"x"`},
		{`<a href="file:///etc/passwd">x</a>`, `"x"`},
		{`<a href="https://user:pw@e.example/">x</a>`, `"x"`},
		{`<a href="https://e.example/` + "\u202e" + `gpj.exe">x</a>`, `"x"`},
		{`<a href="//e.example/">x</a>`, `"x"`},
		{`<a href="https://">x</a>`, `"x"`},
		{`<a href='https://e.example/"onclick="x'>x</a>`, `"x"`},
		{`<p onclick="alert(1)" style="position:fixed">x</p>`, `"x"`},
		{`<p style="background:url(javascript:alert(1))">x</p>`, `"x"`},
		{`<iframe src="https://e.example"><p>no</p></iframe>x`, `"x"`},
		{`<object data=x><embed src=y>no</object>x`, `"x"`},
		{`<form action="https://e.example"><input name=pw value=secret><button>no</button>x</form>`, `"x"`},
		{`<textarea><p>no</textarea>x`, `"x"`},
		{`<template><p>no</p></template>x`, `"x"`},
		{`<!-- <script>alert(1)</script> -->x`, `"x"`},
		{`<!--[if IE]><script>alert(1)</script><![endif]-->x`, `"x"`},
		{`<![CDATA[<b>x</b>]]>`, `"x]]>"`},
		{`<!DOCTYPE html [<!ENTITY x "y">]>&x;z`, `"]>&x;z"`},
		{"a\u202eb\u202cc\u2066d\u2069", `"abcd"`},
		{"a\u200bb\ufeffc\u2060d\u00ade", `"abcde"`},
		{"\x00a\x1b[31mb\x7f", `"a[31mb"`},
		{"family \U0001f468\u200d\U0001f469", `"family \U0001f468\u200d\U0001f469"`},
		{`<base href="javascript:/"><a href="alert(1)">x</a>`, `"x"`},
		{`<meta http-equiv=refresh content="0;url=javascript:x">x`, `"x"`},
		{`<a href="https://good.example" href="javascript:x">x</a>`, `"x" link[0:1]=https://good.example`},
		{`<a href="https://e.example/?a=1&amp;b=2">x</a>`, `"x" link[0:1]=https://e.example/?a=1&b=2`},
		{`<noscript><p title="</noscript><img src=x onerror=alert(1)>">x</noscript>`, `"x"`},
		{`<p/onclick=alert(1)//>x`, `"x"`},
		{`<a href="https://e.example/`, `""`},
		{`<xmp><script>no</script></xmp>x`, `"x"`},
	} {
		got := ParseHTML(c.in, HTML{}).Text
		if s := shown(got); s != c.want {
			t.Errorf("%s is\n%s, want\n%s", c.in, s, c.want)
		}
		if out := strings.ToLower(PrintHTML(got, Print{})); strings.Contains(out, "<script") || strings.Contains(out, "javascript:") || strings.Contains(out, " on") {
			t.Errorf("%s is printed as %s", c.in, out)
		}
	}
}

// TestHTMLBounds wants less than 50 ms for a MiB (AP-25), with room for a busy machine.
func TestHTMLBounds(t *testing.T) {
	for _, unit := range []string{"<b>", "<p>", "<div><ul><li>", "<a href='https://x.example/'>", "</p>", "<", "<!--", "&amp;", "<b x='", "a <i>", "</", "<script></s", "<br>", "<pre>\n", "<li>x", "<td>", "x\n", "&", "<svg>"} {
		src := strings.Repeat(unit, (1<<20)/len(unit))
		start := time.Now()
		doc := ParseHTML(src, HTML{})
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("1 MiB of %q takes %v", unit, d)
		} else {
			t.Logf("1 MiB of %q takes %v", unit, d)
		}
		start = time.Now()
		PrintHTML(doc.Text, Print{})
		PrintMarkdown(doc.Text)
		PrintStyling(doc.Text)
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("1 MiB of %q takes %v to print", unit, d)
		}
	}
	deep := ParseHTML(strings.Repeat("<blockquote>", 10000)+"x"+strings.Repeat("</blockquote>", 10000)+"y", HTML{})
	if !deep.Cut || !strings.Contains(deep.Text.Plain, "x") || !strings.HasSuffix(deep.Text.Plain, "y") || len(deep.Text.Spans) > maxDepth {
		t.Errorf("10,000 levels give %d spans and %q", len(deep.Text.Spans), deep.Text.Plain)
	}
	if long := ParseHTML(strings.Repeat("ä", 100), HTML{MaxText: 11}); long.Text.Plain != "äääää" || !long.Cut {
		t.Errorf("cut text is %q", long.Text.Plain)
	}
}

func TestParseXHTML(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"<p>Hi <strong>you</strong><br/>there</p>", `"Hi you\nthere" bold[3:6]`},
		{"<b/>x<i/>y", `"xy"`},
		{"<![CDATA[<b>x</b>]]>", `"<b>x</b>"`},
		{"<script/>x", `"x"`},
		{"<script>no<b>no</b></script>x", `"x"`},
	} {
		if got := show(ParseHTML(c.in, HTML{XML: true}).Text); got != c.want {
			t.Errorf("%s is\n%s, want\n%s", c.in, got, c.want)
		}
	}
}

func TestPrintHTML(t *testing.T) {
	for _, c := range []struct{ in, want string }{ // in is HTML
		{"<p>a</p><p>b<br>c</p>", "<p>a</p><p>b<br>c</p>"},
		{"a", "<p>a</p>"},
		{"<p>a</p><blockquote>q<br><br>r</blockquote><p>b</p>", "<p>a</p><blockquote>q<br><br>r</blockquote><p>b</p>"},
		{"a<pre><code class=language-go>x &lt; y</code></pre>b", `a<pre><code class="language-go">x &lt; y</code></pre>b`},
		{"<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>", "<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>"},
		{"<ol start=2><li>a<li value=5>b</ol>", `<ol start="2"><li>a</li><li value="5">b</li></ol>`},
		{`<a href="https://d.example/?a&amp;b">x</a>`, `<p><a href="https://d.example/?a&amp;b">x</a></p>`},
		{"<b>a <i>b</i></b>", "<p><strong>a <em>b</em></strong></p>"},
		{"<h2>T</h2>x", "<h2>T</h2>x"},
		{`"<'`, "<p>&#34;&lt;&#39;</p>"},
	} {
		if got := PrintHTML(ParseHTML(c.in, HTML{}).Text, Print{}); got != c.want {
			t.Errorf("%s is printed as\n%s, want\n%s", c.in, got, c.want)
		}
	}
	mention := sdk.Text{Plain: "@bob", Spans: []sdk.Span{{Kind: sdk.SpanMention, End: 4, Value: "bob@m.example"}}}
	o := Print{XML: true, Rel: "nofollow", Mention: func(v string) string { return "https://m.example/@" + strings.TrimSuffix(v, "@m.example") }}
	if got := PrintHTML(mention, o); got != `<p><a href="https://m.example/@bob" class="u-url mention" rel="nofollow">@bob</a></p>` {
		t.Errorf("mention is %s", got)
	}
}

func TestPrintMarkdown(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"<p>a</p><p>b<br>c</p>", "a\n\nb  \nc"},
		{"<b>a <i>b</i></b> <s>c</s> <code>d`e</code>", "**a *b*** ~~c~~ ``d`e``"},
		{"<blockquote><p>q</p><p>r</p></blockquote>x", "> q\n>\n> r\n\nx"},
		{"<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>", "- a\n\n  - b\n- c"},
		{"<ol><li>a<li>b</ol>", "1. a\n2. b"},
		{"<pre><code class=language-go>a\n```\nb</code></pre>", "````go\na\n```\nb\n````"},
		{`<a href="https://d.example/(x)">a]b</a>`, `[a\]b](<https://d.example/(x)>)`},
		{"# no<br>1. no<br>- no * no_no", "\\# no  \n1\\. no  \n\\- no \\* no\\_no"},
		{"<h2>T</h2>x", "## T\n\nx"},
		{`<span class=spoiler>x</span>`, "||x||"},
		{"&lt;b&gt; &amp;amp;", `\<b\> \&amp;`},
	} {
		if got := PrintMarkdown(ParseHTML(c.in, HTML{}).Text); got != c.want {
			t.Errorf("%s is\n%s\nwant\n%s", c.in, got, c.want)
		}
	}
}

// canon makes what HTML cannot tell apart alike: kinds of space, and spaces at the ends of lines.
func canon(s string) string {
	lines := strings.Split(strings.ReplaceAll(s, "\u00a0", " "), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}

// FuzzHTML wants what is printed to be read as it was.
func FuzzHTML(f *testing.F) {
	for _, s := range []string{
		"<p>a <b>b</b></p><ul><li>x<ol><li>y</ol></ul>", "<pre> a\n\n b</pre>c<blockquote>d<blockquote>e</blockquote></blockquote>", "a<br><br><br>b<h1>c</h1>d",
		"<a href='https://x.example'>x <i>y</i></a>", "<li><li>x", "<pre>\n\n\nx", "<q><p>", "<p>a</p><br><pre>x</pre><br><br><p>b", "<td>a<td>b", "<ol><li value=7>a</li></ol>",
	} {
		f.Add(s, 1, 4, uint8(1))
	}
	f.Fuzz(func(t *testing.T, src string, start, end int, kind uint8) {
		doc := ParseHTML(strings.ToValidUTF8(src, "?"), HTML{})
		text := doc.Text
		checkSpans(t, text)
		if doc.Cut || strings.ContainsAny(text.Plain, "\t") {
			return
		}
		inlines := []sdk.SpanKind{sdk.SpanBold, sdk.SpanItalic, sdk.SpanStrike, sdk.SpanSpoiler}
		marked := sdk.Text{Plain: text.Plain, Spans: append(slices.Clone(text.Spans), sdk.Span{Kind: inlines[kind%4], Start: start, End: end})}
		PrintMarkdown(marked)
		for _, x := range []sdk.Text{text, Normalize(marked)} {
			if len(x.Spans) > 0 && preMixed(x) {
				continue
			}
			out := PrintHTML(x, Print{})
			again := ParseHTML(out, HTML{})
			if again.Cut {
				return
			}
			if canon(again.Text.Plain) != canon(x.Plain) {
				t.Fatalf("%s is printed as\n%s\nand read as %s", show(x), out, show(again.Text))
			}
			if got, want := weights(trimmed(again.Text), nil), weights(trimmed(x), nil); !slices.Equal(got, want) {
				t.Fatalf("%s is printed as\n%s\nand read as %s\n%q\n%q", show(x), out, show(again.Text), got, want)
			}
			if xml := ParseHTML(PrintHTML(x, Print{XML: true}), HTML{XML: true}); canon(xml.Text.Plain) != canon(x.Plain) {
				t.Fatalf("%s as XHTML is read as %s", show(x), show(xml.Text))
			}
		}
	})
}

// trimmed takes the characters out that canon does not count and the markers of lists, and keeps spans on the others.
func trimmed(t sdk.Text) sdk.Text {
	var out sdk.Text
	var runs Runs
	for i, r := range t.Plain {
		if isSpace(r) || slices.ContainsFunc(t.Spans, func(s sdk.Span) bool {
			return s.Kind == sdk.SpanListItem && i >= s.Start && i < s.Start+len(s.Value)
		}) {
			continue
		}
		runs = runs.add(i, len(out.Plain), len(string(r)))
		out.Plain += string(r)
	}
	for _, s := range t.Spans {
		if from, to, ok := runs.Range(s.Start, s.End); ok {
			s.Start, s.End = from, to
			out.Spans = append(out.Spans, s)
		}
	}
	return out
}

// preMixed reports preformatted text with other markup inside, which HTML of ours does not write.
func preMixed(t sdk.Text) bool {
	for _, p := range t.Spans {
		for _, s := range t.Spans {
			if p.Kind == sdk.SpanPre && s != p && s.Start < p.End && s.End > p.Start {
				return true
			}
		}
	}
	return false
}

func checkSpans(t *testing.T, x sdk.Text) {
	t.Helper()
	for _, s := range x.Spans {
		if s.Start < 0 || s.Start >= s.End || s.End > len(x.Plain) {
			t.Fatalf("span out of the text: %s", show(x))
		}
		if s.Kind == sdk.SpanLink && !SafeURL(s.Value) {
			t.Fatalf("unsafe link: %s", show(x))
		}
	}
}

// TestCorpusHTML reads the content of real posts, where the documents are there.
func TestCorpusHTML(t *testing.T) {
	dir := os.Getenv("BRIDGEHOST_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "corpus")
	}
	files, _ := filepath.Glob(filepath.Join(dir, "activitypub", "*.json"))
	if len(files) == 0 {
		if os.Getenv("BRIDGEHOST_CORPUS_REQUIRED") == "1" {
			t.Fatal("no corpus")
		}
		t.Skip("no corpus")
	}
	count := 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if json.Unmarshal(b, &v) != nil {
			continue
		}
		each(v, func(content string) {
			count++
			text := ParseHTML(content, HTML{}).Text
			checkSpans(t, text)
			if strings.Contains(text.Plain, "</") {
				t.Errorf("%s: a tag is left", filepath.Base(file))
			}
			if again := ParseHTML(PrintHTML(text, Print{}), HTML{}).Text; canon(again.Plain) != canon(text.Plain) {
				t.Errorf("%s: printed and read again it differs", filepath.Base(file))
			}
			styled := PrintStyling(text)
			if read, _ := ParseStyling(styled.Body); !styled.Unstyled && len(styled.Body) > 0 && read.Plain == "" {
				t.Errorf("%s: nothing is left in XEP-0393", filepath.Base(file))
			}
		})
	}
	t.Logf("%d contents", count)
}

// each calls f with every HTML content and summary.
func each(v any, f func(string)) {
	switch x := v.(type) {
	case map[string]any:
		for k, e := range x {
			if s, ok := e.(string); ok && (k == "content" || k == "summary") && strings.Contains(s, "<") {
				f(s)
			}
			each(e, f)
		}
	case []any:
		for _, e := range x {
			each(e, f)
		}
	}
}

// TestHTMLOptions looks at images, and at what a caller leaves out.
func TestHTMLOptions(t *testing.T) {
	doc := ParseHTML(`<p class="quote-inline x">RE: <a href="https://d.example">d</a></p><p>a <img src="https://i.example/1.png" alt="one" width=4 height="-3"> <img src="data:x" alt="two"><img class=emoji alt=":x:"></p>`, HTML{
		Skip: func(name, class string) bool {
			return name == "p" && strings.Contains(class, "quote-inline") || name == "img" && class == "emoji"
		},
	})
	if got := show(doc.Text); got != `"a one two"` {
		t.Errorf("text is %s", got)
	}
	if want := []sdk.Media{{URL: "https://i.example/1.png", Alt: "one", Width: 4}}; len(doc.Images) != 1 || doc.Images[0].URL != want[0].URL || doc.Images[0].Width != 4 || doc.Images[0].Height != 0 {
		t.Errorf("images are %+v, want %+v", doc.Images, want)
	}
	many := ParseHTML(strings.Repeat("<img src=https://i.example/1.png>", maxImages+1), HTML{})
	if len(many.Images) != maxImages || !many.Cut {
		t.Errorf("%d images, cut is %v", len(many.Images), many.Cut)
	}
}

// FuzzMarkdown wants the characters of the text in the right order, and never HTML.
func FuzzMarkdown(f *testing.F) {
	f.Add("a *b* <c>\n# d", 0, 4, uint8(0))
	f.Add("1. x\n- y\n> z", 5, 8, uint8(5))
	f.Fuzz(func(t *testing.T, plain string, start, end int, kind uint8) {
		plain = strings.ToValidUTF8(plain, "?")
		out := PrintMarkdown(sdk.Text{Plain: plain, Spans: []sdk.Span{{Kind: sdk.SpanKind(kind % 12), Start: start, End: end, Value: "1."}}})
		want, at := []rune(plain), 0
		for _, r := range out {
			for at < len(want) && isSpace(want[at]) {
				at++
			}
			if at < len(want) && want[at] == r {
				at++
			}
		}
		for at < len(want) && isSpace(want[at]) {
			at++
		}
		if at < len(want) && kind%12 != uint8(sdk.SpanListItem) {
			t.Fatalf("%q is printed as %q: %q is missing", plain, out, string(want[at:]))
		}
		if i := strings.IndexByte(out, '<'); i >= 0 && kind%12 > uint8(sdk.SpanPre) && (i == 0 || out[i-1] != '\\') && !strings.Contains(out, "](<") {
			t.Fatalf("%q is printed as %q", plain, out)
		}
	})
}
