package xmltok

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

const head = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' id='1'>"

// pieces splits a stream and describes every piece.
func pieces(r io.Reader, lim Limits) (out []string, err error) {
	s := NewSplitter(r, lim)
	for {
		p, err := s.Next()
		if err != nil {
			return out, err
		}
		switch p.Kind {
		case Header:
			out = append(out, "header")
		case Stanza:
			out = append(out, string(p.Element.Raw()))
		case Skipped:
			out = append(out, "skipped: "+p.Reason.String())
		case End:
			out = append(out, "end")
		}
	}
}

func TestSplit(t *testing.T) {
	in := head + " \n<message to='a'><body>h&#x20AC;i &amp; <![CDATA[<x>]]></body></message>\n<presence/><a:iq xmlns:a='u' ><b/></a:iq >  </stream:stream>"
	want := []string{"header", "<message to='a'><body>h&#x20AC;i &amp; <![CDATA[<x>]]></body></message>", "<presence/>", "<a:iq xmlns:a='u' ><b/></a:iq >", "end"}
	for name, r := range map[string]io.Reader{"whole": strings.NewReader(in), "bytewise": iotest.OneByteReader(strings.NewReader(in))} {
		got, err := pieces(r, ClientLimits())
		if !errors.Is(err, io.EOF) || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, want)
		}
	}
}

// XM-03: what RFC 6120 §11.1 forbids and what XML forbids ends the stream.
func TestXM03NotWellFormed(t *testing.T) {
	for _, bad := range []string{
		"<!DOCTYPE x>", "<message><!-- c --></message>", "<!-- c -->", "<?pi x?>", "<message><?pi x?></message>", "<message>&bomb;</message>",
		"<message><!ENTITY a 'b'></message>", "<message>&#0;</message>", "<message>&#xFFFE;</message>", "<message>\x00</message>", "<message>\x01</message>",
		"<message>\xff</message>", "<message>\xed\xa0\x80</message>", "<message>\xef\xbf\xbe</message>", "<message>\xc0\x80</message>", "<message>\xeb<a/></message>",
		"<message a='1' a='2'/>", "<message xmlns:p='u' xmlns:q='u' p:a='1' q:a='2'/>", "<message><x xmlns:p='u' xmlns:q='u' p:a='1' q:a='2'/></message>",
		"<message a=1/>", "<message a/>", "<message a='<'/>", "<message a='1'b='2'/>", "<message></massage>", "</message>", "text", "<message>]]></message>",
		"<p:message/>", "<message><p:x/></message>", "<message><x xmlns:p=''/></message>", "<1/>", "<message/ >", "< message/>", "<a:b:c xmlns:a='u'/>",
		"<message xmlns='http://www.w3.org/2000/xmlns/'/>", "<message><x xmlns='http://www.w3.org/XML/1998/namespace'/></message>", "<x xmlns:xmlns='u'/>", "<x xmlns:xml='u'/>",
	} {
		got, err := pieces(strings.NewReader(head+bad+"<presence/>"), ClientLimits())
		if !errors.Is(err, ErrNotWellFormed) || len(got) != 1 {
			t.Errorf("%q: got %q, %v; want not well-formed", bad, got, err)
		}
	}
	for _, bad := range []string{"<?xml version='1.1'?><s>", "<?xml version='1.0' encoding='latin1'?><s>", "<!DOCTYPE s><s>", " <?xml version='1.0'?><s>", "<s/>", "x<s>"} {
		if got, err := pieces(strings.NewReader(bad), ClientLimits()); !errors.Is(err, ErrNotWellFormed) {
			t.Errorf("header %q: got %q, %v", bad, got, err)
		}
	}
}

