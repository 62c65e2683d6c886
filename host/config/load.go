package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	toml "github.com/pelletier/go-toml/v2"
)

// Bounds of a configuration.
const (
	maxFile  = 4 << 20 // bytes of one file
	maxFiles = 256
)

// Load reads the configuration at path with its includes, and checks all that
// can be checked without starting anything. Faults come back as *Errors; a
// missing file as the error of the system. When the names of built-in plugins are
// given, a link that names another one is a fault as well.
func Load(path string, builtins ...string) (*Config, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return parse(path, text, builtins)
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() // read only
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("configuration %s: larger than 4 MiB", path)
	}
	return text, err
}

// parse reads a file and its includes.
func parse(path string, text []byte, builtins []string) (*Config, error) {
	c, faults := examine(path, text, builtins)
	if err := faults.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// examine reads a file and its includes, and gives what could be read beside the
// faults.
func examine(path string, text []byte, builtins []string) (*Config, *Errors) {
	faults := &Errors{}
	c := &Config{Path: path, bases: map[string]base{}}
	setDefaults(reflect.ValueOf(c).Elem())
	c.Links = map[string]*Link{}
	c.add(path, text, faults, []string{filepath.Clean(path)})
	c.check(faults, builtins)
	return c, faults
}

// add reads one source into c, then its includes. The chain is the files that
// led here, this one last.
func (c *Config) add(path string, text []byte, faults *Errors, chain []string) {
	src := readSource(path, text, faults)
	c.sources = append(c.sources, src)
	part := &Config{Links: map[string]*Link{}}
	d := &decoder{src: src}
	d.table("", src.values, reflect.ValueOf(part).Elem())
	first := len(c.sources) == 1
	c.merge(part, src, first)
	for i, pattern := range part.Include {
		c.include(pattern, "include["+strconv.Itoa(i)+"]", src, chain)
	}
}

// include reads the files of one pattern, in order of their names.
func (c *Config) include(pattern, key string, src *source, chain []string) {
	if pattern == "" {
		return // of a wrong type
	}
	full := pattern
	if !filepath.IsAbs(full) {
		full = filepath.Join(filepath.Dir(src.file), pattern)
	}
	files, err := filepath.Glob(full)
	fault := func(problem, remedy string) { src.fault(src.at(key), key, problem, remedy) }
	if err != nil {
		fault(fmt.Sprintf("%q is no pattern of file names", pattern), `write something like "conf.d/*.toml"`)
		return
	}
	if len(files) == 0 && !hasMeta(pattern) {
		fault(fmt.Sprintf("there is no file %s", full), nearestFile(full))
	}
	sort.Strings(files)
	for _, f := range files {
		f = filepath.Clean(f)
		if i := slices.Index(chain, f); i >= 0 {
			fault("the includes lead around: "+strings.Join(append(names(chain[i:]), filepath.Base(f)), " -> "), "remove one of them")
			continue
		}
		if slices.ContainsFunc(c.sources, func(s *source) bool { return s.file == f }) {
			fault(fmt.Sprintf("%s is included twice", f), "include it once")
			continue
		}
		if len(c.sources) >= maxFiles {
			fault(fmt.Sprintf("more than %d files are included", maxFiles), "put more into one file")
			return
		}
		text, err := readFile(f)
		if err != nil {
			fault(fmt.Sprintf("%s cannot be read: %v", f, err), "let the program's user read it")
			continue
		}
		c.add(f, text, src.faults, append(slices.Clone(chain), f))
	}
}

// nearestFile says which file may be meant by a path at which there is none.
func nearestFile(path string) string {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return "make the folder, or correct the path"
	}
	var list []string
	for _, e := range entries {
		if !e.IsDir() && len(list) < 1000 {
			list = append(list, e.Name())
		}
	}
	if near := Nearest(filepath.Base(path), list); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "make it, or correct the path"
}

// names gives the last part of each path.
func names(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = filepath.Base(p)
	}
	return out
}

func hasMeta(pattern string) bool { return strings.ContainsAny(pattern, "*?[") }

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
			src.fault(src.atKey(s.key), s.key, "["+s.key+"] is in two files", "keep it in "+b.src.file+" alone")
			continue
		}
		c.bases[s.key] = base{src, s.key}
		overlay(table, s.from, s.to)
	}
	for name, l := range part.Links {
		if b, twice := c.bases["link."+name]; twice {
			src.fault(src.atKey(join("link", name)), join("link", name), "the link "+name+" is there twice", "the other is at "+b.src.atKey(b.path).String())
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
	v := c.plain(c.Links[name], c.Links[name].Config, b.path+".config", b.src)
	out, err := json.Marshal(v)
	if err != nil {
		faults.add(b.src.atKey(b.path), b.src.text, b.path+".config", fmt.Sprintf("the table has a value that cannot be handed to a plugin: %v", err), "remove it")
		return nil
	}
	return out
}

// plain replaces what JSON does not have, and reads secrets.
func (c *Config) plain(l *Link, v any, path string, src *source) any {
	switch v := v.(type) {
	case nil, brokenValue:
		return map[string]any{}
	case map[string]any:
		if isSecret(v, path, src.kinds[path]) {
			return c.secret(l, v, path, src)
		}
		if form, near := nearlySecret(v, path, src.kinds[path]); near != "" {
			src.fault(src.atKey(join(path, form)), join(path, form), fmt.Sprintf("%q is no form of a secret", form), fmt.Sprintf("did you mean %q?", near))
		}
		out := make(map[string]any, len(v))
		for k, inner := range v {
			if _, broken := inner.(brokenValue); !broken {
				out[k] = c.plain(l, inner, join(path, k), src)
			}
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for i, inner := range v {
			if _, broken := inner.(brokenValue); !broken {
				out = append(out, c.plain(l, inner, path+"["+strconv.Itoa(i)+"]", src))
			}
		}
		return out
	case string:
		if v != "" && secretKey.MatchString(lastKey(path)) {
			c.plainSecret(l, v, path, src)
		}
		return v
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			src.fault(src.at(path), path, "a plugin cannot be given a number without end", "write a finite number")
			return nil
		}
		return v
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case toml.LocalDate, toml.LocalTime, toml.LocalDateTime:
		return fmt.Sprint(v)
	default:
		return v
	}
}

// secret reads a secret that the plugin gets.
func (c *Config) secret(l *Link, v map[string]any, path string, src *source) string {
	s, fault := readSecret(v, src.file)
	if fault != nil {
		src.fault(src.at(path), path, fault.problem, fault.remedy)
	}
	l.hide(s)
	return s
}

// plainSecret warns of a secret that everybody sees who sees the file.
func (c *Config) plainSecret(l *Link, value, path string, src *source) {
	l.hide(value)
	c.warn(src.at(path), path+" holds a secret in plain text", `write { file = "PATH" }, { env = "NAME" } or { credential = "NAME" }`)
}

func (c *Config) warn(pos Position, what, remedy string) {
	c.Warnings = append(c.Warnings, fmt.Sprintf("%s: %s; %s", pos, what, remedy))
}

// lastKey gives the last key of a path, without the indexes of lists.
func lastKey(path string) string {
	path, _, _ = strings.Cut(path[strings.LastIndexByte(path, '.')+1:], "[")
	return path
}

// IsFaults reports whether err lists faults of the configuration.
func IsFaults(err error) bool { return errors.As(err, new(*Errors)) }
