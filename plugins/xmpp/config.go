package xmpp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sort"
	"strings"
	"time"

	"mellium.im/xmpp/jid"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/stream"
	"bridgehost/sdk"
)

// Modes of a link.
const (
	modeComponent = "component"
	modeClient    = "client"
)

// settings are a link's config table; sample.toml explains each key.
type settings struct {
	Mode      string                  `json:"mode"`
	Address   string                  `json:"address"`
	Domain    string                  `json:"domain"`
	JID       string                  `json:"jid"`
	Secret    string                  `json:"secret"`
	Password  string                  `json:"password"`
	Resource  string                  `json:"resource"`
	Nick      string                  `json:"nick"`
	Puppets   *bool                   `json:"puppets"`
	Create    bool                    `json:"create_rooms"`
	Idle      string                  `json:"puppet_idle"`
	SelfPing  string                  `json:"self_ping"`
	Timeout   string                  `json:"timeout"`
	TLS       tlsSettings             `json:"tls"`
	Limits    limitSettings           `json:"limits"`
	Rooms     map[string]roomSettings `json:"rooms"`
	idle      time.Duration
	selfPing  time.Duration
	timeout   time.Duration
	plaintext stream.Plaintext
	account   jid.JID
	rooms     map[string]roomSettings // by normalised JID
}

type tlsSettings struct {
	CAFile     string `json:"ca_file"`
	ServerName string `json:"server_name"`
	Direct     bool   `json:"direct"`
	Plaintext  string `json:"plaintext"`
}

type limitSettings struct {
	MaxText    int `json:"max_text"`
	MaxPuppets int `json:"max_puppets"`
	Queue      int `json:"queue"`
}

type roomSettings struct {
	Password string `json:"password"`
	Nick     string `json:"nick"`
	Create   *bool  `json:"create"`
}

// defaults are the settings of an empty table.
func defaults() settings {
	return settings{
		Mode: modeComponent, Nick: "bridge", Resource: "bridgehost", Idle: "24h", SelfPing: "5m", Timeout: "20s",
		TLS:    tlsSettings{Plaintext: "loopback"},
		Limits: limitSettings{MaxText: 128 << 10, MaxPuppets: 200, Queue: 1024},
	}
}

// faults collects what is wrong.
type faults struct{ list []sdk.Fault }

func (f *faults) add(key, problem, remedy string) {
	f.list = append(f.list, sdk.Fault{Key: key, Problem: problem, Remedy: remedy})
}

// parse reads a link's config table and its places. All faults come back at once.
func parse(cfg sdk.Config) (settings, error) {
	s := defaults()
	var f faults
	if len(cfg.JSON) > 0 {
		dec := json.NewDecoder(bytes.NewReader(cfg.JSON))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&s); err != nil && !errors.Is(err, io.EOF) {
			key, problem := decodeFault(err)
			f.add(key, problem, "see the sample of the plugin xmpp")
			return s, &sdk.ConfigError{Faults: f.list}
		}
	}
	s.checkServer(&f)
	s.checkTimes(&f)
	s.checkLimits(&f)
	s.checkRooms(&f, cfg.Places)
	if len(f.list) > 0 {
		sort.SliceStable(f.list, func(i, j int) bool { return f.list[i].Key < f.list[j].Key })
		return s, &sdk.ConfigError{Faults: f.list}
	}
	return s, nil
}

// decodeFault names the key of a value that has the wrong type, or that is unknown.
func decodeFault(err error) (key, problem string) {
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) {
		return typ.Field, fmt.Sprintf("is a %s, not a %s", typ.Value, typ.Type.Kind())
	}
	if _, name, ok := strings.Cut(err.Error(), "unknown field "); ok {
		return strings.Trim(name, `"`), "is not a key of this plugin"
	}
	return "", err.Error()
}

func (s *settings) checkServer(f *faults) {
	switch s.Mode {
	case modeComponent:
		s.checkComponent(f)
	case modeClient:
		s.checkClient(f)
	default:
		f.add("mode", fmt.Sprintf("%q is no mode", s.Mode), `write "component" or "client"`)
	}
	if s.Address != "" {
		if _, port, err := net.SplitHostPort(s.Address); err != nil || port == "" {
			f.add("address", fmt.Sprintf("%q is not host:port", s.Address), `write for example "127.0.0.1:5347"`)
		}
	}
	switch s.TLS.Plaintext {
	case "never":
		s.plaintext = stream.PlaintextNever
	case "loopback":
		s.plaintext = stream.PlaintextLoopback
	case "anywhere":
		s.plaintext = stream.PlaintextAnywhere
	default:
		f.add("tls.plaintext", fmt.Sprintf("%q is not known", s.TLS.Plaintext), `write "never", "loopback" or "anywhere"`)
	}
	if convert.Nick(s.Nick) == "" {
		f.add("nick", "nothing readable is left of the nick", `write for example "bridge"`)
	}
}

