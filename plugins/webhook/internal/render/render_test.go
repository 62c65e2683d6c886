package render

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"

	"bridgehost/plugins/webhook/internal/jsonval"
)

func parse(t *testing.T, s string) jsonval.Value {
	t.Helper()
	v, err := jsonval.Parse([]byte(s))
	if err != nil {
		t.Fatalf("parse %s: %v", s, err)
	}
	return v
}

const sample = `{"z":"Grüße <b>&</b> 😀","a":[1.0,1e3,{"k":[],"o":{}},[["x"],"yes"]],"multi":"one\ntwo","n":null,"t":true,"q":"say \"hi\" \\ \u0001","":"1e3"}`

func TestJSON(t *testing.T) {
	got, err := JSON(parse(t, sample), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "z": "Grüße <b>&</b> 😀",
  "a": [
    1.0,
    1e3,
    {
      "k": [],
      "o": {}
    },
    [
      [
        "x"
      ],
      "yes"
    ]
  ],
  "multi": "one\ntwo",
  "n": null,
  "t": true,
  "q": "say \"hi\" \\ \u0001",
  "": "1e3"
}`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestYAML(t *testing.T) {
	got, err := YAML(parse(t, sample), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	want := `z: Grüße <b>&</b> 😀
a:
- 1.0
- 1.0e+3
- k: []
  o: {}
- - - x
  - "yes"
multi: |-
  one
  two
"n": null
t: true
q: "say \"hi\" \\ \u0001"
"": "1e3"`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestLimit(t *testing.T) {
	v := parse(t, strings.Repeat("[", 60)+strings.TrimSuffix(strings.Repeat("1,", 50_000), ",")+strings.Repeat("]", 60))
	for name, f := range map[string]func(jsonval.Value, int) (string, error){"json": JSON, "yaml": YAML, "compact": CompactJSON} {
		if _, err := f(v, 100_000); !errors.Is(err, ErrTooLong) {
			t.Errorf("%s: %v, want ErrTooLong", name, err)
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"a\x00b\x1b[31mc": "a\ufffdb\ufffd[31mc", "a\r\nb\rc\n\n": "a\nb\nc", "tab\tok": "tab\tok", "\uffff\ufffe": "\ufffd\ufffd",
		"bad\xff": "bad\ufffd", "\u0085x": "\ufffdx", "fine 😀": "fine 😀",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

// normal gives v as the value that a reader of YAML or JSON would have,
// numbers as the nearest float64.
func normal(t fataler, v jsonval.Value) any {
	switch v.Kind {
	case jsonval.Number:
		f, err := strconv.ParseFloat(v.Text, 64)
		if err != nil && !math.IsInf(f, 0) {
			t.Fatalf("number %s: %v", v.Text, err)
		}
		return f
	case jsonval.List:
		out := []any{}
		for _, item := range v.Items {
			out = append(out, normal(t, item))
		}
		return out
	case jsonval.Object:
		out := map[string]any{}
		for i, n := range v.Names {
			out[n] = normal(t, v.Items[i])
		}
		return out
	default:
		return v.Data()
	}
}

type fataler interface {
	Fatalf(format string, args ...any)
}

// floats replaces the numbers that a decoder gave by float64.
func floats(v any) any {
	switch x := v.(type) {
	case int:
		return float64(x)
	case int64:
		return float64(x)
	case uint64:
		return float64(x)
	case map[any]any:
		out := map[string]any{}
		for k, item := range x {
			s, ok := k.(string)
			if !ok {
				return "key is no string"
			}
			out[s] = floats(item)
		}
		return out
	case map[string]any:
		for k := range x {
			x[k] = floats(x[k])
		}
	case []any:
		for i := range x {
			x[i] = floats(x[i])
		}
	}
	return v
}

var tricky = []string{
	"yes", "no", "on", "off", "y", "N", "~", "null", "Null", "true", "False", "1e3", "0x1f", "0o7", "017", "1_000", "1:30", ".inf", "-.INF", ".nan", "NaN",
	"2001-12-14", "2001-12-14t21:59:43.10-05:00", "!!python/object:os.system", "!tag x", "&anchor", "*alias", "- a", "-", "--- x", "---", "...", "? k", ": v",
	"a: b", "a :b", "a #b", "#c", "a:", "[x]", "{x: y}", "%YAML", "@at", "`tick", "|", ">-", "'q'", "\"q\"", " lead", "trail ", "", " ", "\n", "a\nb", "a\n", "a\n\n",
	"\na", " a\nb", "a\n b", "a \nb", "a\n\tb", "\ta", "a\tb", "a\r\nb", "a\u2028b\nc", "\u0085", "\ufeffx", "x\ufeff\ny", "\u0000", "\u007f", "é", "😀", "\ufffd", "=", "<<",
	"a\n---\nb", "a\n...\nb", "# x\ny", "key: |\n  x", "1.0", "-1", "+1", "0", "a, b", "key=value; x", "\u00a0", "a\u00a0", "𝒳", "١٢", "ınf", "İnf", "\U0001f600\n\nx",
}

