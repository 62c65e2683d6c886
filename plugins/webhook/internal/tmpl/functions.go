package tmpl

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"
)

// functions are what templates may call beside those of text/template. None
// does I/O, and each copes with values that are missing.
var functions = template.FuncMap{
	"show":    show,
	"oneline": func(v any) string { return oneline(show(v)) },
	"words":   func(v any) string { return oneline(strings.ReplaceAll(show(v), "_", " ")) },
	"firstline": func(v any) string {
		line, _, _ := strings.Cut(strings.TrimSpace(show(v)), "\n")
		return oneline(line)
	},
	"short":  func(n int, v any) string { return short(n, oneline(show(v))) },
	"sha":    func(v any) string { s := show(v); return s[:min(len(s), 7)] },
	"branch": func(v any) string { return strings.TrimPrefix(show(v), "refs/heads/") },
	"tag":    func(v any) string { return strings.TrimPrefix(show(v), "refs/tags/") },
	"upper":  func(v any) string { return strings.ToUpper(show(v)) },
	"lower":  func(v any) string { return strings.ToLower(show(v)) },
	"title":  title,
	"trim":   func(v any) string { return strings.TrimSpace(show(v)) },
	"prefix": func(p string, v any) bool { return strings.HasPrefix(show(v), p) },
	"default": func(other, v any) any {
		if show(v) == "" {
			return other
		}
		return v
	},
	"join":   join,
	"get":    get,
	"first":  first,
	"count":  count,
	"limit":  limit,
	"last":   last,
	"plural": plural,
	"json":   show,
	"date":   date,
	"skip":   func() (string, error) { return "", ErrSkip },
}

// show gives any value as text: nothing for what is missing, JSON for lists
// and objects.
func show(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case string:
		return x
	case bool:
		return strconv.FormatBool(x)
	case int:
		return strconv.Itoa(x)
	case int64:
		return strconv.FormatInt(x, 10)
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	case []any, map[string]any:
		var b strings.Builder
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(x); err != nil {
			return ""
		}
		return strings.TrimSuffix(b.String(), "\n")
	default:
		return fmt.Sprint(x)
	}
}

// oneline joins lines by spaces, so that data cannot imitate a line of its own.
func oneline(s string) string { return strings.Join(strings.Fields(s), " ") }

// short cuts after n characters and marks the cut.
func short(n int, s string) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return strings.TrimRight(string(r[:max(n-1, 0)]), " ") + "…"
}

func title(v any) string {
	s := strings.ReplaceAll(show(v), "_", " ")
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return ""
	}
	return strings.ToUpper(string(r)) + s[n:]
}

// join gives the elements of a list, or the key=value pairs of an object, on one line.
func join(sep string, v any) string {
	var parts []string
	switch x := v.(type) {
	case []any:
		for _, item := range x {
			parts = append(parts, oneline(show(item)))
		}
	case map[string]any:
		for _, k := range sortedKeys(x) {
			parts = append(parts, oneline(k)+"="+oneline(show(x[k])))
		}
	default:
		return oneline(show(v))
	}
	return strings.Join(parts, sep)
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// get follows names into objects and numbers into lists; nothing when one is missing.
func get(v any, path ...any) any {
	for _, p := range path {
		switch x := v.(type) {
		case map[string]any:
			v = x[show(p)]
		case []any:
			i, err := strconv.Atoi(show(p))
			if err != nil || i < 0 || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

// first gives the first value that is not empty.
func first(values ...any) any {
	for _, v := range values {
		if show(v) != "" {
			return v
		}
	}
	return nil
}

// count gives the length of a list or object, else 0.
func count(v any) int {
	switch x := v.(type) {
	case []any:
		return len(x)
	case map[string]any:
		return len(x)
	default:
		return 0
	}
}

// limit gives at most the first n elements of a list.
func limit(n int, v any) []any {
	x, ok := v.([]any)
	if !ok {
		return nil
	}
	return x[:min(max(n, 0), len(x))]
}

// last gives the part of text behind the last separator.
func last(sep string, v any) string {
	s := show(v)
	if sep == "" {
		return s
	}
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[i+len(sep):]
	}
	return s
}

// plural gives "1 commit" and "2 commits".
func plural(n any, word string) string {
	s := show(n)
	if s == "1" {
		return "1 " + word
	}
	return s + " " + word + "s"
}

// date writes a time as 2006-01-02 15:04 UTC; what is no time stays as it is.
func date(v any) string {
	s := show(v)
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02 15:04:05.000"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC().Format("2006-01-02 15:04 UTC")
		}
	}
	return oneline(s)
}
