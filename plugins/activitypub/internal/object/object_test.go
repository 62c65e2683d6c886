package object

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-fed/activity/streams"
	"github.com/go-fed/activity/streams/vocab"
)

// TestRefused: AP-11, AP-19 and AP-21. Each document is refused with its reason, at its place.
func TestRefused(t *testing.T) {
	list := func(n int, item string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
	}
	for _, c := range []struct {
		name, doc string
		want      Error
	}{
		{"empty", ``, Error{NotJSON, ""}},
		{"list", `[]`, Error{NotObject, ""}},
		{"trailing", `{} {}`, Error{NotJSON, ""}},
		{"comma", `{"a":1,}`, Error{NotJSON, ""}},
		{"comment", `{/**/}`, Error{NotJSON, ""}},
		{"leading zero", `{"a":01}`, Error{NotJSON, ""}},
		{"plus", `{"a":+1}`, Error{NotJSON, "/a"}},
		{"bare word", `{"a":nul}`, Error{NotJSON, "/a"}},
		{"control character", "{\"a\":\"\n\"}", Error{NotJSON, "/a"}},
		{"bad escape", `{"a":"\x"}`, Error{NotJSON, "/a"}},
		{"not UTF-8", "{\"a\":\"\xff\"}", Error{NotJSON, ""}},
		{"actor twice", `{"actor":"https://a.example/1","actor":"https://b.example/2"}`, Error{Duplicate, "/actor"}},
		{"actor twice by escape", `{"actor":"https://a.example/1","\u0061ctor":"https://b.example/2"}`, Error{Duplicate, "/actor"}},
		{"twice below", `{"object":{"id":"https://a.example/1","id":"https://b.example/2"}}`, Error{Duplicate, "/object/id"}},
		{"Actor beside actor", `{"actor":"https://a.example/1","Actor":"https://b.example/2"}`, Error{Folded, "/Actor"}},
		{"Actor alone", `{"Actor":"https://b.example/2"}`, Error{Folded, "/Actor"}},
		{"long s", "{\"publi\u017fhed\":\"x\"}", Error{Folded, "/publi\u017fhed"}},
		{"Kelvin sign", "{\"public\u212Aey\":\"x\"}", Error{Folded, "/public\u212Aey"}},
		{"unknown equal but for case", `{"foo":1,"Foo":2}`, Error{Folded, ""}},
		{"unknown equal but for case, both mixed", `{"fOo":1,"Foo":2}`, Error{Folded, ""}},
		{"id and @id", `{"id":"https://a.example/1","@id":"https://b.example/1"}`, Error{TwoIDs, ""}},
		{"id and @id below", `{"object":{"id":"https://a.example/1","@id":"https://b.example/1"}}`, Error{TwoIDs, "/object"}},
		{"type and @type", `{"type":"Note","@type":"Person"}`, Error{TwoIDs, ""}},
		{"Note and Person", `{"type":["Note","Person"]}`, Error{TwoTypes, "/type"}},
		{"Note and Article", `{"type":["as:Note","Article"]}`, Error{TwoTypes, "/type"}},
		{"types below", `{"object":[{"type":["Note","Create"]}]}`, Error{TwoTypes, "/object/0/type"}},
		{"graph", `{"@graph":[]}`, Error{GraphForm, ""}},
		{"reverse", `{"@reverse":{}}`, Error{GraphForm, ""}},
		{"10,000 objects", `{"object":` + list(10000, `"https://a.example/1"`) + `}`, Error{ListTooLong, "/object"}},
		{"300 objects", `{"object":` + list(300, `"https://a.example/1"`) + `}`, Error{ListTooLong, "/object"}},
		{"5,000 mentions", `{"tag":` + list(5000, `{"type":"Mention"}`) + `}`, Error{ListTooLong, "/tag"}},
		{"100,000 values", `{"a":` + list(30, list(4000, `1`)) + `}`, Error{TooMany, ""}},
		{"name of 1 MiB", `{"name":"` + strings.Repeat("x", 1<<17) + `"}`, Error{TextTooLong, "/name"}},
		{"id of 5,000 bytes", `{"id":"https://a.example/` + strings.Repeat("x", 5000) + `"}`, Error{TextTooLong, "/id"}},
		{"1.1 MiB", `{"a":"` + strings.Repeat("x", 1100<<10) + `"}`, Error{TooLarge, ""}},
		{"depth", strings.Repeat(`{"a":`, 33) + `1` + strings.Repeat(`}`, 33), Error{TooDeep, strings.Repeat("/a", 32)}},
		{"depth of lists", `{"a":` + strings.Repeat(`[`, 100000), Error{TooDeep, "/a" + strings.Repeat("/0", 31)}},
		{"number of 100 digits", `{"a":` + strings.Repeat("1", 100) + `}`, Error{TextTooLong, "/a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			_, err := Parse([]byte(c.doc))
			var got *Error
			if !errors.As(err, &got) || got.Reason != c.want.Reason || c.want.Where != "" && got.Where != c.want.Where {
				t.Errorf("got %v, want %s at %s", err, c.want.Reason, c.want.Where)
			}
			if d := time.Since(start); d > 500*time.Millisecond {
				t.Errorf("took %v", d)
			}
		})
	}
}

