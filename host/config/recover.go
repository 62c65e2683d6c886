package config

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2/unstable"
)

var (
	headerLine = regexp.MustCompile(`^\s*(\[\[?)\s*([A-Za-z0-9_-][A-Za-z0-9_.@"'-]*)\s*\]{0,2}\s*(#.*)?$`)
	anyHeader  = regexp.MustCompile(`^\s*\[\[?\s*[A-Za-z_][^,]*$`)
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
	message = s.clearer(message, at)
	pos := s.position(at, 1)
	if row := s.lineOf(at); at >= len(s.text) || row > first && (anyHeader.Match(s.lineText(row)) || keyLine.Match(s.lineText(row))) || unclosed(line) {
		pos = s.position(s.lines[first], len(line)) // something was not closed here
	}
	if strings.HasPrefix(strings.TrimSpace(line), "[") {
		s.brokenHeader(pos, line, message)
	} else {
		s.brokenKey(pos, line, message, first)
	}
	return s.resume(first)
}

// clearer puts the library's message into the words of somebody who looks at the file.
func (s *source) clearer(message string, at int) string {
	message = strings.TrimPrefix(message, "toml: ")
	i := strings.Index(message, "U+")
	if i < 0 || at >= len(s.text) {
		return message
	}
	if c := s.text[at]; c == '\n' || c == '\r' {
		return "the line ends where a value is expected"
	}
	code, sign, _ := strings.Cut(message[i:], " ") // U+0064 'd'
	if s.text[at] >= utf8.RuneSelf && code != "" { // the library names the first byte only
		r, _ := utf8.DecodeRune(s.text[at:])
		_, rest, _ := strings.Cut(strings.TrimPrefix(sign, "'"), "'")
		sign = strconv.QuoteRune(r) + rest
	}
	return message[:i] + sign
}

// unclosed reports whether a line begins a text of several lines.
func unclosed(line string) bool {
	return strings.Count(line, `"""`) == 1 || strings.Count(line, "'''") == 1
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
		if line := s.lineText(i); anyHeader.Match(line) || keyLine.Match(line) {
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
		value, message = "…", "the value cannot be read"
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
	case quoted && strings.HasPrefix(message, "expected newline"):
		return `write one value on a line; a list is written ["a", "b"]`
	case quoted:
		return "close the text with the quotation mark that it began with"
	default:
		return "put a text in quotes: " + key + ` = "` + value + `"`
	}
}
