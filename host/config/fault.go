package config

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"

	"bridgehost/sdk/settings"
)

// Error is one fault of a configuration.
type Error struct {
	Position
	Key     string `json:"key,omitempty"`
	Problem string `json:"problem"`
	Remedy  string `json:"remedy,omitempty"`
	Excerpt string `json:"excerpt,omitempty"` // the line, and below it what is meant
}

// Error gives the fault as operators read it.
func (e Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Position, e.Problem)
	if e.Excerpt != "" {
		fmt.Fprintf(&b, "\n%s", e.Excerpt)
	}
	if e.Remedy != "" {
		fmt.Fprintf(&b, "\n  remedy: %s", e.Remedy)
	}
	return b.String()
}

// maxFaults bounds a list of faults; a file with more has another problem.
const maxFaults = 200

// Errors are all faults of a configuration, at most 200.
type Errors struct {
	List []Error
}

// full reports whether there is no room for more faults.
func (e *Errors) full() bool { return len(e.List) >= maxFaults }

// Error lists the faults and says how many there are.
func (e *Errors) Error() string {
	var b strings.Builder
	for _, f := range e.List {
		b.WriteString(f.Error())
		b.WriteString("\n\n")
	}
	switch n := len(e.List); {
	case n == 1:
		b.WriteString("1 fault in the configuration")
	case e.full():
		fmt.Fprintf(&b, "%d faults in the configuration, and perhaps more", n)
	default:
		fmt.Fprintf(&b, "%d faults in the configuration", n)
	}
	b.WriteString("; every key is explained by: bridgehost config docs")
	return b.String()
}

// add notes a fault. Excerpts never show a secret's value: see excerpt.
func (e *Errors) add(pos Position, text []byte, key, problem, remedy string) {
	if e.full() {
		return
	}
	e.List = append(e.List, Error{Position: pos, Key: key, Problem: printable(problem), Remedy: printable(remedy),
		Excerpt: excerpt(text, pos, secretKey.MatchString(key))})
}

// sorted puts the faults in the order of the files, and drops repeats.
func (e *Errors) sorted() {
	sort.SliceStable(e.List, func(i, j int) bool {
		a, b := e.List[i], e.List[j]
		if a.File != b.File {
			return a.File < b.File
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Col < b.Col
	})
	out := e.List[:0]
	for i, f := range e.List {
		if i == 0 || f.Position != out[len(out)-1].Position || f.Problem != out[len(out)-1].Problem {
			out = append(out, f)
		}
	}
	e.List = out
}

// err gives e as an error, nil when there is no fault.
func (e *Errors) err() error {
	if len(e.List) == 0 {
		return nil
	}
	e.sorted()
	return e
}

// secretKey matches keys whose values are secrets, by their name.
var secretKey = regexp.MustCompile(`(?i)secret|password|passwd|passphrase|token|api_?key|private_?key`)

// secretValue matches a key of that kind and its value.
var secretValue = regexp.MustCompile(`(?i)((?:secret|password|passwd|passphrase|token|api_?key|private_?key)[^=:\s{]*\s*[=:]\s*)(\S.*)`)

// secretForm matches a table that only names where a secret is.
var secretForm = regexp.MustCompile(`^\{\s*([A-Za-z]+)\s*=\s*("[^"]*"|'[^']*'|)\s*\}`)

// harmless reports whether a value is a table that names a secret, well spelt or nearly.
func harmless(value string) bool {
	m := secretForm.FindStringSubmatch(strings.TrimSpace(value))
	return m != nil && (slices.Contains(secretForms, m[1]) || Nearest(m[1], secretForms) != "")
}

// secretLine reports whether a line holds a secret's value.
func secretLine(line string) bool { return withoutSecret(line) != line }

// withoutSecret cuts a line where the value of a secret begins.
func withoutSecret(line string) string {
	m := secretValue.FindStringSubmatchIndex(line)
	if m == nil || harmless(line[m[4]:m[5]]) {
		return line
	}
	return line[:m[4]] + "…"
}

// maxExcerpt bounds the characters of a line that are shown.
const maxExcerpt = 160

// excerpt gives the line of a position with what is meant underlined. Values of
// secrets are left out; hidden says that the whole value is one.
func excerpt(text []byte, pos Position, hidden bool) string {
	line, ok := lineAt(text, pos.Line)
	if !ok || strings.TrimSpace(line) == "" {
		return ""
	}
	line = withoutSecret(line)
	if hidden {
		line = hideValue(line)
	}
	chars := []rune(printable(line))
	start := min(max(pos.Col-1, 0), len(chars))
	end := min(start+max(pos.Len, 1), len(chars))
	if cut := start - maxExcerpt/2; len(chars) > maxExcerpt && cut > 0 {
		chars, start, end = chars[cut:], start-cut, end-cut
	}
	chars = chars[:min(len(chars), maxExcerpt)]
	end = min(end, len(chars))
	start = min(start, len(chars))
	end = max(end, start+1) // one after the end where something is missing
	indent := strings.Map(func(r rune) rune {
		if r == '\t' {
			return '\t'
		}
		return ' '
	}, string(chars[:start]))
	return fmt.Sprintf("  %4d | %s\n       | %s%s", pos.Line, string(chars), indent, strings.Repeat("~", end-start))
}

// lineAt gives a line, counted from 1.
func lineAt(text []byte, n int) (string, bool) {
	if n < 1 {
		return "", false
	}
	for ; n > 1; n-- {
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			return "", false
		}
		text = text[i+1:]
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return string(bytes.TrimSuffix(line, []byte("\r"))), true
}

// hideValue leaves of a line only what is before its value, and the forms that
// name a secret.
func hideValue(line string) string {
	key, value, ok := strings.Cut(line, "=")
	switch {
	case ok && harmless(value):
		return line
	case ok:
		return key + "= …"
	case headerLine.MatchString(line):
		return line
	default:
		return "…"
	}
}

// printable keeps signs from a file from steering a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '·'
		}
		return r
	}, s)
}

// Nearest gives the word of list that is most like word, empty when none is
// near: at most a third of its letters differ.
func Nearest(word string, list []string) string { return settings.Nearest(word, list) }