func genString() *rapid.Generator[string] {
	return rapid.OneOf(rapid.SampledFrom(tricky), rapid.String(),
		rapid.StringOf(rapid.RuneFrom([]rune(" \n\t:-#'\"a{}[]!&*|>%@?,.01eyEnN~\\"))))
}

func genValue(depth int) *rapid.Generator[jsonval.Value] {
	return rapid.Custom(func(t *rapid.T) jsonval.Value {
		top := 5
		if depth == 0 {
			top = 3
		}
		switch rapid.IntRange(0, top).Draw(t, "kind") {
		case 0:
			return jsonval.Value{}
		case 1:
			return jsonval.Value{Kind: jsonval.Bool, Text: strconv.FormatBool(rapid.Bool().Draw(t, "bool"))}
		case 2:
			return jsonval.Value{Kind: jsonval.Number, Text: rapid.StringMatching(`-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "number")}
		case 3:
			return jsonval.Str(genString().Draw(t, "string"))
		case 4:
			return jsonval.Value{Kind: jsonval.List, Items: rapid.SliceOfN(genValue(depth-1), 0, 4).Draw(t, "list")}
		default:
			v := jsonval.Value{Kind: jsonval.Object}
			for _, name := range rapid.SliceOfNDistinct(genString(), 0, 4, rapid.ID[string]).Draw(t, "names") {
				v.Names = append(v.Names, name)
				v.Items = append(v.Items, genValue(depth-1).Draw(t, "member"))
			}
			return v
		}
	})
}

// TestWH06ReadsBackEqual: what YAML and JSON write reads back as an equal value.
func TestWH06ReadsBackEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := genValue(4).Draw(t, "value")
		checkReadBack(t, v)
	})
}

func TestWH06Tricky(t *testing.T) {
	for _, s := range append(tricky, strings.Repeat("long key ", 300)) {
		checkReadBack(t, jsonval.Str(s))
		checkReadBack(t, jsonval.Value{Kind: jsonval.Object, Names: []string{s}, Items: []jsonval.Value{jsonval.Str(s)}})
		checkReadBack(t, jsonval.Value{Kind: jsonval.Object, Names: []string{s}, Items: []jsonval.Value{
			{Kind: jsonval.Object, Names: []string{s, "b"}, Items: []jsonval.Value{jsonval.Str(s), {Kind: jsonval.List, Items: []jsonval.Value{jsonval.Str(s)}}}}}})
	}
}

func checkReadBack(t fataler, v jsonval.Value) {
	want := normal(t, v)
	text, err := YAML(v, 1<<20)
	if err != nil {
		t.Fatalf("yaml: %v", err)
	}
	// What reaches a room has passed Clean, which must not change it.
	if cleaned := Clean(text); cleaned != text {
		t.Fatalf("yaml is not clean: %q", text)
	}
	var got any
	if err := yaml.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("yaml does not read back: %v\n%s", err, text)
	}
	if got = floats(got); !reflect.DeepEqual(got, want) {
		t.Fatalf("yaml reads back as %#v, want %#v\n%s", got, want, text)
	}
	for _, f := range []func(jsonval.Value, int) (string, error){JSON, CompactJSON} {
		text, err := f(v, 1<<20)
		if err != nil {
			t.Fatalf("json: %v", err)
		}
		if cleaned := Clean(text); cleaned != text {
			t.Fatalf("json is not clean: %q", text)
		}
		back, err := jsonval.Parse([]byte(text))
		if err != nil {
			t.Fatalf("json does not read back: %v\n%s", err, text)
		}
		if got := normal(t, back); !reflect.DeepEqual(got, want) {
			t.Fatalf("json reads back as %#v, want %#v", got, want)
		}
		if !json.Valid([]byte(text)) {
			t.Fatalf("not JSON: %s", text)
		}
	}
}

func BenchmarkYAML(b *testing.B) {
	v, err := jsonval.Parse([]byte(sample))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := YAML(v, 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}
