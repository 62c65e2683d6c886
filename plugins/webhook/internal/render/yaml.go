package render

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"bridgehost/plugins/webhook/internal/jsonval"
)

// YAML writes v in block style with an indent of two, at most limit bytes. It
// reads back as the same JSON value under YAML 1.1 and 1.2: a scalar is plain
// only when no version of YAML could take it for anything but a string.
func YAML(v jsonval.Value, limit int) (string, error) {
	w := &writer{limit: limit, b: make([]byte, 0, 256)}
	w.yaml(v, 0)
	s, err := w.text()
	return strings.TrimPrefix(s, "\n"), err
}

// yaml writes v behind what is already on the line (a key with its colon, a
// dash, or nothing). Level is the indent of the children of a mapping.
func (w *writer) yaml(v jsonval.Value, level int) {
	if w.full() {
		return
	}
	switch {
	case v.Kind == jsonval.Object && len(v.Items) > 0:
		w.yamlObject(v, level, false)
	case v.Kind == jsonval.List && len(v.Items) > 0:
		w.yamlList(v, level, false)
	default:
		w.yamlScalar(v, level)
	}
}

func (w *writer) yamlObject(v jsonval.Value, level int, onDash bool) {
	for i, item := range v.Items {
		if w.full() {
			return
		}
		if i > 0 || !onDash {
			w.indent(level)
		}
		// YAML 1.2 §7.4: an implicit key has at most 1,024 characters.
		if key := v.Names[i]; len(key) > 250 {
			w.b = append(w.b, '?', ' ')
			w.b = appendQuoted(w.b, key)
			w.indent(level)
		} else {
			w.b = appendPlainOrQuoted(w.b, key)
		}
		w.b = append(w.b, ':')
		if item.Kind == jsonval.List && len(item.Items) > 0 {
			w.yamlList(item, level, false)
			continue
		}
		if !block(item) {
			w.b = append(w.b, ' ')
		}
		w.yaml(item, level+1)
	}
}

// yamlList writes the dashes at level: under a key they stand in the key's column.
func (w *writer) yamlList(v jsonval.Value, level int, onDash bool) {
	for i, item := range v.Items {
		if w.full() {
			return
		}
		if i > 0 || !onDash {
			w.indent(level)
		}
		w.b = append(w.b, '-', ' ')
		switch {
		case item.Kind == jsonval.Object && len(item.Items) > 0:
			w.yamlObject(item, level+1, true)
		case item.Kind == jsonval.List && len(item.Items) > 0:
			w.yamlList(item, level+1, true)
		default:
			w.yamlScalar(item, level+1)
		}
	}
}

func block(v jsonval.Value) bool {
	return (v.Kind == jsonval.Object || v.Kind == jsonval.List) && len(v.Items) > 0
}

func (w *writer) yamlScalar(v jsonval.Value, level int) {
	switch v.Kind {
	case jsonval.Null:
		w.b = append(w.b, "null"...)
	case jsonval.List:
		w.b = append(w.b, "[]"...)
	case jsonval.Object:
		w.b = append(w.b, "{}"...)
	case jsonval.Number:
		w.b = append(w.b, yamlNumber(v.Text)...)
	case jsonval.String:
		if literal(v.Text) {
			w.literal(v.Text, max(level, 1))
			return
		}
		w.b = appendPlainOrQuoted(w.b, v.Text)
	default:
		w.b = append(w.b, v.Text...)
	}
}

// yamlNumber keeps a literal as it is, except that YAML 1.1 wants a point and a
// sign in a number with an exponent.
func yamlNumber(s string) string {
	i := strings.IndexAny(s, "eE")
	if i < 0 {
		return s
	}
	mantissa, exponent := s[:i], s[i+1:]
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	if exponent[0] != '+' && exponent[0] != '-' {
		exponent = "+" + exponent
	}
	return mantissa + "e" + exponent
}

// literal reports text that is best read as a literal block: several lines,
// and nothing in it that a reader of YAML would change.
func literal(s string) bool {
	if !strings.Contains(s, "\n") || s[0] == ' ' || s[0] == '\n' || s[0] == '\t' || strings.HasSuffix(s, "\n") {
		return false
	}
	for line := range strings.SplitSeq(s, "\n") {
		if strings.HasSuffix(line, " ") || strings.HasSuffix(line, "\t") || strings.HasPrefix(line, "\t") {
			return false
		}
	}
	for _, r := range s {
		if r != '\n' && r != '\t' && (r < 0x20 || r == 0x7f || awkward(r) || r == utf8.RuneError) {
			return false
		}
	}
	return true
}

// literal writes a literal block scalar (YAML 1.2 §8.1.2); "-" says that no line
// break ends the text, so that it may stand at the end of the document.
func (w *writer) literal(s string, level int) {
	w.b = append(w.b, '|', '-')
	for line := range strings.SplitSeq(s, "\n") {
		if line == "" {
			w.b = append(w.b, '\n')
			continue
		}
		w.indent(level)
		w.b = append(w.b, line...)
	}
}

func appendPlainOrQuoted(b []byte, s string) []byte {
	if plain(s) {
		return append(b, s...)
	}
	return appendQuoted(b, s)
}

// reserved are words, in lower case, that some version of YAML does not read as text.
var reserved = map[string]bool{
	"y": true, "n": true, "yes": true, "no": true, "true": true, "false": true, "on": true, "off": true,
	"null": true, "nan": true, "inf": true, "infinity": true,
}

// plain reports text that is a string for every version of YAML when written
// without quotes: it begins with a letter, is no reserved word, and holds
// letters, digits, single spaces and harmless signs.
func plain(s string) bool {
	first, _ := utf8.DecodeRuneInString(s)
	if !unicode.IsLetter(first) || len(s) < 6*2 && reserved[strings.ToLower(s)] {
		return false
	}
	for i, r := range s {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), r != utf8.RuneError && r > 0xa0 && unicode.IsPrint(r):
		case r == ' ' || r == ':':
			// ": " and a colon at the end make a key, " #" a comment (# is
			// not in the list below, so that " #" cannot occur).
			if i+1 == len(s) || r == ':' && s[i+1] == ' ' {
				return false
			}
		case strings.ContainsRune("-_./@+,()%=;!?*&$'\"<>|~^", r):
		default:
			return false
		}
	}
	return true
}
