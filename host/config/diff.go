package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
)

// Version changes when a link has to be started anew: its plugin, the plugin's
// file, its limits or grants, or its configuration.
func (l *Link) Version() string {
	h := sha256.New()
	secrets := map[string]string{}
	for k, v := range l.Secrets {
		secrets[k] = string(v)
	}
	parts, err := json.Marshal([]any{l.Plugin, l.SHA256, l.Grant, l.AllowHosts, l.AllowPrivate, l.Limits, l.Trusted, l.json, secrets, l.peer})
	if err != nil {
		parts = []byte(err.Error())
	}
	h.Write(parts)
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// Diff says in words what changes from one configuration to another, a line for
// each change; empty when nothing does.
func Diff(from, to *Config) []string {
	var out []string
	for _, name := range sortedKeys(from.Links) {
		n := to.Links[name]
		switch {
		case n == nil:
			out = append(out, "link "+name+" ends")
		case n.Version() != from.Links[name].Version():
			out = append(out, "link "+name+" starts anew")
		case !slices.Equal(from.Places(name), to.Places(name)):
			out = append(out, "link "+name+" has other places")
		}
	}
	for _, name := range sortedKeys(to.Links) {
		if from.Links[name] == nil {
			out = append(out, "link "+name+" is added")
		}
	}
	before, after := routeTexts(from), routeTexts(to)
	for _, r := range before {
		if !slices.Contains(after, r) {
			out = append(out, "route ends: "+r)
		}
	}
	for _, r := range after {
		if !slices.Contains(before, r) {
			out = append(out, "route is added: "+r)
		}
	}
	return out
}

// NeedsRestart names keys that a reload cannot change.
func NeedsRestart(from, to *Config) []string {
	var out []string
	for _, k := range []struct {
		key  string
		same bool
	}{
		{"host.data", from.Host.Data == to.Host.Data},
		{"host.disk_reserve", from.Host.DiskReserve == to.Host.DiskReserve},
		{"host.max_age", from.Host.MaxAge == to.Host.MaxAge},
		{"http.listen", from.HTTP.Listen == to.HTTP.Listen},
		{"http.certificate", from.HTTP.Certificate == to.HTTP.Certificate && from.HTTP.Key == to.HTTP.Key},
		{"http.trusted_proxies", slices.Equal(from.HTTP.TrustedProxies, to.HTTP.TrustedProxies)},
		{"admin.listen", from.Admin.Listen == to.Admin.Listen},
	} {
		if !k.same {
			out = append(out, k.key)
		}
	}
	return out
}

func routeTexts(c *Config) []string {
	var out []string
	for _, r := range c.Routes {
		arrow := " -> "
		if r.BothWays {
			arrow = " <-> "
		}
		text := r.From + arrow + strings.Join(r.To, ", ")
		if len(r.Filters) > 0 {
			text += " by " + strings.Join(r.Filters, ", ")
		}
		out = append(out, text)
	}
	return out
}