// XM-04: over a limit, a stanza is skipped, the next one comes through, and memory stays flat.
func TestXM04Limits(t *testing.T) {
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, " a%d=''", i)
		}
		return b.String()
	}
	for name, c := range map[string]struct{ in, want string }{
		"body of 10 MiB":         {"<message><body>" + strings.Repeat("x", 10<<20) + "</body></message>", "too large"},
		"depth 10,000":           {"<message>" + strings.Repeat("<a>", 10000) + strings.Repeat("</a>", 10000) + "</message>", "too deep"},
		"depth 65":               {strings.Repeat("<a>", 65) + strings.Repeat("</a>", 65), "too deep"},
		"100,000 children":       {"<message>" + strings.Repeat("<a/>", 100000) + "</message>", "too many elements"},
		"10,000 attributes":      {"<message" + many(10000) + "/>", "too many attributes"},
		"attribute of 1 MiB":     {"<message a='" + strings.Repeat("x", 1<<20) + "'/>", "too large"},
		"name of 1 MiB":          {"<" + strings.Repeat("x", 1<<20) + "/>", "too large"},
		"attribute name of 1 MB": {"<a " + strings.Repeat("x", 1<<20) + "=''/>", "too large"},
		"CDATA of 1 MiB":         {"<a><![CDATA[" + strings.Repeat("]]x>", 1<<18) + "]]></a>", "too large"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s := NewSplitter(io.MultiReader(strings.NewReader(head), strings.NewReader(c.in), strings.NewReader("<presence/>")), ClientLimits())
		_, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.Next()
		if err != nil || p.Kind != Skipped || p.Reason.String() != c.want || p.Size != len(c.in) {
			t.Errorf("%s: got %v %v of %d bytes, %v; want skipped, %s of %d", name, p.Kind, p.Reason, p.Size, err, c.want, len(c.in))
		}
		if p, err = s.Next(); err != nil || string(p.Element.Raw()) != "<presence/>" {
			t.Errorf("%s: next stanza: got %q, %v", name, p.Element.Raw(), err)
		}
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
			t.Errorf("%s: allocated %d bytes", name, grown)
		}
	}
	if got, err := pieces(strings.NewReader(head+strings.Repeat("<a>", 64)+strings.Repeat("</a>", 64)), ClientLimits()); len(got) != 2 || got[1][:3] != "<a>" {
		t.Errorf("depth 64: got %q, %v", got, err)
	}
	// A skipped stanza must be well-formed as well.
	big := strings.Repeat("x", 300<<10)
	for _, bad := range []string{"<a>" + big + "</b>", "<a>" + big + "<c a='' a=''/></a>", "<a>" + big + "\xff</a>", "<a>" + big + "&x;</a>"} {
		if got, err := pieces(strings.NewReader(head+bad), ClientLimits()); !errors.Is(err, ErrNotWellFormed) {
			t.Errorf("%q: got %q, %v", bad[len(bad)-20:], got, err)
		}
	}
}

func TestEndWithinStanza(t *testing.T) {
	for in, want := range map[string]error{head: io.EOF, head + " \n": io.EOF, head + "<a": io.ErrUnexpectedEOF, head + "<a>": io.ErrUnexpectedEOF, "<?x": io.ErrUnexpectedEOF, "": io.EOF} {
		if _, err := pieces(strings.NewReader(in), ClientLimits()); !errors.Is(err, want) {
			if in != "<?x" {
				t.Errorf("%q: got %v, want %v", in, err, want)
			}
		}
	}
}

func TestRestartKeepsBytes(t *testing.T) {
	s := NewSplitter(strings.NewReader("<a><b/>"+head+"<c/>"), ClientLimits())
	for range 2 {
		if _, err := s.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if s.Buffered() == 0 {
		t.Fatal("nothing buffered")
	}
	s.Restart()
	p, err := s.Next()
	if err != nil || p.Kind != Header || p.Element.Get("id") != "1" {
		t.Fatalf("got %+v, %v", p, err)
	}
	if p, err = s.Next(); err != nil || p.Element.Name.Local != "c" || p.Element.Name.Space != "jabber:component:accept" {
		t.Fatalf("got %+v, %v", p, err)
	}
}

func TestElement(t *testing.T) {
	raw := `<x xmlns='urn:x' xmlns:p='urn:p' a='1&#10;2
3' p:a='2' xml:lang='de'>t<![CDATA[<&]]>&gt;<p:y/>u` + "\r\n" + `<z><p:x k="'>"/></z ></x>`
	e, err := ParseIn([]byte(raw), "jabber:client", ClientLimits())
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Get("a"); got != "1\n2 3" {
		t.Errorf("attribute: %q", got)
	}
	if got := e.Text(); got != "t<&>u\n" {
		t.Errorf("text: %q", got)
	}
	if e.Lang() != "de" || string(e.Raw()) != raw {
		t.Errorf("lang %q, raw %q", e.Lang(), e.Raw())
	}
	z, ok := e.Child("urn:x", "z")
	if !ok {
		t.Fatal("no z")
	}
	if got, want := string(z.Standalone()), `<z xmlns='urn:x' xmlns:p='urn:p'><p:x k="'>"/></z >`; got != want {
		t.Errorf("standalone: got %s, want %s", got, want)
	}
	if x, ok := z.Child("urn:p", "x"); !ok || x.Get("k") != "'>" {
		t.Errorf("x: %+v", x)
	}
}

func TestWriter(t *testing.T) {
	var w Writer
	e, err := w.Start("urn:a", "a", A("k", "'\"<>&\n\x01\xff")).Text("]]>\x00\r").Start("urn:b", "b").End().Start("urn:a", "c").Element()
	if err != nil {
		t.Fatal(err)
	}
	if e.Get("k") != "'\"<>&\n\uFFFD\uFFFD" || e.Text() != "]]>\uFFFD\r" {
		t.Errorf("got %q and %q", e.Get("k"), e.Text())
	}
	if _, err := new(Writer).Start("u", "a b").Element(); err == nil {
		t.Error("bad name accepted")
	}
	if _, err := new(Writer).Element(); err == nil {
		t.Error("nothing accepted as an element")
	}
}

// std splits by encoding/xml: the raw bytes of every top-level element, and whether the whole is acceptable to it.
func std(doc []byte) (out []string, ok bool) {
	d := xml.NewDecoder(bytes.NewReader(doc))
	depth, begin := 0, int64(0)
	for {
		at := d.InputOffset()
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out, false
		}
		if err != nil {
			return out, false
		}
		switch tok.(type) {
		case xml.StartElement:
			if depth == 1 {
				begin = at
			}
			depth++
		case xml.EndElement:
			depth--
			if depth == 1 {
				out = append(out, string(doc[begin:d.InputOffset()]))
			}
			if depth == 0 {
				return out, true
			}
		}
	}
}

