package settings_test

import (
	"encoding/json"
	"errors"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/settings"
)

type mode string

func (mode) Values() []string { return []string{"component", "client"} }

type tls struct {
	File  string `cfg:"file"`
	Level int    `cfg:"level" min:"1" max:"3"`
}

type hook struct {
	Token  string `cfg:"token,required,secret" min:"8" doc:"what the sender must know"`
	Format string `cfg:"format"`
}

// Validate allows no hook in XML.
func (h hook) Validate() []sdk.Fault {
	if h.Format == "xml" {
		return []sdk.Fault{{Key: "format", Problem: "is xml", Remedy: `write "json"`}}
	}
	return nil
}

type shared struct {
	Nick string `cfg:"nick"`
}

type config struct {
	shared
	Mode    mode                       `cfg:"mode"`
	Address string                     `cfg:"address,required" doc:"host:port of the server"`
	Timeout time.Duration              `cfg:"timeout" min:"1s" max:"1h"`
	Max     settings.Size              `cfg:"max" max:"1GiB"`
	On      *bool                      `cfg:"on"`
	Port    uint16                     `cfg:"port"`
	Ratio   float64                    `cfg:"ratio" min:"0" max:"1"`
	Big     int64                      `cfg:"big"`
	Peers   []netip.Addr               `cfg:"peers"`
	TLS     tls                        `cfg:"tls"`
	Hook    map[string]hook            `cfg:"hook"`
	Free    json.RawMessage            `cfg:"free"`
	Labels  map[string][]string        `cfg:"labels"`
	Rooms   map[string]map[string]bool `cfg:"rooms"`
	Private string
}

