package xmpp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"time"

	"mellium.im/xmpp/jid"

	"bridgehost/plugins/xmpp/internal/account"
	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/service"
	"bridgehost/plugins/xmpp/internal/stream"
	"bridgehost/sdk"
	"bridgehost/sdk/settings"
)

// options are a link's config table.
type options struct {
	Mode     mode                   `cfg:"mode" doc:"how the link presents itself to the server"`
	Address  string                 `cfg:"address" doc:"host:port: of the server's component port; for a client only where SRV records do not say it"`
	Domain   string                 `cfg:"domain" doc:"component: its domain"`
	Secret   string                 `cfg:"secret,secret" doc:"component: the secret that the server knows"`
	JID      string                 `cfg:"jid" doc:"client: address of the account"`
	Password string                 `cfg:"password,secret" doc:"client: password of the account"`
	Resource string                 `cfg:"resource" doc:"resource of the account and of the puppets" min:"1" max:"200"`
	Nick     string                 `cfg:"nick" doc:"the link's own nick, where it listens or where an author gets none"`
	Puppets  *bool                  `cfg:"puppets" doc:"an occupant for each author; false: one nick for all, authors are named in the text"`
	Create   bool                   `cfg:"create_rooms" doc:"make rooms that do not exist"`
	Idle     time.Duration          `cfg:"puppet_idle" doc:"a puppet that says nothing for so long leaves; 0s = never"`
	SelfPing time.Duration          `cfg:"self_ping" doc:"silence after which we ask whether we are still in a room; 0s = never"`
	Timeout  time.Duration          `cfg:"timeout" doc:"how long a join or a reflection is waited for" min:"1s" max:"10m"`
	CatchUp  time.Duration          `cfg:"catch_up_max_age" doc:"how far back a room's archive is read after a time without us; 0s = not at all"`
	CatchMax int                    `cfg:"catch_up_max_count" doc:"most messages of one room that are read so" min:"1" max:"1000000"`
	Members  bool                   `cfg:"members" doc:"tell other networks who comes into a room and who leaves"`
	Bookmark bool                   `cfg:"bookmarks" doc:"client: note the rooms of routes among the account's bookmarks (XEP-0402)"`
	TLS      tlsOptions             `cfg:"tls" doc:"encryption of the stream"`
	Limits   limits                 `cfg:"limits" doc:"bounds"`
	Rooms    map[string]roomOptions `cfg:"rooms" doc:"settings of single rooms, by address"`
	Approve  approval               `cfg:"approve" doc:"client: whose requests to see the account's presence are granted: of people in routes, of everybody, of nobody"`
	Server   string                 `cfg:"server" doc:"domain of the server's people; default: that of the account, or the component's without its first label"`
	Media    mediaMode              `cfg:"media" doc:"files of other networks: show their address, or put them on our server first; what has no address is always put there"`
	Upload   uploadOptions          `cfg:"upload" doc:"the server's upload service (XEP-0363)"`
	Gateway  gatewayOptions         `cfg:"gateway" doc:"how people of the other network appear, where the link is part of a [[gateway]]"`
	Private  []string               `cfg:"allow_private" doc:"addresses or networks that are not public, and from which files are read all the same"`

	account jid.JID
	rooms   map[string]roomOptions // by normalised JID
}

// mode is a word of options.Mode.
type mode string

// Modes of a link.
const (
	modeComponent mode = "component"
	modeClient    mode = "client"
)

// Values implements settings.Enum.
func (mode) Values() []string { return []string{string(modeComponent), string(modeClient)} }

// plaintext says where a stream may go without TLS.
type plaintext string

// Values implements settings.Enum.
func (plaintext) Values() []string { return []string{"loopback", "never", "anywhere"} }

// allowed gives the stream's word for it.
func (p plaintext) allowed() stream.Plaintext {
	switch p {
	case "anywhere":
		return stream.PlaintextAnywhere
	case "loopback":
		return stream.PlaintextLoopback
	default:
		return stream.PlaintextNever
	}
}