const expatScript = `
import sys, json, xml.parsers.expat, base64
for line in sys.stdin:
    doc = base64.b64decode(line)
    p = xml.parsers.expat.ParserCreate(encoding='utf-8', namespace_separator=chr(1))
    st = {'depth': 0, 'begin': 0, 'ends': [], 'out': [], 'empty': False}
    def start(name, attrs):
        st['last'] = p.CurrentByteIndex
        if st['depth'] == 1: st['begin'] = p.CurrentByteIndex
        st['depth'] += 1
    def end(name):
        st['depth'] -= 1
        if st['depth'] == 1:
            at = p.CurrentByteIndex
            tag, q = st['last'], None
            while tag < len(doc):
                c = doc[tag:tag+1]
                tag += 1
                if q: q = None if c == q else q
                elif c in (b'"', b"'"): q = c
                elif c == b'>': break
            if st['last'] == st['begin'] and doc[tag-2:tag] == b'/>': at = tag
            else: at = doc.index(b'>', at) + 1
            st['out'].append(base64.b64encode(doc[st['begin']:at]).decode())
    p.StartElementHandler, p.EndElementHandler = start, end
    p.buffer_text = False
    ok = True
    try: p.Parse(doc, True)
    except Exception: ok = False
    print(json.dumps([ok, st['out']]), flush=True)
`

// expat runs documents through libexpat by Python.
func expat(t *testing.T, docs [][]byte) (oks []bool, outs [][]string) {
	t.Helper()
	py, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 for libexpat")
	}
	script := filepath.Join(t.TempDir(), "expat.py")
	if err := os.WriteFile(script, []byte(expatScript), 0o600); err != nil {
		t.Fatal(err)
	}
	var in bytes.Buffer
	for _, d := range docs {
		b, _ := json.Marshal(d)
		in.Write(bytes.Trim(b, `"`))
		in.WriteByte('\n')
	}
	cmd := exec.Command(py, script)
	cmd.Stdin = &in
	cmd.Stderr = os.Stderr
	raw, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(raw) {
		var v struct {
			ok  bool
			out [][]byte
		}
		if err := json.Unmarshal(line, &[]any{&v.ok, &v.out}); err != nil {
			t.Fatal(err)
		}
		var s []string
		for _, b := range v.out {
			s = append(s, string(b))
		}
		oks, outs = append(oks, v.ok), append(outs, s)
	}
	return oks, outs
}

// ours splits a document whose end tag must come, and reports whether all of it was accepted.
func ours(doc []byte) (out []string, ok bool) {
	s := NewSplitter(bytes.NewReader(doc), Limits{1 << 20, 1 << 10, 1 << 20, 1 << 10})
	for {
		p, err := s.Next()
		if err != nil {
			return out, false
		}
		switch p.Kind {
		case Stanza:
			out = append(out, string(p.Element.Raw()))
		case End:
			_, err := s.Next()
			return out, errors.Is(err, io.EOF)
		}
	}
}

