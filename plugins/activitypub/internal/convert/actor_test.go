package convert

import (
	"errors"
	"reflect"
	"testing"

	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/sdk"
)

func actorDoc(rest string) string {
	return `{"id":"https://m.example/users/bob","type":"Person","inbox":"https://m.example/users/bob/inbox","preferredUsername":"Bob"` + rest + `}`
}

func TestReadActor(t *testing.T) {
	p, err := ReadActor(parse(t, actorDoc(`,"name":"Bob :blob: \u202eevil","summary":"<p>hi <script>x</script><a href=\"javascript:1\">me</a></p>","url":"https://m.example/@bob",
		"endpoints":{"sharedInbox":"https://m.example/inbox"},"icon":{"type":"Image","mediaType":"image/png","url":"https://m.example/a.png"},"image":"https://m.example/h.png",
		"manuallyApprovesFollowers":true,"publicKey":{"id":"https://m.example/users/bob#main-key","owner":"https://m.example/users/bob","publicKeyPem":"PEM"},
		"attachment":[{"type":"PropertyValue","name":"web","value":"<a href=\"https://bob.example\"><span class=\"invisible\">https://</span>bob.example</a>"}],
		"tag":[{"type":"Emoji","name":":blob:","icon":{"url":"https://m.example/b.png"}}],"alsoKnownAs":"https://n.example/users/bob"`)))
	if err != nil {
		t.Fatal(err)
	}
	want := sdk.Actor{Kind: sdk.ActorPerson, Home: sdk.Ref{ID: "bob@m.example"}, Handle: "@bob@m.example", Name: "Bob :blob: evil", Profile: "https://m.example/@bob",
		Summary: &sdk.Text{Plain: "hi me"}, Avatar: &sdk.Media{URL: "https://m.example/a.png", Type: "image/png"}}
	if !reflect.DeepEqual(p.Actor, want) {
		t.Errorf("got  %+v\nwant %+v", p.Actor, want)
	}
	if !p.Locked || p.Deliver() != "https://m.example/inbox" || p.Banner == nil || len(p.Emoji) != 1 || len(p.Keys) != 1 || p.Keys[0].PEM != "PEM" ||
		!reflect.DeepEqual(p.Fields, []Field{{"web", "bob.example"}}) || len(p.AlsoKnownAs) != 1 {
		t.Errorf("%+v", p)
	}
}