type tlsOptions struct {
	CAFile     string    `cfg:"ca_file,file" doc:"PEM file of the authority that signed the server's certificate"`
	ServerName string    `cfg:"server_name" doc:"name in the certificate, if it is not the domain"`
	Direct     bool      `cfg:"direct" doc:"TLS from the first byte (XEP-0368)"`
	Plaintext  plaintext `cfg:"plaintext" doc:"where the stream may go without TLS"`
}

type limits struct {
	MaxText    settings.Size `cfg:"max_text" doc:"bytes of one message; longer ones are shortened" min:"1000" max:"192KiB"`
	MaxPuppets int           `cfg:"max_puppets" doc:"puppets in one room" min:"1" max:"10000"`
	Queue      int           `cfg:"queue" doc:"stanzas that wait to be written" min:"16" max:"65536"`
}

type roomOptions struct {
	Password string `cfg:"password,secret" doc:"password of the room"`
	Nick     string `cfg:"nick" doc:"the link's own nick in the room"`
	Create   *bool  `cfg:"create" doc:"make the room if it does not exist"`
}

type gatewayOptions struct {
	Local        []string `cfg:"local_domains" doc:"domains whose people are reached without the gateway, such as that of the server itself"`
	HidePresence bool     `cfg:"hide_presence" doc:"show people whose network tells no presence as absent"`

	Registration registration        `cfg:"registration" doc:"who may use the gateway: everybody who did not leave it, those who registered, or nobody new"`
	Users        []string            `cfg:"users" doc:"domains and addresses whose people may use the gateway at all; empty = everybody who reaches it"`
	Admins       []string            `cfg:"admins" doc:"addresses of those who may give operators' commands"`
	Network      string              `cfg:"network" doc:"kind of the other network in service discovery, such as xmpp or activitypub"`
	Name         string              `cfg:"name" doc:"name of the gateway, for people"`
	Example      string              `cfg:"example" doc:"address in the other network, as people write it"`
	Addresses    map[string][]string `cfg:"contact_addresses" doc:"where people reach the operator: addresses (URIs) by the kinds of XEP-0157, such as abuse-addresses"`

	Group       string        `cfg:"roster_group" doc:"group of the contacts in people's rosters, where the server lets the bridge name them (XEP-0356); empty = none"`
	MaxContacts int           `cfg:"max_contacts" doc:"contacts of one person" min:"1" max:"1000"`
	MaxUsers    int           `cfg:"max_users" doc:"people with contacts" min:"1" max:"9000"`
	Requests    int           `cfg:"requests_per_hour" doc:"requests for contacts by one person, or to one person, in an hour, half of them at once" min:"2" max:"1000000"`
	Lookups     int           `cfg:"lookups_per_hour" doc:"look-ups of profiles for one person in an hour, half of them at once" min:"2" max:"1000000"`
	MaxAvatar   settings.Size `cfg:"max_avatar" doc:"bytes of a picture that is fetched" min:"10KiB" max:"16MiB"`
	Expiry      time.Duration `cfg:"profile_expiry" doc:"age at which a profile is looked up again" min:"1m" max:"720h"`
}

// approval is a word of options.Approve.
type approval string

// Values implements settings.Enum.
func (approval) Values() []string {
	return []string{string(account.ApprovePlaces), string(account.ApproveEverybody), string(account.ApproveNobody)}
}

// mediaMode is a word of options.Media.
type mediaMode string

// mediaUpload puts all files on our own server.
const mediaUpload mediaMode = "upload"

// Values implements settings.Enum.
func (mediaMode) Values() []string { return []string{"link", string(mediaUpload)} }

type uploadOptions struct {
	Service   string        `cfg:"service" doc:"its address; default: looked for on the server"`
	MaxSize   settings.Size `cfg:"max_size" doc:"bytes of one file; the service may allow less" min:"1KiB" max:"1GiB"`
	Plaintext bool          `cfg:"plaintext" doc:"take http addresses, not only https"`
	Allow     []string      `cfg:"allow" doc:"addresses or networks that are not public, and to which files are put all the same"`
}

