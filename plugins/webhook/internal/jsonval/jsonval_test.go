package jsonval

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseKeepsOrderAndLiterals(t *testing.T) {
	v, err := Parse([]byte(` {"z":1.0,"a":[1e3,-0,12345678901234567890],"é":"\u00fc\n\ud83d\ude00 \ud800x","n":null,"t":true} `))
	if err != nil {
		t.Fatal(err)
	}
	want := Value{Kind: Object, Names: []string{"z", "a", "é", "n", "t"}, Items: []Value{
		{Kind: Number, Text: "1.0"},
		{Kind: List, Items: []Value{{Kind: Number, Text: "1e3"}, {Kind: Number, Text: "-0"}, {Kind: Number, Text: "12345678901234567890"}}},
		{Kind: String, Text: "ü\n😀 \ufffdx"}, {}, {Kind: Bool, Text: "true"},
	}}
	if !reflect.DeepEqual(v, want) {
		t.Errorf("got  %+v\nwant %+v", v, want)
	}
}

// TestWH04Documents holds documents that must be refused, and where.
func TestWH04Documents(t *testing.T) {
	deep := strings.Repeat("[", 65) + strings.Repeat("]", 65)
	many := "{" + strings.TrimSuffix(strings.Repeat(`"a":1,`, 40), ",") + "}"
	for in, want := range map[string]string{
		"":                       "line 1, column 1: the document is empty",
		" \n ":                   "line 2, column 2: the document is empty",
		"{\"a\":1,\n \"a\":2}":   "line 2, column 2: the name of this member occurs twice",
		`{"a":1,"\u0061":2}`:     "line 1, column 8: the name of this member occurs twice",
		many:                     "line 1, column 8: the name of this member occurs twice",
		deep:                     "line 1, column 65: nested deeper than 64 levels",
		"[1,]":                   "line 1, column 4: a value cannot begin with ']'",
		"[1 2]":                  "line 1, column 4: a list goes on with , or ends with ]",
		`{"ä":x}`:                "line 1, column 6: a value cannot begin with 'x'",
		"{'a':1}":                "line 1, column 2: the name of a member is a string in double quotes",
		"\"a\xffb\"":             "line 1, column 3: invalid UTF-8",
		"\"a\nb\"":               "line 1, column 3: a control character in a string is written as an escape",
		`"a`:                     "line 1, column 1: a string has no end",
		`"\x"`:                   "line 1, column 2: unknown escape in a string",
		"01":                     "line 1, column 2: something follows the end of the document",
		"1.":                     "line 1, column 3: a digit is missing behind the point of a number",
		"-":                      "line 1, column 2: a digit is missing in a number",
		"1e+":                    "line 1, column 4: a digit is missing in the exponent of a number",
		"{} {}":                  "line 1, column 4: something follows the end of the document",
		"nul":                    "line 1, column 1: a value cannot begin with 'n'",
		`{"a"`:                   "line 1, column 5: a colon follows the name of a member",
		`{"a":1`:                 "line 1, column 7: an object goes on with , or ends with }",
		"[":                      "line 1, column 2: the document ends where a value should be",
		strings.Repeat("[", 200): "line 1, column 65: nested deeper than 64 levels",
	} {
		_, err := Parse([]byte(in))
		if err == nil || err.Error() != want {
			t.Errorf("Parse(%.40q) = %v, want %s", in, err, want)
		}
	}
	_, err := Parse([]byte("[" + strings.Repeat("0,", MaxValues) + "0]"))
	var se *SyntaxError
	if !errors.As(err, &se) || !se.Limit {
		t.Errorf("too many values: %v, want a SyntaxError of a limit", err)
	}
}

func TestPointer(t *testing.T) {
	v, err := Parse([]byte(`{"a":[{"b/c":{"~":"x"}},2],"":3}`))
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]string{"/a/0/b~1c/~0": "x", "/a/1": "2", "/": "3", "/a/01": "", "/a/2": "", "/a/-": "", "/a/1/x": "", "/q": ""} {
		ptr, err := ParsePointer(p)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := ptr.Lookup(v)
		if got.Text != want || ok != (want != "") {
			t.Errorf("Lookup(%q) = %q, %v; want %q", p, got.Text, ok, want)
		}
	}
	for _, p := range []string{"a", "/~", "/~2"} {
		if _, err := ParsePointer(p); err == nil {
			t.Errorf("ParsePointer(%q): no error", p)
		}
	}
}

func TestAddMakesListsOfRepeatedNames(t *testing.T) {
	var v Value
	for _, s := range []string{"1", "2", "3"} {
		v.Add("a", Str(s))
	}
	v.Add("b", Str("x"))
	want := Value{Kind: Object, Names: []string{"a", "b"}, Items: []Value{{Kind: List, Items: []Value{Str("1"), Str("2"), Str("3")}}, Str("x")}}
	if !reflect.DeepEqual(v, want) {
		t.Errorf("got %+v, want %+v", v, want)
	}
}

// plainData is v as encoding/json with UseNumber would give it.
func plainData(v Value) any {
	switch v.Kind {
	case Bool:
		return v.Text == "true"
	case Number:
		return json.Number(v.Text)
	case String:
		return v.Text
	case List:
		out := []any{}
		for _, i := range v.Items {
			out = append(out, plainData(i))
		}
		return out
	case Object:
		out := map[string]any{}
		for i, n := range v.Names {
			out[n] = plainData(v.Items[i])
		}
		return out
	}
	return nil
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e-3,"x\n\u00e9\ud83d\ude00",null,true,{}]}`, `"\ud800"`, "[[[[]]]]", "\ufeff1", `{"a":1,"a":2}`, "-0.0E+1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Parse(data)
		if err != nil {
			return
		}
		if !utf8.Valid(data) {
			t.Fatalf("invalid UTF-8 accepted: %q", data)
		}
		dec := json.NewDecoder(strings.NewReader(strings.TrimPrefix(string(data), "\ufeff")))
		dec.UseNumber()
		var want any
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("accepted %q, which encoding/json refuses: %v", data, err)
		}
		if got := plainData(v); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %#v, want %#v", data, got, want)
		}
		v.Data()
	})
}