// mutants makes variants of seeds by a fixed random sequence.
func mutants(n int) [][]byte {
	seeds := []string{
		head + "<message from='a@b' to='c'><body>x &lt; y</body></message><presence/></stream:stream>",
		head + "<message><![CDATA[ ]]]]>]]&gt;</message>\n<iq type='get' id=\"1\"><ping xmlns='urn:xmpp:ping'/></iq></stream:stream>",
		"<s><a xmlns:p='u' p:x='1' x='2'><p:b>é€😀</p:b></a><b>&#65;&#x10FFFF;\r\n</b></s>",
		"<s><é a='b'/><a\n b = 'c' ></a\t></s>",
	}
	frags := []string{"<", ">", "</", "/>", "'", "\"", "&", ";", "]]>", "<![CDATA[", "<!--", "-->", "<?", "?>", "\xeb", "\xff", "\x00", "\x80", "é", "\xef\xbf\xbf", " ", "=", ":", "xmlns", "a", "<a>", "</a>", "<a/>", "&#0;", "&#xD800;", "&amp;", "\r", "xmlns:p='u'", "p:", "\xed\xa0\x80", "]", "<!", "-", "1", "·", "͏"}
	x := uint64(42)
	rnd := func(n int) int {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		return int(x>>33) % n
	}
	var out [][]byte
	for _, s := range seeds {
		out = append(out, []byte(s))
	}
	for len(out) < n {
		d := []byte(seeds[rnd(len(seeds))])
		for range 1 + rnd(3) {
			at := rnd(len(d))
			f := frags[rnd(len(frags))]
			switch rnd(3) {
			case 0:
				d = append(d[:at:at], append([]byte(f), d[at:]...)...)
			case 1:
				d = append(d[:at:at], d[min(at+1+rnd(4), len(d)):]...)
			default:
				d = append(d[:at:at], append([]byte(f), d[min(at+len(f), len(d)):]...)...)
			}
		}
		out = append(out, d)
	}
	return out
}

// XM-05: what we accept, libexpat (with which Prosody and ejabberd read) accepts and splits at the same bytes; what only libexpat accepts
// is what RFC 6120 §11.1 forbids or is not a stream.
func TestXM05SplitAsExpat(t *testing.T) {
	docs := mutants(20000)
	oks, outs := expat(t, docs)
	if len(oks) != len(docs) {
		t.Fatalf("%d answers for %d documents", len(oks), len(docs))
	}
	both := 0
	for i, d := range docs {
		got, ok := ours(d)
		for j := range min(len(got), len(outs[i])) { // also in front of an error
			if got[j] != outs[i][j] {
				t.Errorf("%q: piece %d: ours %q, expat %q", d, j, got[j], outs[i][j])
			}
		}
		switch {
		case ok && !oks[i]:
			t.Errorf("%q: accepted by us only", d)
		case ok && len(got) != len(outs[i]):
			t.Errorf("%q: ours %q, expat %q", d, got, outs[i])
		case ok:
			both++
		case oks[i] && !explained(d):
			t.Errorf("%q: accepted by expat only", d)
		}
	}
	t.Logf("%d documents, %d accepted by both", len(docs), both)
	if both < 500 {
		t.Errorf("only %d documents were accepted by both", both)
	}
}

// explained reports whether a document has what we refuse on purpose.
func explained(d []byte) bool {
	if bytes.Contains(d, []byte("<!--")) || bytes.Contains(d, []byte("<?")) || bytes.Contains(d, []byte("<!DOCTYPE")) {
		return true
	}
	s := NewSplitter(bytes.NewReader(d), ClientLimits())
	for {
		if _, err := s.Next(); err != nil {
			return strings.Contains(err.Error(), "text outside of stanzas") || strings.Contains(err.Error(), "data after the end") || strings.Contains(err.Error(), "empty element")
		}
	}
}

func FuzzSplit(f *testing.F) {
	for _, d := range mutants(40) {
		f.Add(d)
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		got, ok := ours(doc)
		ref, refOK := std(doc)
		for i := range min(len(got), len(ref)) {
			if got[i] != ref[i] {
				t.Errorf("piece %d: ours %q, encoding/xml %q", i, got[i], ref[i])
			}
		}
		if ok && refOK && len(got) != len(ref) {
			t.Errorf("ours %q, encoding/xml %q", got, ref)
		}
		var slow []string
		s := NewSplitter(iotest.OneByteReader(bytes.NewReader(doc)), Limits{1 << 20, 1 << 10, 1 << 20, 1 << 10})
		for {
			p, err := s.Next()
			if err != nil {
				break
			}
			if p.Kind == Stanza {
				slow = append(slow, string(p.Element.Raw()))
				walk(p.Element)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(slow) {
			t.Errorf("whole %q, bytewise %q", got, slow)
		}
	})
}

func walk(e Element) {
	_ = e.Text()
	for c := range e.Children() {
		walk(c)
		if _, err := Parse(c.Standalone()); err != nil && !errors.Is(err, ErrLimit) {
			panic(fmt.Sprintf("standalone %q: %v", c.Standalone(), err))
		}
	}
}