func (s *settings) checkComponent(f *faults) {
	if s.Address == "" {
		f.add("address", "is missing", `write the server's component port, for example "127.0.0.1:5347"`)
	}
	if s.Secret == "" {
		f.add("secret", "is missing", `write { file = "…" } or { env = "…" } with the secret that the server knows`)
	}
	switch j, err := packet.ParseJID(s.Domain); {
	case s.Domain == "":
		f.add("domain", "is missing", `write the component's domain, for example "bridge.example.org"`)
	case err != nil || j.Localpart() != "" || j.Resourcepart() != "":
		f.add("domain", fmt.Sprintf("%q is no domain", s.Domain), `write for example "bridge.example.org"`)
	default:
		s.Domain = j.String()
	}
	if s.JID != "" {
		f.add("jid", "is only for client links", `remove it, or write mode = "client"`)
	}
	if s.Password != "" {
		f.add("password", "is only for client links", `write secret instead, or mode = "client"`)
	}
}

func (s *settings) checkClient(f *faults) {
	switch j, err := packet.ParseJID(s.JID); {
	case s.JID == "":
		f.add("jid", "is missing", `write the account's address, for example "bot@example.org"`)
	case err != nil || j.Localpart() == "":
		f.add("jid", fmt.Sprintf("%q is no address of an account", s.JID), `write for example "bot@example.org"`)
	default:
		s.account = j.Bare()
		if j.Resourcepart() != "" {
			s.Resource = j.Resourcepart()
		}
	}
	if s.Password == "" {
		f.add("password", "is missing", `write { file = "…" } or { env = "…" }`)
	}
	if s.Secret != "" || s.Domain != "" {
		f.add("secret", "secret and domain are only for component links", `write jid and password, or mode = "component"`)
	}
	if s.Puppets != nil && *s.Puppets {
		f.add("puppets", "an account cannot appear as several people", `remove it, or use mode = "component"`)
	}
}

func (s *settings) checkTimes(f *faults) {
	for _, t := range []struct {
		key, text string
		to        *time.Duration
		min       time.Duration
	}{
		{"puppet_idle", s.Idle, &s.idle, time.Minute}, {"self_ping", s.SelfPing, &s.selfPing, 10 * time.Second},
		{"timeout", s.Timeout, &s.timeout, time.Second},
	} {
		d, err := time.ParseDuration(t.text)
		switch {
		case err != nil:
			f.add(t.key, fmt.Sprintf("%q is no duration", t.text), `write for example "90s" or "24h"`)
		case d != 0 && d < t.min, d < 0, d == 0 && t.key == "timeout":
			f.add(t.key, t.text+" is too short", "write at least "+t.min.String())
		}
		*t.to = d
	}
}

func (s *settings) checkLimits(f *faults) {
	for _, l := range []struct {
		key             string
		value, low, top int
	}{
		{"limits.max_text", s.Limits.MaxText, 1000, 192 << 10}, {"limits.max_puppets", s.Limits.MaxPuppets, 1, 10000},
		{"limits.queue", s.Limits.Queue, 16, 65536},
	} {
		if l.value < l.low || l.value > l.top {
			f.add(l.key, fmt.Sprintf("%d is out of bounds", l.value), fmt.Sprintf("write %d to %d", l.low, l.top))
		}
	}
}

func (s *settings) checkRooms(f *faults, places []sdk.PlaceUse) {
	s.rooms = map[string]roomSettings{}
	for address, room := range s.Rooms {
		j, err := roomJID(address)
		if err != nil {
			f.add("rooms."+address, err.Error(), `write for example rooms."ops@muc.example.org"`)
			continue
		}
		if room.Nick != "" && convert.Nick(room.Nick) == "" {
			f.add("rooms."+address+".nick", "nothing readable is left of the nick", `write for example "bridge"`)
		}
		s.rooms[j] = room
	}
	seen := map[string]sdk.RemoteID{}
	for _, p := range places {
		j, err := roomJID(string(p.ID))
		if err != nil {
			f.add("place "+string(p.ID), err.Error(), `write a room's address, for example "ops@muc.example.org"`)
			continue
		}
		if other, twice := seen[j]; twice {
			f.add("place "+string(p.ID), "is the same room as "+string(other), "spell the room in one way")
		}
		seen[j] = p.ID
	}
}

// roomJID normalises the address of a room.
func roomJID(address string) (string, error) {
	j, err := packet.ParseJID(address)
	switch {
	case err != nil || address == "":
		return "", fmt.Errorf("%q is no XMPP address", address)
	case j.Localpart() == "" || j.Resourcepart() != "":
		return "", fmt.Errorf("%q is no address of a room", address)
	}
	return j.String(), nil
}

// puppets reports whether authors appear as occupants of their own.
func (s *settings) puppets() bool {
	return s.Mode == modeComponent && (s.Puppets == nil || *s.Puppets)
}
