package config

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

var (
	headerLine = regexp.MustCompile(`^\s*(\[\[?)\s*([A-Za-z0-9_-][A-Za-z0-9_.@"'-]*)\s*\]{0,2}\s*(#.*)?$`)
	keyLine    = regexp.MustCompile(`^\s*([A-Za-z0-9_-]+(?:\s*\.\s*[A-Za-z0-9_-]+)*)\s*=`)
	nearKey    = regexp.MustCompile(`^\s*([A-Za-z0-9_-]+(?:\s*\.\s*[A-Za-z0-9_-]+)*)\s*([=:]?)\s*([^#]*)`)
)

// recover notes a fault of syntax at offset at, in the expression after end, and
// gives the offset at which reading goes on.
func (s *source) recover(end, at int, message string) int {
	first := s.lineOf(end)
	if end > 0 {
		first++ // an expression ends its line
	}
	for first < len(s.lines)-1 && isIdle(s.lineText(first)) {
		first++
	}
	first = min(first, s.lineOf(at))
	line := string(s.lineText(first))
	pos := s.position(at, 1)
	if at >= len(s.text) {
		pos = s.position(s.lines[first], len(line))
	}
	if strings.HasPrefix(strings.TrimSpace(line), "[") {
		s.brokenHeader(pos, line, message)
	} else {
		s.brokenKey(pos, line, message, first)
	}
	return s.resume(first)
}

func (s *source) lineOf(offset int) int { return s.position(offset, 0).Line - 1 }

// lineText gives a line without its end, counted from 0.
func (s *source) lineText(i int) []byte {
	end := len(s.text)
	if i+1 < len(s.lines) {
		end = s.lines[i+1] - 1
	}
	return bytes.TrimSuffix(s.text[s.lines[i]:end], []byte("\r"))
}

// isIdle reports whether a line is empty or a comment.
func isIdle(line []byte) bool {
	line = bytes.TrimSpace(line)
	return len(line) == 0 || line[0] == '#'
}

// resume finds the next line after first that looks like a header or a key, and
// is not inside a text of several lines.
func (s *source) resume(first int) int {
	start := first + 1
	text := string(s.lineText(first))
	for _, quote := range []string{`"""`, `'''`} {
		if strings.Count(text, quote) != 1 {
			continue
		}
		rest := s.text[min(s.lines[first]+len(text), len(s.text)):]
		i := bytes.Index(rest, []byte(quote))
		if i < 0 {
			s.holes = true
			return len(s.text)
		}
		start = s.lineOf(s.lines[first]+len(text)+i) + 1
	}
	for i := start; i < len(s.lines); i++ {
		if line := s.lineText(i); headerLine.Match(line) || keyLine.Match(line) {
			return s.lines[i]
		}
	}
	return len(s.text)
}

// brokenHeader reports a header, and enters its table if one can see which it is.
func (s *source) brokenHeader(pos Position, line, message string) {
	s.table = nil
	m := headerLine.FindStringSubmatch(line)
	if m == nil {
		s.holes = true
		s.fault(pos, "", message, "a table begins with [name], a list of tables with [[name]]")
		return
	}
	fixed := m[1] + m[2] + strings.Repeat("]", len(m[1]))
	p := &unstable.Parser{}
	p.Reset([]byte(fixed))
	if !p.NextExpression() {
		s.holes = true
		s.fault(pos, "", message, "a table begins with [name], a list of tables with [[name]]")
		return
	}
	s.fault(pos, m[2], message, "write "+fixed)
	parts := s.parts(p.Expression(), 0)
	for i := range parts {
		parts[i].pos = pos
	}
	s.header(parts, m[1] == "[[")
}

// brokenKey reports a line that should be a key with its value, and marks the key
// as there.
func (s *source) brokenKey(pos Position, line, message string, row int) {
	m := nearKey.FindStringSubmatch(line)
	if m == nil {
		s.fault(pos, "", message, "a line is KEY = VALUE; names with other signs are written in quotes")
		return
	}
	key, sign, value := m[1], m[2], strings.TrimSpace(m[3])
	path, table := s.path, s.table
	if table != nil {
		words := strings.Split(key, ".")
		for _, w := range words[:len(words)-1] {
			path = join(path, strings.TrimSpace(w))
			table, _ = table[strings.TrimSpace(w)].(map[string]any)
		}
		last := strings.TrimSpace(words[len(words)-1])
		path = join(path, last)
		if table != nil && table[last] == nil {
			table[last] = brokenValue{}
			s.keys[path] = s.position(s.lines[row]+strings.Index(line, last), len(last))
		}
	}
	if secretLine(line) {
		value = "…"
		if pos.Line != row+1 { // inside a secret of several lines
			pos = s.position(s.lines[row], len(line))
		}
	}
	s.fault(pos, path, message, syntaxRemedy(key, sign, value, message))
}

// syntaxRemedy says what to write instead of a line that cannot be read.
func syntaxRemedy(key, sign, value, message string) string {
	quoted := strings.HasPrefix(value, `"`) || strings.HasPrefix(value, `'`)
	switch lower := strings.ToLower(value); {
	case sign == "":
		return "a line is KEY = VALUE: " + key + " = …"
	case sign == ":":
		if !quoted && value != "…" && value != "true" && value != "false" {
			value = "…"
		}
		return "write " + key + " = " + value
	case value == "":
		return "write a value: " + key + " = …"
	case lower == "true" || lower == "false":
		return "write " + key + " = " + lower
	case lower == "yes" || lower == "on":
		return "write " + key + " = true"
	case lower == "no" || lower == "off":
		return "write " + key + " = false"
	case strings.ContainsAny(value, "“”„‘’"):
		return `use straight quotes: "`
	case strings.Contains(message, "escape"):
		return `write \\ for a backslash, or put the text in 'single quotes'`
	case strings.HasPrefix(value, "["):
		return `separate the entries by commas and close the list: ["a", "b"]`
	case strings.HasPrefix(value, "{"):
		return `separate the keys by commas and close the table: { a = 1, b = 2 }`
	case quoted:
		return "close the text with the quotation mark that it began with"
	default:
		return "put a text in quotes: " + key + ` = "` + value + `"`
	}
}