func TestDecodeFillsAndKeepsDefaults(t *testing.T) {
	got := config{Timeout: time.Minute, shared: shared{Nick: "bridge"}, TLS: tls{Level: 2}, Private: "mine"}
	err := settings.Decode([]byte(`{"mode":"client","address":"a:1","max":"1.5KiB","on":false,"port":65535,"ratio":1,
		"big":9223372036854775807,"peers":["::1"],"tls":{"file":"x"},"hook":{"a b":{"token":"12345678"}},
		"free":{"x":[1]},"labels":{"k":["v"]},"rooms":{"r@x":{"y":true}}}`), &got)
	if err != nil {
		t.Fatal(err)
	}
	off := false
	want := config{shared: shared{"bridge"}, Mode: "client", Address: "a:1", Timeout: time.Minute, Max: 1536, On: &off, Port: 65535,
		Ratio: 1, Big: math.MaxInt64, Peers: []netip.Addr{netip.IPv6Loopback()}, TLS: tls{"x", 2},
		Hook: map[string]hook{"a b": {Token: "12345678"}}, Free: json.RawMessage(`{"x":[1]}`),
		Labels: map[string][]string{"k": {"v"}}, Rooms: map[string]map[string]bool{"r@x": {"y": true}}, Private: "mine"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDecodeFindsAllFaultsAtOnce(t *testing.T) {
	var c config
	err := settings.Decode([]byte(`{"mode":"compnent","adress":"a","timeout":"5 s","max":"2GiB","on":"yes","port":-1,"ratio":2,
		"big":1.5,"peers":["::1","x"],"tls":{"file":3,"level":9,"levle":1},"hook":{"a b":{"token":"sesame"},"c":{},"d":[],
		"e":{"token":"12345678","format":"xml"}},"labels":{"k":"v"},"Private":"no"}`), &c)
	var list *sdk.ConfigError
	if !errors.As(err, &list) {
		t.Fatalf("got %v, want a *sdk.ConfigError", err)
	}
	want := map[string][2]string{
		"mode":             {`"compnent" is not one of the allowed words`, `did you mean "component"?`},
		"adress":           {"is not a key of this table", "did you mean address?"},
		"address":          {"is missing", `write address = "…"`},
		"timeout":          {`"5 s" is no duration`, `"5s"`},
		"max":              {`"2GiB" is out of range`, "at most 1GiB"},
		"on":               {"is a text, must be true or false", "write true"},
		"port":             {"-1 is out of range", "not negative"},
		"ratio":            {"2 is out of range", "from 0 to 1"},
		"big":              {"is a number with a fraction, must be a whole number", "write 1"},
		"peers[1]":         {`"x" is not what is wanted here`, ""},
		"tls.file":         {"is a number, must be a text in quotes", `"…"`},
		"tls.level":        {"9 is out of range", "from 1 to 3"},
		"tls.levle":        {"is not a key of this table", "the keys are file, level"},
		`hook."a b".token`: {"has 6 characters", "at least 8"},
		"hook.c.token":     {"is missing", "token"},
		"hook.d":           {"is a list, must be a table", "{ … }"},
		"hook.e.format":    {"is xml", `write "json"`},
		"labels.k":         {"is a text, must be a list", `["…"]`},
		"Private":          {"is not a key of this table", ""},
	}
	for _, f := range list.Faults {
		w, ok := want[f.Key]
		if !ok {
			t.Errorf("unexpected fault %+v", f)
			continue
		}
		if !strings.Contains(f.Problem, w[0]) || !strings.Contains(f.Remedy, w[1]) {
			t.Errorf("%s: got %q (%q), want %q (%q)", f.Key, f.Problem, f.Remedy, w[0], w[1])
		}
		delete(want, f.Key)
	}
	for key := range want {
		t.Errorf("no fault at %s", key)
	}
	if strings.Contains(err.Error(), "sesame") {
		t.Errorf("the text holds a secret: %v", err)
	}
}

func TestDecodeRefusesWhatIsNoObject(t *testing.T) {
	for _, raw := range []string{`[]`, `{} {}`, `{`, `1`} {
		var c config
		if err := settings.Decode([]byte(raw), &c); err == nil {
			t.Errorf("%s: no error", raw)
		}
	}
	if err := settings.Decode(nil, config{}); err == nil {
		t.Error("a struct that is no pointer: no error")
	}
	var bad struct {
		C chan int `cfg:"c"`
	}
	if err := settings.Decode([]byte(`{"c":1}`), &bad); err == nil || errors.As(err, new(*sdk.ConfigError)) {
		t.Errorf("a channel: got %v, want an error that is no fault of the operator", err)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]settings.Size{"0": 0, "64MiB": 64 << 20, "1 kB": 1000, "1.5GB": 1_500_000_000, "7B": 7, "2TiB": 2 << 40} {
		if got, err := settings.ParseSize(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "MiB", "1XB", "99999999999TiB", "nan", "infMiB", "0x10", "1e400"} {
		if got, err := settings.ParseSize(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
	for size, want := range map[settings.Size]string{0: "0B", 1 << 20: "1MiB", 1536: "1536B", 3 << 30: "3GiB"} {
		if got := size.String(); got != want {
			t.Errorf("%d: got %q, want %q", int64(size), got, want)
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{"3d": 72 * time.Hour, "1d12h": 36 * time.Hour, "100ms": 100 * time.Millisecond, "0s": 0} {
		if got, err := settings.ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "5", "d", "-1d", "1d-2h", "99999d", "1dd", "5 s"} {
		if got, err := settings.ParseDuration(text); err == nil && (got < 0 || text != "99999d") {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"config", "grant", "limits", "plugin", "sha256", "to", "filters"}
	for word, want := range map[string]string{"conifg": "config", "grants": "grant", "limit": "limits", "PLUGIN": "plugin", "sha265": "sha256",
		"tu": "to", "fliters": "filters", "banana": "", "": "", strings.Repeat("x", 1000): ""} {
		if got := settings.Nearest(word, words); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

func TestSchemaMatchesDecode(t *testing.T) {
	raw, err := settings.Schema(config{Timeout: time.Minute, Mode: "client"})
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Properties map[string]map[string]any
		Required   []string
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Properties) != 15 || !reflect.DeepEqual(s.Required, []string{"address"}) {
		t.Errorf("got %d properties, required %v", len(s.Properties), s.Required)
	}
	if got := s.Properties["timeout"]["default"]; got != "1m0s" {
		t.Errorf("default of timeout: got %v", got)
	}
	if got := s.Properties["mode"]["enum"]; !reflect.DeepEqual(got, []any{"component", "client"}) {
		t.Errorf("enum of mode: got %v", got)
	}
	if _, err := settings.Schema(struct {
		C chan int `cfg:"c"`
	}{}); err == nil {
		t.Error("a channel: no error")
	}
}

func TestJoinQuotesWhatIsNoBareWord(t *testing.T) {
	for _, c := range [][3]string{{"", "a", "a"}, {"a", "b-c_1", "a.b-c_1"}, {"rooms", "ops@x.y", `rooms."ops@x.y"`}, {"a", "", `a.""`}} {
		if got := settings.Join(c[0], c[1]); got != c[2] {
			t.Errorf("%q, %q: got %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"mode":"client","address":"a:1","hook":{"x":{"token":"12345678"}},"timeout":"1d"}`))
	f.Add([]byte(`{"tls":{"file":{}},"peers":[null,1]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var c config
		if err := settings.Decode(raw, &c); err == nil {
			if c.Address == "" || c.Ratio < 0 || c.Ratio > 1 || c.Max > 1<<30 {
				t.Errorf("accepted %+v", c)
			}
		}
	})
}

// TestSchemaMarksFiles gives texts that name files a format of their own, in lists
// and tables as well, and no others.
func TestSchemaMarksFiles(t *testing.T) {
	text, err := settings.Schema(struct {
		CA   string            `cfg:"ca,file" doc:"PEM file"`
		All  []string          `cfg:"all,file"`
		Tags map[string]string `cfg:"tags,file"`
		Name string            `cfg:"name"`
	}{CA: "ca.pem"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"ca":{"default":"ca.pem","description":"PEM file","format":"file","type":"string"}`, `"all":{"items":{"format":"file","type":"string"},"type":"array"}`,
		`"tags":{"additionalProperties":{"format":"file","type":"string"},"type":"object"}`, `"name":{"type":"string"}`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("got %s, want %s in it", text, want)
		}
	}
}