func TestAccepted(t *testing.T) {
	for name, doc := range map[string]string{
		"depth 32":              strings.Repeat(`{"a":`, 32) + `1` + strings.Repeat(`}`, 32),
		"language of capitals":  `{"contentMap":{"ID":"halo","id-ID":"x"}}`,
		"terms of a context":    `{"@context":{"Hashtag":"as:Hashtag","hashtag":"x:y","ID":"@id"}}`,
		"surrogates":            `{"a":"\ud83d\ude00"}`,
		"type of an extension":  `{"type":["Note","https://x.example/ns#Toot"]}`,
		"same type twice":       `{"type":["Note","as:Note"]}`,
		"exponents":             `{"a":[0,-0,1e5,1.5E-7,44.0]}`,
		"null members":          `{"to":null,"type":"Note"}`,
		"white space":           " \r\n\t{ \"a\" : [ ] }\n",
		"CryptographicKey list": `{"type":["CryptographicKey","Multikey"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse([]byte(doc)); err != nil {
				t.Error(err)
			}
		})
	}
}

func read(t testing.TB, doc string) *Object {
	t.Helper()
	o, err := Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestTolerance(t *testing.T) {
	o := read(t, `{"@id":"https://a.example/n/1","type":["x:Odd","as:Note"],"attributedTo":[{"type":"Person","id":"https://a.example/u"},"https://a.example/c"],
		"to":"as:Public","cc":[{"id":"https://a.example/f"},null],"content":null,"contentMap":{"en":"hi","de":"hallo"},"url":[{"type":"Link","mediaType":"video/mp4","href":"https://a.example/v.mp4"},
		{"type":"Link","mediaType":"text/html","href":"https://a.example/w"}],"sensitive":"true","published":"2026-01-02T03:04:05.123456+02:00","inReplyTo":{"id":"https://b.example/1"},
		"tag":{"type":"Link","mediaType":"application/ld+json; profile=\"https://www.w3.org/ns/activitystreams\"","href":"https://c.example/q"},"votersCount":12.0}`)
	if o.ID() != "https://a.example/n/1" || o.Type() != "Note" || o.Class() != ClassContent {
		t.Errorf("id %q type %q", o.ID(), o.Type())
	}
	if got := o.AttributedTo(); !slices.Equal(got, []string{"https://a.example/u", "https://a.example/c"}) {
		t.Errorf("attributedTo %v", got)
	}
	if p, listed := o.Public(); !p || !listed {
		t.Error("not public")
	}
	if got := o.Cc(); !slices.Equal(got, []string{"https://a.example/f"}) {
		t.Errorf("cc %v", got)
	}
	if html, lang := o.Content(); html != "hallo" || lang != "de" {
		t.Errorf("content %q %q", html, lang)
	}
	if o.Page() != "https://a.example/w" || !o.Sensitive() || o.InReplyTo() != "https://b.example/1" || o.Int("votersCount") != 12 {
		t.Errorf("page %q sensitive %v reply %q voters %d", o.Page(), o.Sensitive(), o.InReplyTo(), o.Int("votersCount"))
	}
	if want := time.Date(2026, 1, 2, 1, 4, 5, 123456000, time.UTC); !o.Published().Equal(want) {
		t.Errorf("published %v, want %v", o.Published(), want)
	}
	if q := o.Quote(); q.ID != "https://c.example/q" || q.Form != "link" {
		t.Errorf("quote %+v", q)
	}
}

func TestQuoteForms(t *testing.T) {
	for _, k := range []string{"quote", "quoteUrl", "quoteUri", "quoteURL", "_misskey_quote"} {
		o := read(t, `{"type":"Note","`+k+`":"https://a.example/1","quoteAuthorization":"https://a.example/s"}`)
		if got, want := o.Quote(), (Quote{"https://a.example/1", "https://a.example/s", k}); got != want {
			t.Errorf("%s: got %+v, want %+v", k, got, want)
		}
	}
	if q := read(t, `{"quote":"javascript:alert(1)"}`).Quote(); q.ID != "" {
		t.Errorf("quote %q", q.ID)
	}
}

// TestOwnership: AP-01, AP-05, AP-09, AP-13.
func TestOwnership(t *testing.T) {
	const head = `{"id":"https://a.example/act","type":"Create","actor":"https://a.example/u","object":`
	for _, c := range []struct {
		name, doc string
		activity  Reason
		embedded  Reason
	}{
		{"honest", head + `{"id":"https://a.example/1","type":"Note","attributedTo":"https://a.example/u"}}`, "", ""},
		{"an id", head + `"https://a.example/1"}`, "", ""},
		{"list of authors", head + `{"id":"https://a.example/1","type":"Video","attributedTo":["https://a.example/c","https://a.example/u"]}}`, "", ""},
		{"object elsewhere", head + `{"id":"https://good.example/1","type":"Note","attributedTo":"https://a.example/u"}}`, "", ObjectOwner},
		{"object of another", head + `{"id":"https://a.example/1","type":"Note","attributedTo":"https://a.example/v"}}`, "", ObjectOwner},
		{"nobody's object", head + `{"id":"https://a.example/1","type":"Note"}}`, "", ObjectOwner},
		{"object without id", head + `{"type":"Note","attributedTo":"https://a.example/u"}}`, "", NoID},
		{"another port", head + `{"id":"https://a.example:8443/1","type":"Note","attributedTo":"https://a.example/u"}}`, "", ObjectOwner},
		{"default port", head + `{"id":"https://A.example:443/1","type":"Note","attributedTo":"https://a.example/u"}}`, "", ""},
		{"another actor", head + `{"id":"https://a.example/v","type":"Person"}}`, "", ObjectOwner},
		{"itself", head + `{"id":"https://a.example/u","type":"Person"}}`, "", ""},
		{"its own activity", head + `{"id":"https://a.example/x","type":"Follow","actor":"https://a.example/u"}}`, "", ""},
		{"another's activity", head + `{"id":"https://a.example/x","type":"Follow","actor":"https://a.example/v"}}`, "", ObjectOwner},
		{"foreign id", `{"id":"https://good.example/act","type":"Create","actor":"https://evil.example/u"}`, ActorOrigin, ""},
		{"embedded actor of another origin", `{"id":"https://good.example/act","type":"Create","actor":{"id":"https://evil.example/u"}}`, ActorOrigin, ""},
		{"two actors", `{"id":"https://a.example/act","type":"Create","actor":["https://a.example/u","https://a.example/v"]}`, ManyActors, ""},
		{"no actor", `{"id":"https://a.example/act","type":"Create"}`, NoActor, ""},
		{"odd actor", `{"type":"Create","actor":"urn:x"}`, BadID, ""},
		{"odd id", `{"id":"file:///x","type":"Create","actor":"https://a.example/u"}`, BadID, ""},
		{"password in the id", `{"id":"https://good.example@evil.example/x","type":"Create","actor":"https://evil.example/u"}`, BadID, ""},
		{"no type", `{"actor":"https://a.example/u"}`, NoType, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := read(t, c.doc)
			if err := o.CheckActivity(); reason(err) != c.activity {
				t.Errorf("activity: got %v, want %q", err, c.activity)
			} else if err != nil {
				return
			}
			if err := o.CheckEmbedded(); reason(err) != c.embedded {
				t.Errorf("embedded: got %v, want %q", err, c.embedded)
			}
		})
	}
}

func reason(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	if err != nil {
		return Reason(err.Error())
	}
	return ""
}

func TestCheckFetched(t *testing.T) {
	const url = "https://a.example/1"
	for _, c := range []struct {
		name, doc string
		again     bool
		want      Reason
	}{
		{"itself", `{"id":"https://a.example/1","type":"Note","attributedTo":"https://a.example/u"}`, false, ""},
		{"another of the origin", `{"id":"https://a.example/2","type":"Note"}`, true, ""},
		{"of another origin", `{"id":"https://b.example/1","type":"Note"}`, false, ActorOrigin},
		{"author elsewhere", `{"id":"https://a.example/1","type":"Note","attributedTo":"https://b.example/u"}`, false, ObjectOwner},
		{"no id", `{"type":"Note"}`, false, NoID},
		{"no type", `{"id":"https://a.example/1"}`, false, NoType},
		{"key of another owner", `{"id":"https://a.example/1","type":"Person","publicKey":{"id":"https://a.example/1#k","owner":"https://b.example/u"}}`, false, KeyOwner},
		{"key of another origin", `{"id":"https://a.example/1","type":"Person","publicKey":{"id":"https://b.example/1#k","owner":"https://a.example/1"}}`, false, KeyOwner},
		{"multikey of another", `{"id":"https://a.example/1","type":"Person","assertionMethod":[{"id":"https://a.example/1#k","controller":"https://b.example/1"}]}`, false, KeyOwner},
	} {
		t.Run(c.name, func(t *testing.T) {
			again, err := read(t, c.doc).CheckFetched(url)
			if reason(err) != c.want || again != c.again {
				t.Errorf("got %v %v, want %v %q", again, err, c.again, c.want)
			}
		})
	}
}

func TestActorAccessors(t *testing.T) {
	o := read(t, `{"id":"https://a.example/u","type":"Person","inbox":"https://a.example/in","endpoints":{"sharedInbox":"https://a.example/shared"},
		"publicKey":{"id":"https://a.example/u#k","owner":"https://a.example/u","publicKeyPem":"PEM"},"assertionMethod":[{"type":"Multikey","id":"https://a.example/u#e","controller":"https://a.example/u","publicKeyMultibase":"z6"}],
		"alsoKnownAs":"https://b.example/u","movedTo":"https://c.example/u","manuallyApprovesFollowers":true,"webfinger":"u@a.example",
		"interactionPolicy":{"canQuote":{"automaticApproval":["as:Public"],"manualApproval":"https://a.example/f"},"canReply":{"always":["https://a.example/u"]}}}`)
	if got, want := o.PublicKeys(), []Key{{ID: "https://a.example/u#k", Owner: "https://a.example/u", PEM: "PEM"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("keys %+v", got)
	}
	if got, want := o.AssertionMethods(), []Key{{ID: "https://a.example/u#e", Owner: "https://a.example/u", Multibase: "z6"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("multikeys %+v", got)
	}
	if o.SharedInbox() != "https://a.example/shared" || o.MovedTo() != "https://c.example/u" || !slices.Equal(o.AlsoKnownAs(), []string{"https://b.example/u"}) ||
		!o.ManuallyApprovesFollowers() || o.WebFinger() != "u@a.example" {
		t.Error("accessors")
	}
	if r := o.InteractionPolicy("canQuote"); !r.Everybody() || !slices.Equal(r.Manual, []string{"https://a.example/f"}) {
		t.Errorf("canQuote %+v", r)
	}
	if r := o.InteractionPolicy("canReply"); r.Everybody() || !r.Told {
		t.Errorf("canReply %+v", r)
	}
	if r := o.InteractionPolicy("canLike"); r.Told {
		t.Errorf("canLike %+v", r)
	}
}

// TestDocument: lists are lists, the context is exact, strings keep their HTML.
func TestDocument(t *testing.T) {
	o := New("Note").Set("id", "https://a.example/1").Set("to", Public).Set("content", "<p>\"a\" & b\u2028\x01</p>").Set("sensitive", true).
		Set("tag", New("Hashtag").Set("name", "#x").Set("@context", "gone")).Set("x", json.Number("44.0"))
	raw, err := o.Document()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"@context":["https://www.w3.org/ns/activitystreams",{"Hashtag":"as:Hashtag","sensitive":"as:sensitive"}],"id":"https://a.example/1","type":"Note",` +
		`"content":"<p>\"a\" & b` + "\u2028" + `\u0001</p>","sensitive":true,"tag":[{"type":"Hashtag","name":"#x"}],"to":["https://www.w3.org/ns/activitystreams#Public"],"x":44.0}`
	if string(raw) != want {
		t.Errorf("got  %s\nwant %s", raw, want)
	}
	if _, err := New("").Set("x", struct{}{}).Document(); err == nil {
		t.Error("a struct was written")
	}
	loop := New("")
	loop.Set("x", loop)
	if _, err := loop.MarshalJSON(); reason(err) != TooDeep {
		t.Errorf("loop: %v", err)
	}
}

