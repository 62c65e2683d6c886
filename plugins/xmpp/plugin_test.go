package xmpp

import (
	"encoding/json"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bridgehost/internal/itest"
	"bridgehost/sdk"
	"bridgehost/sdk/sdktest"
)

func TestMain(m *testing.M) { sdktest.Main(m, New()) }

// TestConformance runs the plugin in process, over gRPC and as a process of its
// own, each in a room of a Prosody.
func TestConformance(t *testing.T) {
	srv := itest.Prosody(t, serverOptions())
	juliet := itest.Slix(t, srv.Account("juliet"))
	room := srv.Room("ops")
	juliet.Join(room, "Juliet")
	raw, err := json.Marshal(component(srv))
	if err != nil {
		t.Fatal(err)
	}
	ignore := goleak.IgnoreCurrent() // the server and the client
	sdktest.Run(t, sdktest.Case{
		Plugin: New(),
		Config: sdk.Config{Link: "home", JSON: raw, Places: []sdk.PlaceUse{bothWays(room)}},
		Bad:    []json.RawMessage{json.RawMessage(`{}`), json.RawMessage(`{"mode":"x"}`), json.RawMessage(`{"mode":1}`), json.RawMessage(`{"nope":1}`)},
		Deliveries: []sdk.Delivery{
			textTo(sdk.RemoteID(room), "c1", grafana, "one"),
			{ID: "c2", Place: sdk.RemoteID(room), Event: sdk.Event{Actor: grafana, Change: sdk.ActorGone{}}},
		},
		Exercise: func(t *testing.T, l sdk.Link, h *sdktest.Host) {
			if r := deliver(t, l, textTo(sdk.RemoteID(room), "c3", grafana, "two"))[0]; len(r.Copies) != 1 {
				t.Errorf("receipt: %+v", r)
			}
			up := func(r sdk.Report) bool {
				return r.Place == sdk.RemoteID(room) && r.State == sdk.StateUp && r.Reason == "joined"
			}
			if _, err := h.WaitReport(t.Context(), up); err != nil {
				t.Fatal(err)
			}
			juliet.SendGroupchat(room, "hello")
			select {
			case ev := <-h.Events():
				if ev.Item().Body() != "hello" {
					t.Errorf("event: %+v", ev)
				}
			case <-time.After(itest.WaitTimeout):
				t.Error("no event")
			}
		},
		Leaks: func() error { return goleak.Find(ignore) },
	})
}

// TestDescribe looks at what an operator is shown.
func TestDescribe(t *testing.T) {
	m := New().Describe()
	if m.ID != "xmpp" || m.Sample == "" || len(m.Schema) == 0 {
		t.Errorf("manifest: %+v", m)
	}
}
