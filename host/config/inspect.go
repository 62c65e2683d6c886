package config

import (
	"slices"
	"strconv"
	"strings"
)

// Inspect reads as [Load] does, for a caller that looks further at a file with
// faults. The configuration beside the faults has only those links of which
// every line is sound: what a plugin would say of half a table is not what the
// operator has to repair. It must not be run while there are faults. The error
// is that of the system, for a file that cannot be read.
func Inspect(path string, builtins ...string) (*Config, *Errors, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, nil, err
	}
	c, faults := examine(path, text, builtins)
	for _, name := range sortedKeys(c.Links) {
		if c.Faulty("link."+name, faults) {
			delete(c.Links, name)
		}
	}
	return c, faults, nil
}

// Faulty reports whether a table ("http", "link.NAME") has a fault in its own
// lines, or may have lines that could not be read.
func (c *Config) Faulty(table string, faults *Errors) bool {
	b, ok := c.bases[table]
	switch {
	case faults.full(): // and more that are not listed
		return true
	case !ok: // not there, unless it is in a part that could not be read
		return slices.ContainsFunc(c.sources, func(s *source) bool { return s.holes || s.misspelt(table) })
	case b.src.holes:
		return true
	}
	for _, f := range faults.List {
		rest, below := strings.CutPrefix(f.Key, b.path)
		if below && f.File == b.src.file && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// misspelt reports whether a table of the file's top level was meant to be this
// one, or is it with a value that is no table.
func (s *source) misspelt(table string) bool {
	for path := range s.bad {
		if path == table || !strings.ContainsAny(path, ".[") && Nearest(path, []string{table}) != "" {
			return true
		}
	}
	return false
}

// Add takes further faults over, and puts all of them in the order of the files.
func (e *Errors) Add(list ...Error) {
	for _, f := range list {
		if e.full() {
			break
		}
		e.List = append(e.List, f)
	}
	e.sorted()
}

// Err gives e as an error, nil when there is no fault.
func (e *Errors) Err() error { return e.err() }

// GatewayFault makes an error at a key of a gateway, such as links[0]; gateways
// count from 0.
func (c *Config) GatewayFault(i int, key, problem, remedy string) Error {
	b, ok := c.bases["gateway."+strconv.Itoa(i)]
	if !ok {
		return c.faultIn(c.sources[0], Position{File: c.Path}, "gateway", problem, remedy)
	}
	path := b.path + suffix(key)
	return c.faultIn(b.src, b.src.at(path), path, problem, remedy)
}
