package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/sdktest"
)

// TestMain lets the suite start this test program as the plugin.
func TestMain(m *testing.M) { sdktest.Main(m, plugin{}) }

// TestConformance runs the suite of the contract: in process, over gRPC, and as
// a process of its own.
func TestConformance(t *testing.T) {
	file := filepath.Join(t.TempDir(), "heard.txt")
	sdktest.Run(t, sdktest.Case{
		Plugin: plugin{},
		Config: sdk.Config{Link: "clock", JSON: json.RawMessage(fmt.Sprintf(`{"interval":"1h","file":%q}`, file)),
			Places: []sdk.PlaceUse{{ID: "tower", Source: true}, {ID: "book", Target: true}}},
		Bad:        []json.RawMessage{json.RawMessage(`{"interval":"1ms"}`), json.RawMessage(`{"intervall":"1m"}`)},
		Deliveries: []sdk.Delivery{delivery("d1", "one"), delivery("d2", "two")},
		Exercise: func(t *testing.T, _ sdk.Link, h *sdktest.Host) {
			if e := <-h.Events(); !strings.HasPrefix(e.Item().Body(), "It is ") || e.Place.ID != "tower" || e.Dedup == "" {
				t.Errorf("first event: got %+v", e)
			}
		},
	})
}

func delivery(id, text string) sdk.Delivery {
	return sdk.Delivery{ID: sdk.DeliveryID(id), Place: "book", Attempt: 1, Event: sdk.Event{
		Time: time.Unix(1000, 0), Actor: sdk.Actor{ID: "a", Name: "Juliet"},
		Change: sdk.ItemCreated{Item: sdk.Item{ID: sdk.ItemID("i-" + id), Text: sdk.NewText(text)}},
	}}
}

// openClock opens a clock that writes to a file.
func openClock(t *testing.T, file string) *link {
	t.Helper()
	l, err := plugin{}.Open(sdk.Config{JSON: json.RawMessage(fmt.Sprintf(`{"file":%q}`, file))}, sdktest.NewHost(nil))
	if err != nil {
		t.Fatal(err)
	}
	clock, ok := l.(*link)
	if !ok {
		t.Fatalf("got a link of type %T", l)
	}
	return clock
}

// TestBook holds what a receipt promises: each delivery is in the file once,
// also when it is repeated after a crash that left half a line.
func TestBook(t *testing.T) {
	file := filepath.Join(t.TempDir(), "heard.txt")
	deliver := func(l *link, batch ...sdk.Delivery) {
		t.Helper()
		receipts, err := l.Deliver(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range receipts {
			if r.Err != nil || r.Delivery != batch[i].ID || len(r.Copies) != 1 {
				t.Errorf("receipt %d: got %+v", i, r)
			}
		}
	}
	l := openClock(t, file)
	deliver(l, delivery("d1", "one\ntwo\tthree"))
	l.closeBook()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("d2\t1970-"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	l = openClock(t, file)
	again, second := delivery("d1", "one\ntwo\tthree"), delivery("d2", "four")
	again.Uncertain, second.Uncertain = true, true
	deliver(l, again, second)
	l.closeBook()
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const want = "d1\t1970-01-01T00:16:40Z\tbook\tJuliet\tone\\ntwo\\tthree\nd2\t1970-01-01T00:16:40Z\tbook\tJuliet\tfour\n"
	if string(got) != want {
		t.Errorf("file:\n%s\nwant:\n%s", got, want)
	}
}

func TestUnwritableFile(t *testing.T) {
	receipts, err := openClock(t, t.TempDir()).Deliver(t.Context(), []sdk.Delivery{delivery("d1", "x"), delivery("d2", "y")})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range receipts {
		if sdk.KindOf(r.Err) != sdk.Transient || !r.Unsent {
			t.Errorf("receipt: got %+v, want a temporary error, unsent", r)
		}
	}
}

func TestTargetNeedsFile(t *testing.T) {
	_, err := plugin{}.Open(sdk.Config{Places: []sdk.PlaceUse{{ID: "book", Target: true}}}, sdktest.NewHost(nil))
	if err == nil || !strings.Contains(err.Error(), "file:") {
		t.Errorf("got %v, want a fault of key file", err)
	}
}
