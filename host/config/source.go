package config

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	toml "github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// Position is a place in a file; lines and columns count from 1, columns in
// characters.
type Position struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Col  int    `json:"col"`
	Len  int    `json:"len,omitempty"` // characters that are meant, on the same line
}

// String gives file:line:col.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// maxNesting bounds lists and tables inside each other.
const maxNesting = 64

// brokenValue stands for a value that is there but cannot be read; the fault has
// been reported.
type brokenValue struct{}

// tableKind says how a table came to be, since TOML 1.0 lets only some grow.
type tableKind uint8

const (
	implied  tableKind = iota + 1 // [a] by [a.b]
	headed                        // [a]
	dotted                        // a by a.b = 1
	inlined                       // a = { … }
	elements                      // [[a]], the list
)

// source is one file: its values, and where each of them stands. The parser of
// the library ends at the first fault of syntax and says nothing about positions
// of values, so the values are built here, expression by expression.
type source struct {
	file   string
	text   []byte
	values map[string]any
	keys   map[string]Position // of the key, by path such as link.home.config.mode or route[0].to[1]
	vals   map[string]Position // of the value
	faults *Errors

	bad     map[string]bool // paths whose value is reported already
	kinds   map[string]tableKind
	lines   []int          // offset of each line
	table   map[string]any // where keys go; nil below a header that could not be read
	path    string         // of table
	holes   bool           // part of the file could not be read: what seems missing may be there
	nesting int
}

