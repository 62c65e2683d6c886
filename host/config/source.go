package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	toml "github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// Position is a place in a file; lines and columns count from 1.
type Position struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Col  int    `json:"col"`
	Len  int    `json:"len,omitempty"` // bytes that are meant
}

// String gives file:line:col.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// source is one file: its values, and where each of them stands.
type source struct {
	file   string
	text   []byte
	values map[string]any
	keys   map[string]Position // of the key, by path such as link.home.config.mode or route[0].to[1]
	vals   map[string]Position // of the value
	faults *Errors
}

// readSource parses a file. Duplicate keys are found here, since the library
// reports them without a position; other faults of syntax end the file.
func readSource(file string, text []byte, faults *Errors) *source {
	s := &source{file: file, text: text, keys: map[string]Position{}, vals: map[string]Position{}, faults: faults}
	before := len(faults.List)
	s.walk()
	if len(faults.List) > before {
		return s
	}
	if err := toml.Unmarshal(text, &s.values); err != nil {
		pos := Position{File: file, Line: 1, Col: 1}
		var decode *toml.DecodeError
		if errors.As(err, &decode) {
			pos.Line, pos.Col = decode.Position()
		}
		faults.add(pos, s.text, "", strings.TrimPrefix(err.Error(), "toml: "), "see the TOML syntax at this place")
	}
	return s
}

// walk notes the position of every key and value.
func (s *source) walk() {
	p := &unstable.Parser{}
	p.Reset(s.text)
	table := ""
	arrays := map[string]int{}
	tables := map[string]Position{}
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.KeyValue:
			s.keyValue(p, table, e)
		case unstable.Table:
			path, pos := s.key(p, "", e, arrays)
			table = path
			if first, ok := tables[path]; ok {
				s.faults.add(pos, s.text, path, "the table ["+path+"] is there twice", fmt.Sprintf("join it with the one in line %d", first.Line))
			}
			tables[path] = pos
			s.keys[path] = pos
		case unstable.ArrayTable:
			path, pos := s.key(p, "", e, arrays)
			n := arrays[path]
			arrays[path]++
			table = path + "[" + strconv.Itoa(n) + "]"
			s.keys[table] = pos
			if _, ok := s.keys[path]; !ok {
				s.keys[path] = pos
			}
		}
	}
	if err := p.Error(); err != nil {
		pos := Position{File: s.file, Line: 1, Col: 1}
		var pe *unstable.ParserError
		if errors.As(err, &pe) && len(pe.Highlight) > 0 {
			pos = s.position(p, p.Range(pe.Highlight))
		} else {
			pos.Line = strings.Count(string(s.text), "\n") + 1
		}
		s.faults.add(pos, s.text, "", strings.TrimPrefix(err.Error(), "toml: "), "see the TOML syntax at this place")
	}
}

func (s *source) position(p *unstable.Parser, r unstable.Range) Position {
	shape := p.Shape(r)
	return Position{File: s.file, Line: shape.Start.Line, Col: shape.Start.Column, Len: int(r.Length)}
}

// key joins the parts of a key below table. Parts that name an array of tables
// mean its last element.
func (s *source) key(p *unstable.Parser, table string, e *unstable.Node, arrays map[string]int) (string, Position) {
	path, pos := table, Position{File: s.file}
	for it := e.Key(); it.Next(); {
		if n := arrays[path]; n > 0 && path != table {
			path += "[" + strconv.Itoa(n-1) + "]"
		}
		path = join(path, string(it.Node().Data))
		pos = s.position(p, it.Node().Raw)
		if !it.IsLast() && arrays != nil {
			if _, ok := s.keys[path]; !ok {
				s.keys[path] = pos
			}
		}
	}
	return path, pos
}

// keyValue notes a key, and its value with all that is inside.
func (s *source) keyValue(p *unstable.Parser, table string, e *unstable.Node) {
	path, pos := s.key(p, table, e, nil)
	if first, ok := s.keys[path]; ok {
		s.faults.add(pos, s.text, path, "the key "+path+" is there twice", fmt.Sprintf("remove it here or in line %d", first.Line))
		return
	}
	s.keys[path] = pos
	s.value(p, path, e.Value(), pos)
}

func (s *source) value(p *unstable.Parser, path string, v *unstable.Node, key Position) {
	pos := key
	if v.Raw.Length > 0 {
		pos = s.position(p, v.Raw)
	}
	s.vals[path] = pos
	switch v.Kind {
	case unstable.Array:
		n := 0
		for it := v.Children(); it.Next(); n++ {
			s.value(p, path+"["+strconv.Itoa(n)+"]", it.Node(), pos)
		}
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			s.keyValue(p, path, it.Node())
		}
	}
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

// join adds a key to a path; keys that are no bare words are quoted.
func join(path, key string) string {
	if key == "" || strings.ContainsAny(key, ". []\"'") {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}
