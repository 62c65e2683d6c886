package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strconv"
	"time"

	toml "github.com/pelletier/go-toml/v2"
)

// maxFile bounds a file of the configuration.
const maxFile = 4 << 20

// Load reads the configuration at path with its includes, and checks all that
// can be checked without starting anything. Faults come back as *Errors; a
// missing file as the error of the system.
func Load(path string) (*Config, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return parse(path, text)
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("configuration %s: larger than 4 MiB", path)
	}
	return os.ReadFile(path)
}

// parse reads a file and its includes.
func parse(path string, text []byte) (*Config, error) {
	faults := &Errors{}
	c := &Config{Path: path, bases: map[string]base{}}
	setDefaults(reflect.ValueOf(c).Elem())
	c.Links = map[string]*Link{}
	c.add(path, text, faults, map[string]bool{path: true})
	if len(faults.List) == 0 || onlyValues(faults) {
		c.check(faults)
	}
	if err := faults.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// onlyValues reports whether every source could be parsed, so that further
// checks tell something.
func onlyValues(e *Errors) bool {
	for _, f := range e.List {
		if f.Key == "" {
			return false
		}
	}
	return true
}

// add reads one source into c, then its includes.
func (c *Config) add(path string, text []byte, faults *Errors, seen map[string]bool) {
	src := readSource(path, text, faults)
	c.sources = append(c.sources, src)
	if src.values == nil {
		return
	}
	part := &Config{Links: map[string]*Link{}}
	d := &decoder{src: src}
	d.table("", src.values, reflect.ValueOf(part).Elem())
	first := len(c.sources) == 1
	c.merge(part, src, first)
	for i, pattern := range part.Include {
		c.include(pattern, "include["+strconv.Itoa(i)+"]", src, seen)
	}
}

// include reads the files of one pattern, in order of their names.
func (c *Config) include(pattern, key string, src *source, seen map[string]bool) {
	full := pattern
	if !filepath.IsAbs(full) {
		full = filepath.Join(filepath.Dir(src.file), pattern)
	}
	files, err := filepath.Glob(full)
	fault := func(problem, remedy string) { src.faults.add(src.at(key), src.text, key, problem, remedy) }
	if err != nil {
		fault(fmt.Sprintf("%q is no pattern of file names", pattern), `write something like "conf.d/*.toml"`)
		return
	}
	if len(files) == 0 && filepath.Base(full) == filepath.Clean(filepath.Base(full)) && !hasMeta(pattern) {
		fault(fmt.Sprintf("there is no file %s", full), "make it, or remove it from include")
	}
	sort.Strings(files)
	for _, f := range files {
		if seen[f] {
			fault(fmt.Sprintf("%s is included twice", f), "include it once")
			continue
		}
		seen[f] = true
		text, err := readFile(f)
		if err != nil {
			fault(fmt.Sprintf("%s cannot be read: %v", f, err), "let the program's user read it")
			continue
		}
		c.add(f, text, src.faults, seen)
	}
}

func hasMeta(pattern string) bool { return bytes.ContainsAny([]byte(pattern), "*?[") }

// merge takes the sections of a source over. Host, http and admin may be set by
// one source each; links and routes add up.
func (c *Config) merge(part *Config, src *source, first bool) {
	for _, s := range []struct {
		key      string
		from, to reflect.Value
	}{
		{"host", reflect.ValueOf(part.Host), reflect.ValueOf(&c.Host).Elem()},
		{"http", reflect.ValueOf(part.HTTP), reflect.ValueOf(&c.HTTP).Elem()},
		{"admin", reflect.ValueOf(part.Admin), reflect.ValueOf(&c.Admin).Elem()},
	} {
		table, ok := src.values[s.key].(map[string]any)
		if !ok {
			continue
		}
		if b, twice := c.bases[s.key]; twice && !first {
			src.faults.add(src.atKey(s.key), src.text, s.key, "["+s.key+"] is in two files", "keep it in "+b.src.file+" alone")
			continue
		}
		c.bases[s.key] = base{src, s.key}
		overlay(table, s.from, s.to)
	}
	for name, l := range part.Links {
		if b, twice := c.bases["link."+name]; twice {
			src.faults.add(src.atKey("link."+name), src.text, "link."+name, "the link "+name+" is there twice", "the other is at "+b.src.atKey(b.path).String())
			continue
		}
		l.Name = name
		c.Links[name] = l
		c.bases["link."+name] = base{src, join("link", name)}
	}
	for i, r := range part.Routes {
		c.bases["route."+strconv.Itoa(len(c.Routes))] = base{src, "route[" + strconv.Itoa(i) + "]"}
		c.Routes = append(c.Routes, r)
	}
	for i, g := range part.Gateways {
		c.bases["gateway."+strconv.Itoa(len(c.Gateways))] = base{src, "gateway[" + strconv.Itoa(i) + "]"}
		c.Gateways = append(c.Gateways, g)
	}
}

// overlay copies the fields that a table sets.
func overlay(table map[string]any, from, to reflect.Value) {
	for _, f := range fieldsOf(from.Type()) {
		v, ok := table[f.name]
		if !ok {
			continue
		}
		if inner, isTable := v.(map[string]any); isTable && from.Field(f.index).Kind() == reflect.Struct {
			overlay(inner, from.Field(f.index), to.Field(f.index))
			continue
		}
		to.Field(f.index).Set(from.Field(f.index))
	}
}

// linkJSON turns a link's config table into JSON; secrets become strings, times
// RFC 3339.
func (c *Config) linkJSON(name string, faults *Errors) json.RawMessage {
	b := c.bases["link."+name]
	v := plain(c.Links[name].Config, b.path+".config", b.src)
	out, err := json.Marshal(v)
	if err != nil {
		faults.add(b.src.atKey(b.path), b.src.text, b.path+".config", fmt.Sprintf("the table has a value that cannot be handed to a plugin: %v", err), "remove it")
		return nil
	}
	return out
}

// plain replaces what JSON does not have.
func plain(v any, path string, src *source) any {
	switch v := v.(type) {
	case nil:
		return map[string]any{}
	case map[string]any:
		if isSecret(v) {
			s, fault := readSecret(v, src.file)
			if fault != nil {
				src.faults.add(src.at(path), src.text, path, fault.problem, fault.remedy)
			}
			return s
		}
		out := make(map[string]any, len(v))
		for k, inner := range v {
			out[k] = plain(inner, join(path, k), src)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = plain(inner, path+"["+strconv.Itoa(i)+"]", src)
		}
		return out
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case toml.LocalDate, toml.LocalTime, toml.LocalDateTime:
		return fmt.Sprint(v)
	default:
		return v
	}
}

// IsFaults reports whether err lists faults of the configuration.
func IsFaults(err error) bool { return errors.As(err, new(*Errors)) }
