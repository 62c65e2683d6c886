package activitypub

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"bridgehost/plugins/activitypub/internal/handle"
	"bridgehost/sdk"
	"bridgehost/sdk/netguard"
	"bridgehost/sdk/settings"
)

// Defaults and bounds.
const (
	defaultPath    = "/ap"
	defaultTimeout = 30 * time.Second
	defaultRate    = 3000 // requests of one address in a minute; a large server has few addresses
	maxBody        = 1 << 20
)

// consent says who of the other network has an actor.
type consent string

// Values of allow.
const (
	everyone consent = "everyone"
	optIn    consent = "opt-in"
	listed   consent = "list"
)

// Values implements settings.Enum.
func (consent) Values() []string { return []string{string(everyone), string(optIn), string(listed)} }

// options is the config table of a link.
type options struct {
	Domain         string            `cfg:"domain" doc:"host of the handles that are served; that of public_url when left out"`
	Path           string            `cfg:"path" doc:"path of actors on the public listener"`
	LocalDomains   []string          `cfg:"local_domains" doc:"domains of the other network whose users have actors; those of the first have plain names; all when left out"`
	Names          map[string]string `cfg:"names" doc:"user names by address, where the operator wants others than the rule gives"`
	Allow          consent           `cfg:"allow" doc:"who has an actor: everyone, opt-in (who asked for it) or list"`
	People         []string          `cfg:"people" doc:"addresses that have an actor with allow = list"`
	Block          []string          `cfg:"block" doc:"servers, with their sub-domains, from which nothing is taken"`
	SecureMode     bool              `cfg:"secure_mode" doc:"documents are shown to signed requests only (authorised fetch)"`
	AllowPrivate   bool              `cfg:"allow_private" doc:"lets other servers be in private networks and on this machine"`
	AllowAddresses []string          `cfg:"allow_addresses" doc:"addresses and prefixes at which other servers may be although they are not public"`
	CAFile         string            `cfg:"ca_file,file" doc:"further certificate authorities (PEM) that other servers may be certified by"`
	Timeout        time.Duration     `cfg:"timeout" doc:"bound of one request to another server" min:"1s" max:"5m"`
	Rate           int               `cfg:"rate" doc:"requests of one address in a minute; 0 = no bound" min:"0"`
}

func defaults() options {
	return options{Path: defaultPath, Allow: everyone, Timeout: defaultTimeout, Rate: defaultRate}
}

// config is a checked configuration.
type config struct {
	options
	base   string // public URL
	allow  []netip.Prefix
	people map[string]bool
}

// Validate implements settings.Validator: what can be said without the host.
func (o options) Validate() []sdk.Fault {
	var f []sdk.Fault
	add := func(key, problem, remedy string) {
		f = append(f, sdk.Fault{Key: key, Problem: problem, Remedy: remedy})
	}
	if !strings.HasPrefix(o.Path, "/") || strings.HasSuffix(o.Path, "/") || strings.ContainsAny(o.Path, "?#% ") {
		add("path", "is no path without a slash at the end", `write path = "/ap"`)
	}
	for i, d := range append([]string{o.Domain}, o.LocalDomains...) {
		key := "local_domains"
		if i == 0 {
			key = "domain"
		}
		if (i > 0 || d != "") && !isHost(d) {
			add(key, "has a value that is no domain", `write it as example.org, in lower case`)
		}
	}
	taken := map[string]string{}
	for _, address := range slices.Sorted(mapKeys(o.Names)) {
		name := o.Names[address]
		key := settings.Join("names", address)
		if _, _, err := handle.Split(address); err != nil || strings.ToLower(address) != address {
			add(key, "the address is not user@host in lower case", `write "juliet@xmpp.example" = "juliet"`)
		}
		if !handle.Valid(name) {
			add(key, "is no user name that every server takes", "use a-z, 0-9 and _, with single dots and dashes inside")
		}
		if other := taken[name]; other != "" {
			add(key, "is also the name of "+other, "give each address its own name")
		}
		taken[name] = address
	}
	for _, p := range o.People {
		if _, _, err := handle.Split(p); err != nil {
			add("people", "has an entry that is not user@host", `write people = ["juliet@xmpp.example"]`)
		}
	}
	if o.Allow == listed && len(o.People) == 0 {
		add("people", "is empty, so that nobody has an actor", `name addresses, or write allow = "everyone" or "opt-in"`)
	}
	for _, b := range o.Block {
		if !isHost(b) {
			add("block", "has an entry that is no domain", `write block = ["bad.example"]`)
		}
	}
	if _, err := netguard.ParseExceptions(o.AllowAddresses); err != nil {
		add("allow_addresses", err.Error(), `write allow_addresses = ["10.1.0.0/16"]`)
	}
	return f
}

