package sdk

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Config is what the operator wrote for one link.
type Config struct {
	Link LinkID
	// JSON is the link's config table; secrets are already resolved.
	JSON json.RawMessage
	// Places are the places of this link that routes name.
	Places []PlaceUse
	// Gateway is the other link of the gateway that the link is part of; empty
	// when it is part of none. See PeerPlace.
	Gateway LinkID
	// PublicURL is where the host's HTTP listener is seen from outside,
	// without a slash at the end; empty when there is none.
	PublicURL string
	// Dir is a folder of the link's own, which stays with the host's data and
	// is backed up with it; empty where the host has no disk.
	Dir string
}

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	Key     string // path in the link's config table, such as hook.grafana.token
	Problem string
	Remedy  string // what to write instead
}

// ConfigError lists all faults of a configuration.
type ConfigError struct{ Faults []Fault }

// Error lists the faults, one a line.
func (e *ConfigError) Error() string {
	var b strings.Builder
	for i, f := range e.Faults {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s: %s", f.Key, f.Problem)
		if f.Remedy != "" {
			fmt.Fprintf(&b, " (%s)", f.Remedy)
		}
	}
	return b.String()
}

// Limits bound what a plugin may use.
type Limits struct {
	Memory int64         // bytes; 0 = the default of the transport
	Time   time.Duration // for one call; 0 = the default of the transport
}

// Contract versions that this SDK speaks. The host speaks N and N-1.
const (
	ContractVersion    = 1
	ContractVersionMin = 1
)

// CommandInfo describes one command of a Commander.
type CommandInfo struct {
	Name  string
	Usage string
	Help  string
}

// Manifest says what a plugin is and can do; the form on disk is plugin.toml.
type Manifest struct {
	ID          string // [a-z0-9-]+
	Version     string // semantic version
	Description string
	ContractMin int // lowest and highest contract version that it speaks
	ContractMax int
	Takes       []ChangeKind // kinds of change that it takes as deliveries or as a filter; empty = all
	Gives       []ChangeKind // kinds of change that it publishes
	Facets      []string     // deliverer, filter, placer, informed, resolver, backfiller, commander, web
	Abilities   []string     // asked of the host: log, kv, timer, emit, http, command, config, secret, metrics
	Hosts       []string     // that it wants to reach by http
	Schema      json.RawMessage
	Sample      string // sample of the config table, TOML
	Commands    []CommandInfo
	Limits      Limits
	BatchMax    int // deliveries in one batch; 0 = 256
	// GlobalIDs says that ids of items mean the same in all places of a link, as
	// URLs do: a copy in one place names the item in every other.
	GlobalIDs bool
	// Reports says that a link reports its own state by Host.Report: until it
	// has done so it counts as starting, not as up.
	Reports bool
}
