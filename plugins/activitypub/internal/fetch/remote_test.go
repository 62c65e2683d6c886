package fetch

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"bridgehost/plugins/activitypub/internal/keys"
	"bridgehost/plugins/activitypub/internal/sign"
)

func TestAP09RemoteKeys(t *testing.T) {
	s, evil := newSite(t), newSite(t)
	text, err := keys.PublicPEM(&ownKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := rsa.GenerateKey(rand.Reader, 2048)
	otherText, _ := keys.PublicPEM(&other.PublicKey)
	quoted := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	actor := func(at *site, name, id, owner, pem string) {
		at.doc("/"+name, `{"id":"$/`+name+`","type":"Person","inbox":"$/i","publicKey":{"id":"`+id+`","owner":"`+owner+`","publicKeyPem":`+quoted(pem)+`}}`)
	}
	actor(s, "bob", "$/bob#main-key", "$/bob", text)
	actor(s, "alice", "$/alice/main-key", "$/alice", text)
	s.doc("/alice/main-key", `{"id":"$/alice","type":"Person","publicKey":{"id":"$/alice/main-key","owner":"$/alice","publicKeyPem":`+quoted(text)+`}}`)
	actor(s, "carol", "$/carol/key", "$/carol", text)
	s.doc("/carol/key", `{"id":"$/carol/key","type":"CryptographicKey","owner":"$/carol","publicKeyPem":`+quoted(text)+`}`)
	s.doc("/unlisted/key", `{"id":"$/unlisted/key","owner":"$/carol","publicKeyPem":`+quoted(otherText)+`}`)
	s.doc("/moved/key", `{"id":"$/carol/key","owner":"$/carol","publicKeyPem":`+quoted(otherText)+`}`)
	actor(evil, "eve", "$/eve#main-key", s.URL+"/bob", otherText)
	evil.doc("/key", `{"id":"$/key","owner":"`+s.URL+`/bob","publicKeyPem":`+quoted(otherText)+`}`)
	s.mux.Handle("/open/key", http.RedirectHandler(evil.URL+"/open", http.StatusFound))
	evil.doc("/open", `{"id":"`+s.URL+`/open/key","owner":"`+s.URL+`/bob","publicKeyPem":`+quoted(otherText)+`}`)
	c, ck := client(t, nil)
	src := NewKeys(c, KeyOptions{})
	for id, owner := range map[string]string{"/bob#main-key": "/bob", "/alice/main-key": "/alice", "/carol/key": "/carol"} {
		got, err := src.PublicKey(t.Context(), s.URL+id, false)
		if err != nil || got.Owner != s.URL+owner || got.ID != s.URL+id || !ownKey().PublicKey.Equal(got.Key) {
			t.Errorf("%s: got %+v, %v", id, got, err)
		}
	}
	for name, id := range map[string]string{
		"owner on another host": evil.URL + "/eve#main-key", "bare key of another host's actor": evil.URL + "/key", "not listed": s.URL + "/unlisted/key",
		"id is not the URL asked": s.URL + "/moved/key", "redirected to another host": s.URL + "/open/key", "other fragment": s.URL + "/bob#other",
	} {
		if _, err := src.PublicKey(t.Context(), id, false); sign.ReasonOf(err) != sign.KeyOwner {
			t.Errorf("%s: got %v, want %s", name, err, sign.KeyOwner)
		}
	}
	n := s.n.Load()
	for range 20 {
		_, _ = src.PublicKey(t.Context(), s.URL+"/bob#main-key", true)
		_, _ = src.PublicKey(t.Context(), s.URL+"/unlisted/key", false)
	}
	if s.n.Load() != n {
		t.Errorf("%d requests for keys that were just read", s.n.Load()-n)
	}
	ck.add(6 * time.Minute)
	for range 20 {
		_, _ = src.PublicKey(t.Context(), s.URL+"/bob#main-key", true)
	}
	if s.n.Load() != n+1 {
		t.Errorf("%d requests for a key that failed 20 times, want 1", s.n.Load()-n)
	}
}

func TestAP20Collections(t *testing.T) {
	s, other := newSite(t), newSite(t)
	s.doc("/self", `{"id":"$/self","type":"OrderedCollection","totalItems":7,"first":"$/p"}`)
	s.doc("/p", `{"id":"$/p","type":"OrderedCollectionPage","orderedItems":["$/1",{"id":"$/2","type":"Note"},{"id":"https://evil.example/3","type":"Note"}],"next":"$/p"}`)
	s.doc("/endless", `{"id":"$/endless","type":"Collection","first":{"type":"CollectionPage","items":["$/0"],"next":"$/e/1"}}`)
	s.mux.HandleFunc("/e/{n}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/activity+json")
		fmt.Fprintf(w, `{"id":"%[1]s/e/%[2]s","type":"CollectionPage","items":["%[1]s/i%[2]s"],"next":"%[1]s/e/%[2]s1"}`, s.URL, r.PathValue("n"))
	})
	s.doc("/many", `{"id":"$/many","type":"Collection","items":[`+strings.Repeat(`"$/x",`, 500)+`"$/x"]}`)
	s.doc("/away", `{"id":"$/away","type":"Collection","items":["$/1"],"next":"`+other.URL+`/p"}`)
	c, _ := client(t, nil)
	for path, want := range map[string]struct {
		items, requests int
		more            bool
	}{"/self": {3, 2, true}, "/endless": {5, 5, true}, "/many": {100, 1, true}, "/away": {1, 1, true}} {
		before := s.n.Load()
		got, err := c.Collection(t.Context(), s.URL+path, Bounds{})
		if err != nil || len(got.Items) != want.items || got.More != want.more || s.n.Load()-before != int64(want.requests) {
			t.Errorf("%s: %d items, more %v, %v after %d requests, want %+v", path, len(got.Items), got.More, err, s.n.Load()-before, want)
		}
		if path == "/self" && (got.Items[0].Object != nil || got.Items[1].Object == nil || got.Items[2].Object != nil || got.Total != 7) {
			t.Errorf("trusted the wrong items: %+v", got)
		}
	}
	if other.n.Load() != 0 {
		t.Error("a page of another host was read")
	}
}
