package activitypub

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/sdktest"
	"bridgehost/sdk/web"
)

func TestMain(m *testing.M) { sdktest.Main(m, New(Options{})) }

// TestConformance runs the suite of the contract over every transport.
func TestConformance(t *testing.T) {
	ev := sdk.Event{ID: "e1", Time: time.Unix(1e9, 0), Actor: sdk.Actor{Home: sdk.Ref{Link: "home", ID: juliet}},
		Change: sdk.FollowAsked{Object: sdk.Ref{Link: "fedi", ID: "bob@127.0.0.1"}}}
	sdktest.Run(t, sdktest.Case{
		Plugin:     New(Options{}),
		Config:     sdk.Config{Link: "fedi", JSON: json.RawMessage(`{"local_domains":["xmpp.example"]}`), Gateway: "home", PublicURL: "https://b.example", Dir: t.TempDir()},
		Bad:        []json.RawMessage{json.RawMessage(`{"domain":7}`), json.RawMessage(`{"nonsense":1}`), json.RawMessage(`{"allow":"nobody"}`), json.RawMessage(`{"names":{"x":"y"}}`)},
		Deliveries: []sdk.Delivery{{ID: "d1", Place: sdk.PeerPlace("bob@127.0.0.1", juliet), Event: ev, Attempt: 1}},
		Exercise: func(t *testing.T, l sdk.Link, _ *sdktest.Host) {
			handler := web.HandlerOf(l)
			if handler == nil {
				t.Fatal("no web facet")
			}
			resp, err := handler.ServeWeb(t.Context(), &web.Request{Method: "GET", Prefix: "/ap", Path: "/instance", Header: map[string][]string{"Accept": {"application/activity+json"}}})
			if err != nil || resp.Status != 200 || !strings.Contains(string(resp.Body), "publicKeyPem") {
				t.Fatalf("instance actor: %+v, %v", resp, err)
			}
		},
	})
}

func TestConfig(t *testing.T) {
	for _, c := range []struct{ json, url, gateway, key string }{
		{`{"domain":"Not A Host"}`, "https://b.example", "home", "domain"},
		{`{"path":"ap/"}`, "https://b.example", "home", "path"},
		{`{"local_domains":["x y"]}`, "https://b.example", "home", "local_domains"},
		{`{"names":{"a@b.example":"x","c@b.example":"x"}}`, "https://b.example", "home", `names."c@b.example"`},
		{`{"allow":"list"}`, "https://b.example", "home", "people"},
		{`{"block":["https://bad.example"]}`, "https://b.example", "home", "block"},
		{`{"allow_addresses":["x"]}`, "https://b.example", "home", "allow_addresses"},
		{`{}`, "", "home", "domain"},
		{`{}`, "http://b.example", "home", "domain"},
		{`{}`, "https://b.example", "", "domain"},
	} {
		_, err := New(Options{}).Open(sdk.Config{Link: "fedi", JSON: json.RawMessage(c.json), Gateway: sdk.LinkID(c.gateway), PublicURL: c.url}, sdktest.NewHost(nil))
		var ce *sdk.ConfigError
		if !errors.As(err, &ce) || len(ce.Faults) != 1 || ce.Faults[0].Key != c.key || ce.Faults[0].Remedy == "" {
			t.Errorf("%s: %v, want one fault of %s with a remedy", c.json, err, c.key)
		}
	}
	if New(Options{}).Describe().Schema == nil {
		t.Error("the config table has no schema")
	}
}