func mapKeys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func isHost(s string) bool {
	_, host, err := handle.Split("a@" + s)
	return err == nil && host == s
}

// parseConfig checks the config table and what the host says with it, and reports
// all faults at once.
func parseConfig(cfg sdk.Config) (*config, error) {
	o := defaults()
	data := cfg.JSON
	if len(bytes.TrimSpace(data)) == 0 {
		data = json.RawMessage("{}")
	}
	if err := settings.Decode(data, &o); err != nil {
		return nil, err // a *sdk.ConfigError, with the faults that Validate found
	}
	var faults []sdk.Fault
	u, err := url.Parse(cfg.PublicURL)
	switch {
	case cfg.PublicURL == "":
		faults = append(faults, sdk.Fault{Key: "domain", Problem: "the host has no public listener, so that no other server can reach the link",
			Remedy: `write [http] with listen and public_url = "https://bridge.example.org"`})
	case err != nil || u.Scheme != "https" && !o.AllowPrivate || u.Path != "":
		faults = append(faults, sdk.Fault{Key: "domain", Problem: "the host's public_url is no https URL without a path", Remedy: `write public_url = "https://bridge.example.org"`})
	default:
		o.Domain = cmp.Or(o.Domain, strings.ToLower(u.Host))
	}
	if cfg.Gateway == "" {
		faults = append(faults, sdk.Fault{Key: "domain", Problem: "the link is part of no [[gateway]], so that nobody has an actor",
			Remedy: `write [[gateway]] with links = ["home", "` + string(cfg.Link) + `"]`})
	}
	if len(faults) > 0 {
		return nil, &sdk.ConfigError{Faults: faults}
	}
	c := &config{options: o, base: strings.TrimSuffix(cfg.PublicURL, "/"), people: map[string]bool{}}
	for _, p := range o.People {
		c.people[strings.ToLower(p)] = true
	}
	c.allow, _ = netguard.ParseExceptions(o.AllowAddresses) // Validate has read them
	if o.AllowPrivate {
		c.allow = append(c.allow, private...)
	}
	return c, nil
}

// private are the networks that allow_private opens; link-local ones, where clouds
// keep their secrets, stay closed.
var private = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("fc00::/7"),
}

// names gives the rule of user names.
func (c *config) names() handle.Map {
	m := handle.Map{Domain: c.Domain, Names: c.Names}
	if len(c.LocalDomains) > 0 {
		m.Plain = c.LocalDomains[0]
	}
	return m
}

// allowed is the operator's rule of consent.
func (c *config) allowed(address string, a sdk.Actor) bool {
	_, host, err := handle.Split(address)
	if err != nil || len(c.LocalDomains) > 0 && !slices.Contains(c.LocalDomains, host) {
		return false
	}
	switch c.Allow {
	case optIn:
		return a.Consent == sdk.ConsentGiven
	case listed:
		return c.people[strings.ToLower(address)]
	}
	return true
}

// refused reports whether an id or handle is of a blocked server.
func (c *config) refused(id string) bool {
	host := id
	if u, err := url.Parse(id); err == nil && u.Host != "" {
		host = u.Hostname()
	} else if _, h, err := handle.Split(id); err == nil {
		host, _, _ = strings.Cut(h, ":")
	}
	host = strings.ToLower(host)
	return slices.ContainsFunc(c.Block, func(b string) bool { return host == b || strings.HasSuffix(host, "."+b) })
}