// networks reads a list of addresses and networks.
func networks(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range list {
		if p, err := netip.ParsePrefix(text); err == nil {
			out = append(out, p)
			continue
		}
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("%q is no address and no network", text)
		}
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out, nil
}

// server gives the domain of the server's people.
func (s *options) server() string {
	switch {
	case s.Server != "":
		return s.Server
	case s.Mode == modeClient:
		return s.account.Domainpart()
	case len(s.Gateway.Local) > 0:
		return s.Gateway.Local[0]
	}
	if _, parent, ok := strings.Cut(s.Domain, "."); ok {
		return parent
	}
	return s.Domain
}

// registration is a word of gatewayOptions.Registration.
type registration string

// Values implements settings.Enum.
func (registration) Values() []string {
	return []string{string(service.Optional), string(service.Required), string(service.Closed)}
}

// may reports whether a person, a bare JID, may use the gateway at all.
func (s *options) may(user string) bool {
	_, domain, _ := strings.Cut(user, "@")
	return len(s.Gateway.Users) == 0 || slices.Contains(s.Gateway.Users, user) || slices.Contains(s.Gateway.Users, domain)
}

// addresses normalises a list of addresses of people or, with domains, of domains too.
func addresses(f *faults, key string, list []string, domains bool) {
	for i, text := range list {
		j, err := packet.ParseJID(text)
		if err != nil || text == "" || j.Resourcepart() != "" || j.Localpart() == "" && !domains {
			f.add(fmt.Sprintf("%s[%d]", key, i), fmt.Sprintf("%q is no address", text), `write for example "romeo@example.org"`)
			continue
		}
		list[i] = j.String()
	}
}

// checkGateway looks at what only matters to a gateway.
func (s *options) checkGateway(f *faults, cfg sdk.Config) {
	if cfg.Gateway != "" && s.Mode != modeComponent {
		f.add("mode", "a gateway needs a component: an account has only one address", `write mode = "component", or join places by [[route]]`)
	}
	for i, domain := range s.Gateway.Local {
		j, err := packet.ParseJID(domain)
		if err != nil || domain == "" || j.Localpart() != "" || j.Resourcepart() != "" {
			f.add(fmt.Sprintf("gateway.local_domains[%d]", i), fmt.Sprintf("%q is no domain", domain), `write for example "example.org"`)
			continue
		}
		s.Gateway.Local[i] = j.String()
	}
	addresses(f, "gateway.users", s.Gateway.Users, true)
	addresses(f, "gateway.admins", s.Gateway.Admins, false)
	for key, list := range map[string][]string{"allow_private": s.Private, "upload.allow": s.Upload.Allow} {
		if _, err := networks(list); err != nil {
			f.add(key, err.Error(), `write for example "10.0.0.0/8"`)
		}
	}
	for key, text := range map[string]*string{"server": &s.Server, "upload.service": &s.Upload.Service} {
		j, err := packet.ParseJID(*text)
		if err != nil || j.Localpart() != "" || j.Resourcepart() != "" {
			f.add(key, fmt.Sprintf("%q is no domain", *text), `write for example "example.org"`)
			continue
		}
		*text = j.String()
	}
}

// defaults are the options of an empty table.
func defaults() options {
	return options{
		Mode: modeComponent, Nick: "bridge", Resource: "bridgehost", Idle: 24 * time.Hour, SelfPing: 5 * time.Minute, Timeout: 20 * time.Second,
		CatchUp: 7 * 24 * time.Hour, CatchMax: 10_000,
		Approve: approval(account.ApprovePlaces), Media: "link", Upload: uploadOptions{MaxSize: 64 << 20},
		TLS: tlsOptions{Plaintext: "loopback"},
		Gateway: gatewayOptions{
			Registration: "optional", Network: "bridgehost", Name: "bridgehost", Example: "bob@example.net",
			MaxContacts: 500, MaxUsers: 5000, Requests: 120, Lookups: 1200, MaxAvatar: 2 << 20, Expiry: 6 * time.Hour,
		},
		Limits: limits{MaxText: 128 << 10, MaxPuppets: 200, Queue: 1024},
	}
}

// faults collects what is wrong.
type faults struct{ list []sdk.Fault }

