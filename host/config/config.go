// Package config reads the operator's TOML file into a typed configuration. All
// faults are reported at once, each with file, line, column, an excerpt, and
// what to write instead. It is the only package that knows TOML.
package config

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"bridgehost/sdk"
)

// Duration is a span such as "5s" or "10m".
type Duration time.Duration

// Size is a count of bytes such as "64MiB" or 65536.
type Size int64

// Secret is a value that appears in no log and no message.
type Secret string

// String hides the value.
func (Secret) String() string { return "***" }

// GoString hides the value.
func (Secret) GoString() string { return "***" }

// LogValue hides the value.
func (Secret) LogValue() slog.Value { return slog.StringValue("***") }

// MarshalJSON hides the value.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"***"`), nil }

// Config is the operator's file with its includes. The tags toml and doc are
// the source of Keys, Schema and the documentation.
type Config struct {
	Include  []string         `toml:"include" doc:"further files, as patterns relative to this one"`
	Host     Host             `toml:"host" doc:"the host itself"`
	HTTP     HTTP             `toml:"http" doc:"the public listener"`
	Admin    Admin            `toml:"admin" doc:"the listener for operators"`
	Links    map[string]*Link `toml:"link" doc:"one configured instance of a plugin"`
	Routes   []*Route         `toml:"route" doc:"places that are kept in step, or fed from one"`
	Gateways []*Gateway       `toml:"gateway" doc:"address spaces that meet"`

	Path     string   `toml:"-"` // of the file
	Warnings []string `toml:"-"`

	sources []*source
	bases   map[string]base // where each link, route and gateway stands
}

// base is a table's source and path.
type base struct {
	src  *source
	path string
}

// Host is [host].
type Host struct {
	Data        string   `toml:"data" default:"data" doc:"data folder, relative to this file; one host alone may use it"`
	DiskReserve Size     `toml:"disk_reserve" default:"64MiB" doc:"free space below which new events are refused"`
	CrashLimit  int      `toml:"crash_limit" default:"3" doc:"crashes of a link within crash_window after which it is failed"`
	CrashWindow Duration `toml:"crash_window" default:"10m" doc:"see crash_limit"`
	CrashPause  Duration `toml:"crash_pause" default:"60s" doc:"longest pause before a crashed link is started again; pauses grow up to it"`
	MaxAge      Duration `toml:"max_age" default:"72h" doc:"a delivery that waits longer is given up and becomes a dead letter"`
	Log         Log      `toml:"log" doc:"the log, on standard error"`
}

// Log is [host.log].
type Log struct {
	Level  string `toml:"level" default:"info" enum:"debug,info,warn,error" doc:"lowest level that is written"`
	Format string `toml:"format" default:"text" enum:"text,json" doc:"form of the lines"`
}

// HTTP is [http].
type HTTP struct {
	Listen         string   `toml:"listen" doc:"address and port; empty = no public listener"`
	PublicURL      string   `toml:"public_url" doc:"where the listener is seen from outside"`
	TrustedProxies []string `toml:"trusted_proxies" doc:"addresses or networks whose X-Forwarded-For is believed"`
	Certificate    string   `toml:"certificate" doc:"PEM file; read again when it changes"`
	Key            string   `toml:"key" doc:"PEM file of the certificate's key"`
}

// Admin is [admin].
type Admin struct {
	Listen string `toml:"listen" doc:"address and port of status, metrics and queue; keep it on loopback"`
}

// Limits is limits of a link.
type Limits struct {
	Memory Size     `toml:"memory" default:"32MiB" doc:"memory of one instance of a module"`
	Time   Duration `toml:"time" default:"100ms" doc:"time of one call of a module"`
}

