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
	parts, err := json.Marshal([]any{l.Plugin, l.SHA256, l.Grant, l.AllowHosts, l.AllowPrivate, l.Limits, l.Trusted, l.json, secrets})
	if err != nil {
		parts = []byte(err.Error())
	}
	h.Write(parts)
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// Diff says in words what changes from one configuration to another, a line for
// each change; empty when nothing does.
func Diff(old, new *Config) []string {
	var out []string
	for _, name := range sortedKeys(old.Links) {
		n := new.Links[name]
		switch {
		case n == nil:
			out = append(out, "link "+name+" ends")
		case n.Version() != old.Links[name].Version():
			out = append(out, "link "+name+" starts anew")
		case !slices.Equal(old.Places(name), new.Places(name)):
			out = append(out, "link "+name+" has other places")
		}
	}
	for _, name := range sortedKeys(new.Links) {
		if old.Links[name] == nil {
			out = append(out, "link "+name+" is added")
		}
	}
	before, after := routeTexts(old), routeTexts(new)
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
func NeedsRestart(old, new *Config) []string {
	var out []string
	for _, k := range []struct {
		key  string
		same bool
	}{
		{"host.data", old.Host.Data == new.Host.Data},
		{"host.disk_reserve", old.Host.DiskReserve == new.Host.DiskReserve},
		{"host.max_age", old.Host.MaxAge == new.Host.MaxAge},
		{"http.listen", old.HTTP.Listen == new.HTTP.Listen},
		{"http.certificate", old.HTTP.Certificate == new.HTTP.Certificate && old.HTTP.Key == new.HTTP.Key},
		{"http.trusted_proxies", slices.Equal(old.HTTP.TrustedProxies, new.HTTP.TrustedProxies)},
		{"admin.listen", old.Admin.Listen == new.Admin.Listen},
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