// TestVocabEdit: what is changed by the vocabulary stays changed, what go-fed loses stays.
func TestVocabEdit(t *testing.T) {
	o := read(t, `{"@context":["https://www.w3.org/ns/activitystreams",{"x":"https://x.example/ns#"}],"id":"https://a.example/1","type":"Note","content":"a","contentMap":{"en":"a"},
		"to":["https://a.example/u"],"published":"2026-01-02T03:04:05.123456Z","inReplyTo":null,"x:y":[1.50],"summary":"gone"}`)
	v, err := o.Vocab(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	note := v.(vocab.ActivityStreamsNote)
	name := streams.NewActivityStreamsNameProperty()
	name.AppendXMLSchemaString("title")
	note.SetActivityStreamsName(name)
	note.SetActivityStreamsSummary(nil)
	back, err := FromVocab(context.Background(), note, o)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := back.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"@context":["https://www.w3.org/ns/activitystreams",{"x":"https://x.example/ns#"}],"id":"https://a.example/1","type":"Note","content":"a","contentMap":{"en":"a"},` +
		`"inReplyTo":null,"name":"title","published":"2026-01-02T03:04:05.123456Z","to":["https://a.example/u"],"x:y":[1.50]}`
	if string(raw) != want {
		t.Errorf("got  %s\nwant %s", raw, want)
	}
	if _, err := New("ChatMessage").Vocab(context.Background()); !errors.Is(err, ErrNoVocab) {
		t.Errorf("ChatMessage: %v", err)
	}
}

// TestClasses compares the table with go-fed's own hierarchy.
func TestClasses(t *testing.T) {
	for name, class := range classes {
		v, err := New(name).Vocab(context.Background())
		if err != nil {
			continue
		}
		if got := streams.IsOrExtendsActivityStreamsActivity(v) || name == "IntransitiveActivity"; got != (class == ClassActivity) && name != "Question" {
			t.Errorf("%s: activity %v", name, got)
		}
		if got := streams.IsOrExtendsActivityStreamsCollection(v); got != (class == ClassCollection) {
			t.Errorf("%s: collection %v", name, got)
		}
	}
}

// FuzzParse: never a panic, what encoding/json refuses is refused, and what is read is written as the same value.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"id":"https://a.example/1","type":["Note"],"content":"<p>\u00e9\ud83d\ude00</p>","a":[1.0,null,true,{"b":-1e5}]}`))
	f.Add([]byte(`{"type":"Create","actor":"https://a.example/u","object":{"type":"Question","oneOf":[{"name":"a","replies":{"totalItems":3}}],"closed":"2026-01-01T00:00:00Z"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := Parse(raw)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Reason == "" {
				t.Fatalf("untyped refusal %v", err)
			}
			return
		}
		if !json.Valid(raw) {
			t.Fatal("invalid JSON was taken")
		}
		back, err := o.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(back)
		if err != nil {
			t.Fatalf("own output refused: %v", err)
		}
		if !reflect.DeepEqual(o.m, again.m) {
			t.Fatalf("%s became %s", raw, back)
		}
		touch(o, t)
	})
}

// touch calls every accessor.
func touch(o *Object, t testing.TB) {
	o.Content()
	o.Name()
	o.Summary()
	o.Poll(10)
	o.Quote()
	o.Links("url")
	o.Links("icon")
	o.Page()
	o.PublicKeys()
	o.SharedInbox()
	o.InteractionPolicy("canQuote")
	o.Recipients()
	o.Public()
	o.Published()
	o.Conversation()
	_ = fmt.Sprint(o.CheckActivity(), o.CheckEmbedded(), o.CheckKeys(), o.Types(), o.Actor(), o.Attachments(), o.Tags())
	if _, err := o.CheckFetched("https://a.example/1"); err == nil && o.ID() == "" {
		t.Error("a document without id was taken")
	}
	if _, err := o.Document(); err != nil {
		t.Error(err)
	}
}

func BenchmarkParse(b *testing.B) {
	raw := []byte(`{"@context":["https://www.w3.org/ns/activitystreams",{"ostatus":"http://ostatus.org#","sensitive":"as:sensitive","toot":"http://joinmastodon.org/ns#"}],"id":"https://m.example/users/bob/statuses/1/activity","type":"Create","actor":"https://m.example/users/bob","published":"2026-03-01T12:00:00Z","to":["https://www.w3.org/ns/activitystreams#Public"],"cc":["https://m.example/users/bob/followers","https://ours.example/u/ann"],"object":{"id":"https://m.example/users/bob/statuses/1","type":"Note","summary":null,"inReplyTo":null,"published":"2026-03-01T12:00:00Z","url":"https://m.example/@bob/1","attributedTo":"https://m.example/users/bob","to":["https://www.w3.org/ns/activitystreams#Public"],"cc":["https://m.example/users/bob/followers","https://ours.example/u/ann"],"sensitive":false,"atomUri":"https://m.example/users/bob/statuses/1","inReplyToAtomUri":null,"conversation":"tag:m.example,2026-03-01:objectId=1:objectType=Conversation","content":"<p><span class=\"h-card\"><a href=\"https://ours.example/@ann\" class=\"u-url mention\">@<span>ann</span></a></span> hello, what a day <a href=\"https://m.example/tags/cats\" class=\"mention hashtag\" rel=\"tag\">#<span>cats</span></a></p>","contentMap":{"en":"<p>…</p>"},"attachment":[{"type":"Document","mediaType":"image/jpeg","url":"https://files.m.example/1.jpg","name":"A cat on a wall","blurhash":"UBL_:rOpGG-oBUNG","focalPoint":[-0.2,0.1],"width":1200,"height":800}],"tag":[{"type":"Mention","href":"https://ours.example/u/ann","name":"@ann@ours.example"},{"type":"Hashtag","href":"https://m.example/tags/cats","name":"#cats"}],"replies":{"id":"https://m.example/users/bob/statuses/1/replies","type":"Collection","first":{"type":"CollectionPage","next":"https://m.example/users/bob/statuses/1/replies?only_other_accounts=true&page=true","partOf":"https://m.example/users/bob/statuses/1/replies","items":[]}}}}`)
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(raw)))
		for b.Loop() {
			if _, err := Parse(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("vocab", func(b *testing.B) {
		o, _ := Parse(raw)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := o.Vocab(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("document", func(b *testing.B) {
		o, _ := Parse(raw)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := o.Document(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