func TestActorRefused(t *testing.T) {
	for _, c := range []struct {
		name, doc string
		want      error
	}{
		{"a note", `{"id":"https://m.example/1","type":"Note"}`, ErrKind},
		{"no inbox", `{"id":"https://m.example/1","type":"Person","preferredUsername":"x"}`, ErrID},
		{"no id", `{"type":"Person","preferredUsername":"x","inbox":"https://m.example/in"}`, &object.Error{Reason: object.BadID}},
		{"inbox is no address", actorDoc(`,"inbox ":"x"`)[:0] + `{"id":"https://m.example/1","type":"Person","preferredUsername":"x","inbox":"file:///x"}`, ErrID},
		{"key of another", actorDoc(`,"publicKey":{"id":"https://good.example/u#k","owner":"https://good.example/u","publicKeyPem":"x"}`), &object.Error{Reason: object.KeyOwner}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := ReadActor(parse(t, c.doc)); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestConsent(t *testing.T) {
	for _, c := range []struct {
		name, rest string
		want       sdk.Consent
	}{
		{"nothing", ``, sdk.ConsentUnknown},
		{"bio", `,"summary":"<p>no bridges <a class=\"mention hashtag\" href=\"https://m.example/tags/nobridge\">#<span>NoBridge</span></a></p>"`, sdk.ConsentRefused},
		{"nobot", `,"summary":"I am #nobot."`, sdk.ConsentRefused},
		{"name", `,"name":"Bob #nobots"`, sdk.ConsentRefused},
		{"tag", `,"tag":{"type":"Hashtag","name":"#nobridge"}`, sdk.ConsentRefused},
		{"field", `,"attachment":[{"type":"PropertyValue","name":"nobridge","value":"yes"}]`, sdk.ConsentRefused},
		{"field turned round", `,"attachment":[{"type":"PropertyValue","name":"nobot","value":"no"}]`, sdk.ConsentUnknown},
		{"field value", `,"attachment":[{"type":"PropertyValue","name":"x","value":"#nobridge"}]`, sdk.ConsentRefused},
		{"FEP-0036 no", `,"bridgeable":false,"summary":"#yesbridge"`, sdk.ConsentRefused},
		{"FEP-0036 yes", `,"bridgeable":true`, sdk.ConsentGiven},
		{"asks for it", `,"summary":"#YesBridge"`, sdk.ConsentGiven},
		{"both", `,"summary":"#yesbridge #nobot"`, sdk.ConsentRefused},
		{"a longer word", `,"summary":"#nobotany, #nobot_x"`, sdk.ConsentUnknown},
		{"only the word", `,"summary":"nobot"`, sdk.ConsentUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := ReadActor(parse(t, actorDoc(c.rest)))
			if err != nil {
				t.Fatal(err)
			}
			if p.Actor.Consent != c.want {
				t.Errorf("got %d, want %d", p.Actor.Consent, c.want)
			}
		})
	}
}

func TestWriteActor(t *testing.T) {
	a := sdk.Actor{Kind: sdk.ActorGroup, Name: "Tea <room>", Summary: &sdk.Text{Plain: "all about tea", Spans: []sdk.Span{{Kind: sdk.SpanBold, Start: 10, End: 13}}},
		Avatar: &sdk.Media{URL: "https://ours.example/m/1", Type: "image/png", Alt: "a cup"}}
	f := Face{ID: ann, Username: "ann", Handle: "ann@ours.example", Inbox: ann + "/inbox", Outbox: ann + "/outbox", SharedInbox: "https://ours.example/inbox",
		Followers: ann + "/followers", Following: ann + "/following", Featured: ann + "/featured", KeyID: ann + "#main-key", KeyPEM: "PEM",
		MultikeyID: ann + "#ed25519", MultikeyValue: "z6Mk", Published: at, Locked: true, Discoverable: true, AlsoKnownAs: []string{"https://n.example/ann"},
		Fields: []Field{{"web", "https://ann.example/?a=1&b=2"}, {"likes", "tea & <b>"}}, Banner: &sdk.Media{URL: "https://ours.example/m/2"}}
	o := document(t, WriteActor(a, f))
	p, err := ReadActor(o)
	if err != nil {
		t.Fatal(err)
	}
	if p.Actor.Kind != a.Kind || p.Actor.Handle != "@ann@ours.example" || !reflect.DeepEqual(p.Actor.Summary, a.Summary) || p.Actor.Avatar.Alt != "a cup" {
		t.Errorf("%+v", p.Actor)
	}
	if p.Actor.Name != "Tea <room>" {
		t.Errorf("name %q", p.Actor.Name)
	}
	if !reflect.DeepEqual(p.Fields, f.Fields) {
		t.Errorf("fields %+v, want %+v", p.Fields, f.Fields)
	}
	if p.Deliver() != f.SharedInbox || p.Keys[0].ID != f.KeyID || p.Multikeys[0].Multibase != "z6Mk" || !p.Locked || !p.Published.Equal(at) || p.Featured != f.Featured {
		t.Errorf("%+v", p)
	}
}

func TestHandles(t *testing.T) {
	for in, want := range map[string]string{
		"@Bob@M.Example": "bob@m.example", "acct:bob@m.example": "bob@m.example", "bob@m.example:8443": "bob@m.example:8443", "bob@bücher.example": "bob@xn--bcher-kva.example",
		"bob": "", "@bob": "", "bob@": "", "@@m.example": "", "bob@m.example@evil": "", "bob@m.example.": "", "b b@m.example": "", "b/b@m.example": "",
		"bob@m.example:x": "", "bob@m%2eexample": "", "bob@good.example。evil": "bob@good.example.evil",
	} {
		if got, ok := NormalHandle(in); got != want || ok != (want != "") {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	for _, c := range [][3]string{{"https://m.example/users/bob", "@bob", "bob@m.example"}, {"https://m.example/users/bob", "@bob@social.example", "bob@social.example"},
		{"https://m.example/@bob", "", "bob@m.example"}, {"urn:x", "bob", ""}} {
		if got := GuessHandle(c[0], c[1]); got != c[2] {
			t.Errorf("%v: got %q", c, got)
		}
	}
}
