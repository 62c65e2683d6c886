package wasm

import "bridgehost/host/internal/launch/wasm/meter"

// Description is what a module's file says about itself.
type Description struct {
	Imports []string // module.name
	Exports []string
	// Manifest is the text of plugin.toml inside the module; HasManifest says
	// whether there is one.
	Manifest    string
	HasManifest bool
}

// Describe reads the structure of a module without compiling it.
func Describe(binary []byte) (Description, error) {
	m, err := meter.Inspect(binary, meter.Limits{})
	if err != nil {
		return Description{}, explain(err)
	}
	var d Description
	for _, i := range m.Imports {
		d.Imports = append(d.Imports, i.Module+"."+i.Name)
	}
	for _, e := range m.Exports {
		d.Exports = append(d.Exports, e.Name)
	}
	for _, c := range m.Custom {
		if c.Name == ManifestSection {
			d.Manifest, d.HasManifest = string(c.Data), true
		}
	}
	return d, nil
}

// MemoryPages returns how many pages of 64 KiB an instance begins with and may
// grow to.
func (p *Plugin) MemoryPages() (low, high uint32) {
	memory, ok := p.code.module.ExportedMemories()[exportMemory]
	if !ok {
		return 0, 0
	}
	high = pages(p.code.limits.memory)
	if declared, encoded := memory.Max(); encoded {
		high = min(high, declared)
	}
	return memory.Min(), high
}

// Supervision says how the module is kept within its time, for people.
func (p *Plugin) Supervision() string {
	switch {
	case p.Metered:
		return "metered"
	case p.opts.Trusted:
		return "trusted, not metered"
	default:
		return "interrupted by the runtime, which is slow: it uses instructions that the meter does not know"
	}
}