// readSource parses a file. Every fault of syntax is noted, and what stands
// around it is read all the same. Duplicate keys are found here, since the
// library reports them without a position.
func readSource(file string, text []byte, faults *Errors) *source {
	text = bytes.TrimPrefix(text, []byte("\uFEFF"))
	s := &source{file: file, text: text, values: map[string]any{}, keys: map[string]Position{}, vals: map[string]Position{},
		faults: faults, bad: map[string]bool{}, kinds: map[string]tableKind{}, lines: []int{0}}
	for i, c := range text {
		if c == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	s.table = s.values
	s.walk()
	return s
}

// walk reads the file from the beginning, and after each fault of syntax from
// the next line that looks sound.
func (s *source) walk() {
	p := &unstable.Parser{}
	for base := 0; base < len(s.text); {
		p.Reset(s.text[base:])
		end := base
		for p.NextExpression() {
			e := p.Expression()
			end = max(end, base+lastByte(e))
			s.expression(e, base)
		}
		err := p.Error()
		if err == nil {
			return
		}
		at := len(s.text)
		var pe *unstable.ParserError
		if errors.As(err, &pe) && len(pe.Highlight) > 0 {
			at = base + int(p.Range(pe.Highlight).Offset)
		}
		if base = s.recover(end, at, err.Error()); s.faults.full() {
			s.holes = true
			return
		}
	}
}

// lastByte gives the offset after the last byte of an expression that is known.
func lastByte(e *unstable.Node) int {
	end := int(e.Raw.Offset + e.Raw.Length)
	for it := e.Key(); it.Next(); {
		r := it.Node().Raw
		end = max(end, int(r.Offset+r.Length))
	}
	return end
}

func (s *source) expression(e *unstable.Node, base int) {
	switch e.Kind {
	case unstable.KeyValue:
		if s.table != nil {
			s.keyValue(s.path, s.table, e, base)
		}
	case unstable.Table, unstable.ArrayTable:
		s.header(s.parts(e, base), e.Kind == unstable.ArrayTable)
	}
}

// part is one word of a dotted key.
type part struct {
	name string
	pos  Position
}

func (s *source) parts(e *unstable.Node, base int) []part {
	var out []part
	for it := e.Key(); it.Next(); {
		n := it.Node()
		out = append(out, part{string(n.Data), s.position(base+int(n.Raw.Offset), int(n.Raw.Length))})
	}
	return out
}

// position turns an offset into line and column.
func (s *source) position(offset, length int) Position {
	offset = min(offset, len(s.text))
	line := sort.SearchInts(s.lines, offset+1) - 1
	end := min(offset+length, len(s.text))
	if line+1 < len(s.lines) {
		end = min(end, s.lines[line+1]-1)
	}
	return Position{File: s.file, Line: line + 1, Col: utf8.RuneCount(s.text[s.lines[line]:offset]) + 1,
		Len: utf8.RuneCount(s.text[offset:max(end, offset)])}
}

// header enters the table of a header. After a fault keys go nowhere until the
// next header, or into the first table of the name, so that one slip does not
// become many faults.
func (s *source) header(parts []part, list bool) {
	table, path := s.values, ""
	last := parts[len(parts)-1]
	s.table = nil
	for _, p := range parts[:len(parts)-1] {
		path = join(path, p.name)
		switch v := table[p.name].(type) {
		case nil:
			inner := map[string]any{}
			table[p.name], table = inner, inner
			s.kinds[path], s.keys[path] = implied, p.pos
		case map[string]any:
			if s.kinds[path] == inlined {
				s.fault(p.pos, path, path+" is complete where it is written, in line "+s.line(path), "write the new keys there")
				return
			}
			table = v
		case []any:
			inner, ok := s.lastElement(path, v)
			if !ok {
				s.fault(p.pos, path, path+" is a list of values, not a table", "use another name")
				return
			}
			table, path = inner, path+"["+strconv.Itoa(len(v)-1)+"]"
		case brokenValue:
			return
		default:
			s.fault(p.pos, path, path+" is a value already, in line "+s.line(path), "use another name for the table")
			return
		}
	}
	path = join(path, last.name)
	if list {
		s.element(table, path, last)
	} else {
		s.enter(table, path, last)
	}
}

func (s *source) lastElement(path string, list []any) (map[string]any, bool) {
	if s.kinds[path] != elements || len(list) == 0 {
		return nil, false
	}
	inner, ok := list[len(list)-1].(map[string]any)
	return inner, ok
}

func (s *source) line(path string) string { return strconv.Itoa(s.atKey(path).Line) }

// enter begins the table of [a.b].
func (s *source) enter(parent map[string]any, path string, p part) {
	switch v := parent[p.name].(type) {
	case nil:
		table := map[string]any{}
		parent[p.name] = table
		s.table = table
		s.keys[path] = p.pos
	case map[string]any:
		if s.kinds[path] != implied {
			s.fault(p.pos, path, "the table ["+path+"] is there twice", "join it with the one in line "+s.line(path))
			if s.kinds[path] == headed {
				s.table, s.path = v, path
			}
			return
		}
		s.table = v
		s.keys[path] = p.pos
	case brokenValue:
		return
	default:
		problem := path + " is a value already, in line " + s.line(path)
		if s.kinds[path] == elements {
			problem = path + " is a list of tables since line " + s.line(path)
		}
		s.fault(p.pos, path, problem, "write [["+path+"]] for one more, or use another name")
		return
	}
	s.path, s.kinds[path] = path, headed
}

// element begins one more table of [[a.b]].
func (s *source) element(parent map[string]any, path string, p part) {
	list, isList := parent[p.name].([]any)
	switch _, broken := parent[p.name].(brokenValue); {
	case parent[p.name] == nil:
		s.kinds[path], s.keys[path] = elements, p.pos
	case broken:
		return
	case !isList || s.kinds[path] != elements:
		s.fault(p.pos, path, path+" is there already, in line "+s.line(path)+", and is no list of tables", "use [["+path+"]] for each of them")
		return
	}
	s.table = map[string]any{}
	s.path = path + "[" + strconv.Itoa(len(list)) + "]"
	parent[p.name] = append(list, s.table)
	s.keys[s.path], s.kinds[s.path] = p.pos, headed
}

// keyValue stores a key, and its value with all that is inside, below table.
func (s *source) keyValue(path string, table map[string]any, e *unstable.Node, base int) {
	parts := s.parts(e, base)
	for _, p := range parts[:len(parts)-1] {
		path = join(path, p.name)
		switch v := table[p.name].(type) {
		case nil:
			inner := map[string]any{}
			table[p.name], table = inner, inner
			s.kinds[path], s.keys[path] = dotted, p.pos
		case map[string]any:
			if s.kinds[path] != dotted {
				s.fault(p.pos, path, "the table "+path+" is there already, in line "+s.line(path), "write the key there")
				return
			}
			table = v
		case brokenValue:
			return
		default:
			s.fault(p.pos, path, path+" is a value already, in line "+s.line(path), "use another name")
			return
		}
	}
	last := parts[len(parts)-1]
	path = join(path, last.name)
	if _, twice := table[last.name]; twice {
		s.fault(last.pos, path, "the key "+path+" is there twice", "remove it here or in line "+s.line(path))
		return
	}
	s.keys[path] = last.pos
	table[last.name] = s.value(path, e.Value(), s.afterKey(e, last.pos, base), base)
}

// afterKey gives the position of a value as a whole; the library says of lists
// and tables at most where they begin.
func (s *source) afterKey(e *unstable.Node, key Position, base int) Position {
	start, end := 0, base+int(e.Raw.Offset+e.Raw.Length)
	for it := e.Key(); it.Next(); {
		r := it.Node().Raw
		start = base + int(r.Offset+r.Length)
	}
	for start < end && strings.IndexByte(" \t=", s.text[start]) >= 0 {
		start++
	}
	if start >= end {
		return key
	}
	return s.position(start, end-start)
}

// value reads a value and notes where it and its parts stand. Outer is where it
// stands at the latest.
func (s *source) value(path string, v *unstable.Node, outer Position, base int) any {
	pos := outer
	whole := v.Kind != unstable.Array && v.Kind != unstable.InlineTable // Raw says all of it
	if v.Raw.Length > 0 && (whole || strings.HasSuffix(path, "]")) {
		pos = s.position(base+int(v.Raw.Offset), int(v.Raw.Length))
	}
	s.vals[path] = pos
	s.nesting++
	defer func() { s.nesting-- }()
	if s.nesting > maxNesting {
		s.fault(pos, path, "lists and tables are nested too deep", fmt.Sprintf("use at most %d levels", maxNesting))
		return brokenValue{}
	}
	switch v.Kind {
	case unstable.String:
		return string(v.Data)
	case unstable.Bool:
		return string(v.Data) == "true"
	case unstable.Array:
		list := []any{}
		for it := v.Children(); it.Next(); {
			list = append(list, s.value(path+"["+strconv.Itoa(len(list))+"]", it.Node(), pos, base))
		}
		return list
	case unstable.InlineTable:
		inner := map[string]any{}
		for it := v.Children(); it.Next(); {
			s.keyValue(path, inner, it.Node(), base)
		}
		s.seal(path, inner)
		return inner
	default:
		return s.scalar(path, v, pos)
	}
}

// seal marks an inline table and the dotted tables inside as complete.
func (s *source) seal(path string, table map[string]any) {
	s.kinds[path] = inlined
	for name, v := range table {
		if inner, ok := v.(map[string]any); ok {
			s.seal(join(path, name), inner)
		}
	}
}

// scalar lets the library read numbers and times.
func (s *source) scalar(path string, v *unstable.Node, pos Position) any {
	var doc map[string]any
	text := append([]byte("v="), v.Data...)
	if err := toml.Unmarshal(text, &doc); err != nil {
		s.fault(pos, path, strings.TrimPrefix(err.Error(), "toml: "), "write a number or a date that exists")
		return brokenValue{}
	}
	return doc["v"]
}

func (s *source) fault(pos Position, path, problem, remedy string) {
	s.bad[path] = true
	s.faults.add(pos, s.text, path, problem, remedy)
}

// at gives the position of the value at path, of its key, or of the nearest
// table around it.
func (s *source) at(path string) Position {
	for p := path; ; {
		if pos, ok := s.vals[p]; ok && pos.Line > 0 {
			return pos
		}
		if pos, ok := s.keys[p]; ok {
			return pos
		}
		i := strings.LastIndexAny(p, ".[")
		if i < 0 {
			return Position{File: s.file, Line: 1, Col: 1}
		}
		p = p[:i]
	}
}

// atKey gives the position of the key at path, or as at.
func (s *source) atKey(path string) Position {
	if pos, ok := s.keys[path]; ok {
		return pos
	}
	return s.at(path)
}

// has reports whether something is written at path, even if it is wrong.
func (s *source) has(path string) bool {
	_, ok := s.keys[path]
	return ok
}

// join adds a key to a path; keys that are no bare words are quoted.
func join(path, key string) string {
	if key == "" || strings.ContainsAny(key, ". []\"'\\\n\r\t") || strings.ContainsFunc(key, func(r rune) bool { return !strconv.IsPrint(r) }) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}
