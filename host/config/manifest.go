package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"bridgehost/sdk"
)

// manifestFile is plugin.toml.
type manifestFile struct {
	ID          string            `toml:"id" doc:"name of the plugin: small letters, digits and -"`
	Version     string            `toml:"version" doc:"semantic version"`
	Description string            `toml:"description" doc:"one sentence"`
	Contract    []int             `toml:"contract" doc:"lowest and highest contract version that it speaks"`
	Takes       []string          `toml:"takes" doc:"kinds of change that it takes; empty = all"`
	Gives       []string          `toml:"gives" doc:"kinds of change that it publishes"`
	Facets      []string          `toml:"facets" doc:"filter, deliverer, placer, informed, resolver, backfiller, commander, web"`
	Abilities   []string          `toml:"abilities" doc:"what it asks of the host"`
	Hosts       []string          `toml:"hosts" doc:"hosts that it wants to reach by http"`
	Limits      Limits            `toml:"limits" doc:"what it needs"`
	BatchMax    int               `toml:"batch_max" doc:"deliveries in one batch"`
	GlobalIDs   bool              `toml:"global_ids" doc:"ids of items mean the same in all places of a link"`
	Reports     bool              `toml:"reports" doc:"a link is starting until it has reported its own state"`
	Schema      string            `toml:"schema" doc:"JSON Schema of its configuration"`
	Sample      string            `toml:"sample" doc:"sample of its configuration, TOML"`
	Commands    []manifestCommand `toml:"command" doc:"commands of its own"`
}

type manifestCommand struct {
	Name  string `toml:"name" doc:"one word"`
	Usage string `toml:"usage" doc:"arguments"`
	Help  string `toml:"help" doc:"one sentence"`
}

var (
	pluginID   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	facetNames = []string{"filter", "deliverer", "placer", "informed", "resolver", "backfiller", "commander", "web"}
)

// maxBatch bounds the deliveries in one batch.
const maxBatch = 10_000

// ParseManifest reads plugin.toml. Faults come back all at once as *Errors.
func ParseManifest(text []byte) (sdk.Manifest, error) {
	faults := &Errors{}
	src := readSource("plugin.toml", text, faults)
	var f manifestFile
	if src.values != nil {
		d := &decoder{src: src}
		d.table("", src.values, reflect.ValueOf(&f).Elem())
		f.check(d)
	}
	if err := faults.err(); err != nil {
		return sdk.Manifest{}, err
	}
	return f.manifest(), nil
}

func (f *manifestFile) check(d *decoder) {
	if !pluginID.MatchString(f.ID) {
		d.fault("id", fmt.Sprintf("%q is no id of a plugin", f.ID), "use small letters, digits and -")
	}
	if len(f.Contract) == 0 {
		f.Contract = []int{sdk.ContractVersion, sdk.ContractVersion}
	}
	if len(f.Contract) != 2 || f.Contract[0] > f.Contract[1] || f.Contract[0] < 1 {
		d.fault("contract", "a range of contract versions is needed", "write contract = [1, 1]")
	}
	words := func(key string, list, known []string) {
		for i, w := range list {
			if !slices.Contains(known, w) {
				d.fault(key+"["+strconv.Itoa(i)+"]", fmt.Sprintf("%q is not known", w), suggest(w, known))
			}
		}
	}
	words("facets", f.Facets, facetNames)
	words("abilities", f.Abilities, abilities)
	words("takes", f.Takes, kindNames())
	words("gives", f.Gives, kindNames())
	if f.BatchMax < 0 || f.BatchMax > maxBatch {
		d.fault("batch_max", fmt.Sprintf("%d is no size of a batch", f.BatchMax), "write a number from 1 to 10000, or leave it out")
	}
	for i, h := range f.Hosts {
		if h == "" || strings.ContainsAny(h, "/:@ ") {
			d.fault("hosts["+strconv.Itoa(i)+"]", fmt.Sprintf("%q is no name of a host", h), `write for example "api.example.org", without https://`)
		}
	}
	if f.Schema != "" && !json.Valid([]byte(f.Schema)) {
		d.fault("schema", "the schema is not JSON", "write a JSON Schema in a multi-line string")
	}
}

func (f *manifestFile) manifest() sdk.Manifest {
	m := sdk.Manifest{ID: f.ID, Version: f.Version, Description: f.Description, ContractMin: f.Contract[0], ContractMax: f.Contract[1],
		Facets: f.Facets, Abilities: f.Abilities, Hosts: f.Hosts, Sample: f.Sample, BatchMax: f.BatchMax, GlobalIDs: f.GlobalIDs, Reports: f.Reports,
		Limits: sdk.Limits{Memory: int64(f.Limits.Memory), Time: time.Duration(f.Limits.Time)}}
	if f.Schema != "" {
		m.Schema = json.RawMessage(f.Schema)
	}
	for _, w := range f.Takes {
		k, _ := sdk.ParseChangeKind(w)
		m.Takes = append(m.Takes, k)
	}
	for _, w := range f.Gives {
		k, _ := sdk.ParseChangeKind(w)
		m.Gives = append(m.Gives, k)
	}
	for _, c := range f.Commands {
		m.Commands = append(m.Commands, sdk.CommandInfo{Name: c.Name, Usage: c.Usage, Help: c.Help})
	}
	return m
}

// kindNames lists the kinds of change.
func kindNames() []string {
	var out []string
	for k := sdk.KindItemCreated; k <= sdk.KindSignal; k++ {
		out = append(out, k.String())
	}
	return out
}