// add notes a fault, unless the key has one already.
func (f *faults) add(key, problem, remedy string) {
	if f.has(key) {
		return
	}
	f.list = append(f.list, sdk.Fault{Key: key, Problem: problem, Remedy: remedy})
}

func (f *faults) has(key string) bool {
	return slices.ContainsFunc(f.list, func(have sdk.Fault) bool { return have.Key == key })
}

// parse reads a link's config table and its places. All faults come back at once.
func parse(cfg sdk.Config) (options, error) {
	o := defaults()
	var f faults
	raw := cfg.JSON
	if len(raw) == 0 {
		raw = []byte("{}")
	}
	if err := settings.Decode(raw, &o); err != nil {
		var e *sdk.ConfigError
		if !errors.As(err, &e) {
			return o, fmt.Errorf("configuration of link %s: %w", cfg.Link, err)
		}
		f.list = append(f.list, e.Faults...)
	}
	if !f.has("mode") { // what else is needed depends on it
		o.checkServer(&f)
	}
	o.checkTimes(&f)
	o.checkGateway(&f, cfg)
	o.checkPlaces(&f, cfg.Places)
	if len(f.list) > 0 {
		sort.SliceStable(f.list, func(i, j int) bool { return f.list[i].Key < f.list[j].Key })
		return o, &sdk.ConfigError{Faults: f.list}
	}
	return o, nil
}

func (s *options) checkServer(f *faults) {
	switch s.Mode {
	case modeComponent:
		s.checkComponent(f)
	case modeClient:
		s.checkClient(f)
	}
	if s.Address != "" {
		if _, port, err := net.SplitHostPort(s.Address); err != nil || port == "" {
			f.add("address", fmt.Sprintf("%q is not host:port", s.Address), `write for example "127.0.0.1:5347"`)
		}
	}
	if convert.Nick(s.Nick) == "" {
		f.add("nick", "nothing readable is left of the nick", `write for example "bridge"`)
	}
}

func (s *options) checkComponent(f *faults) {
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
	if s.Bookmark {
		f.add("bookmarks", "are only for client links", `remove it, or write mode = "client"`)
	}
	if s.Password != "" {
		f.add("password", "is only for client links", `write secret instead, or mode = "client"`)
	}
}

func (s *options) checkClient(f *faults) {
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

// checkTimes looks at times that may be zero.
func (s *options) checkTimes(f *faults) {
	for _, t := range []struct {
		key   string
		value time.Duration
		least time.Duration
	}{{"puppet_idle", s.Idle, time.Minute}, {"self_ping", s.SelfPing, 10 * time.Second}, {"catch_up_max_age", s.CatchUp, time.Minute}} {
		if t.value != 0 && t.value < t.least {
			f.add(t.key, t.value.String()+" is too short", "write at least "+t.least.String()+", or 0s for never")
		}
	}
}

func (s *options) checkPlaces(f *faults, places []sdk.PlaceUse) {
	s.rooms = map[string]roomOptions{}
	for address, room := range s.Rooms {
		j, err := roomJID(address)
		if err != nil {
			f.add(settings.Join("rooms", address), err.Error(), `write for example rooms."ops@muc.example.org"`)
			continue
		}
		if room.Nick != "" && convert.Nick(room.Nick) == "" {
			f.add(settings.Join("rooms", address)+".nick", "nothing readable is left of the nick", `write for example "bridge"`)
		}
		s.rooms[j] = room
	}
	seen := map[string]sdk.RemoteID{}
	for _, p := range places {
		at, err := parsePlace(p.ID)
		if err != nil {
			f.add("place "+string(p.ID), err.Error(), `write a room as "ops@muc.example.org", a person as "chat:romeo@example.org", a node as "node:pubsub.example.org/blog"`)
			continue
		}
		if other, twice := seen[at.key()]; twice {
			f.add("place "+string(p.ID), "is the same place as "+string(other), "spell the place in one way")
		}
		seen[at.key()] = p.ID
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
func (s *options) puppets() bool {
	return s.Mode == modeComponent && (s.Puppets == nil || *s.Puppets)
}