// Link is [link.NAME].
type Link struct {
	Name         string            `toml:"-"`
	Plugin       string            `toml:"plugin" doc:"name of a built-in plugin, wasm:FILE or exec:FILE"`
	SHA256       string            `toml:"sha256" doc:"checksum of the FILE; needed unless plugins.lock has it"`
	Grant        []string          `toml:"grant" doc:"abilities that a module gets: log, kv, timer, emit, http, command, config, secret, metrics"`
	AllowHosts   []string          `toml:"allow_hosts" doc:"hosts that a module may reach by http"`
	AllowPrivate []string          `toml:"allow_private" doc:"addresses or networks that are not public and that a module may reach all the same"`
	Limits       Limits            `toml:"limits" doc:"bounds of a module"`
	Trusted      bool              `toml:"trusted" default:"false" doc:"run a module without metering; a loop in it stops the host"`
	OnError      string            `toml:"on_error" default:"closed" enum:"open,closed" doc:"what happens to an event on which this filter fails"`
	Optional     bool              `toml:"optional" default:"false" doc:"the host is ready also while this link is not up"`
	Secrets      map[string]Secret `toml:"secrets" doc:"secrets that a module may ask for by name"`
	Config       map[string]any    `toml:"config" json:"-" doc:"the plugin's own settings; see its page"`

	peer   string // the other link of its gateway
	json   json.RawMessage
	hidden []string // values that no text may repeat
}

// Route is [[route]].
type Route struct {
	Name     string   `toml:"name" doc:"for status and explain; default: its number"`
	From     string   `toml:"from" doc:"place that is read, as link:place"`
	To       []string `toml:"to" doc:"places that are written to"`
	BothWays bool     `toml:"both_ways" default:"false" doc:"keep all places of the route in step"`
	Filters  []string `toml:"filters" doc:"links that every event passes first, in order"`
	OnError  string   `toml:"on_error" enum:"open,closed" doc:"replaces on_error of the filters"`
}

// Gateway is [[gateway]].
type Gateway struct {
	Links   []string `toml:"links" doc:"two links whose addresses reach each other"`
	Filters []string `toml:"filters" doc:"links that every event passes first, in order"`
	OnError string   `toml:"on_error" enum:"open,closed" doc:"replaces on_error of the filters"`
}

// Name is what the gateway is called in status and explain.
func (g *Gateway) Name() string { return "gateway " + strings.Join(g.Links, "-") }

// Peer gives the other link of the gateway that a link is part of; empty when it
// is part of none.
func (c *Config) Peer(link string) string {
	if l := c.Links[link]; l != nil {
		return l.peer
	}
	return ""
}

// LogLevel gives the level of the log.
func (c *Config) LogLevel() slog.Level {
	var l slog.Level
	if l.UnmarshalText([]byte(c.Host.Log.Level)) != nil {
		return slog.LevelInfo
	}
	return l
}

// Proxies gives the trusted proxies as networks.
func (h HTTP) Proxies() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range h.TrustedProxies {
		if p, err := parsePrefix(s); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// Private gives allow_private as networks.
func (l *Link) Private() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range l.AllowPrivate {
		if p, err := parsePrefix(s); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// parsePrefix reads an address or a network.
func parsePrefix(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		return netip.ParsePrefix(s)
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// Module gives the path of a wasm: plugin, relative paths below dir.
func (l *Link) Module(dir string) (string, bool) { return l.file("wasm:", dir) }

// Executable gives the path of an exec: plugin, relative paths below dir.
func (l *Link) Executable(dir string) (string, bool) { return l.file("exec:", dir) }

func (l *Link) file(scheme, dir string) (string, bool) {
	path, ok := strings.CutPrefix(l.Plugin, scheme)
	if !ok {
		return "", false
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return path, true
}

// ConfigJSON gives the link's config table for its plugin, secrets resolved.
func (l *Link) ConfigJSON() json.RawMessage { return l.json }

// Dir gives the folder of the file.
func (c *Config) Dir() string { return filepath.Dir(c.Path) }

// Places gives the places of a link that routes name, in the order of the file.
func (c *Config) Places(link string) []sdk.PlaceUse {
	var out []sdk.PlaceUse
	index := map[sdk.RemoteID]int{}
	note := func(ref string, source, target bool) {
		r, ok := sdk.ParseRef(ref)
		if !ok || string(r.Link) != link {
			return
		}
		i, ok := index[r.ID]
		if !ok {
			i = len(out)
			index[r.ID] = i
			out = append(out, sdk.PlaceUse{ID: r.ID})
		}
		out[i].Source = out[i].Source || source
		out[i].Target = out[i].Target || target
	}
	for _, r := range c.Routes {
		note(r.From, true, r.BothWays)
		for _, to := range r.To {
			note(to, r.BothWays, true)
		}
	}
	return out
}

// DataDir gives the data folder as a path of the system.
func (c *Config) DataDir() string {
	if filepath.IsAbs(c.Host.Data) {
		return c.Host.Data
	}
	return filepath.Join(c.Dir(), c.Host.Data)
}
