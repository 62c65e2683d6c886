// Package jsonval holds JSON values in the order and with the number literals
// in which they were written, and reads them strictly: encoding/json forgets
// the order of members, changes long numbers, and lets the last of two equal
// keys win, so that a filter and a reader could see different texts.
package jsonval

import (
	"strconv"
	"strings"
)

// Kind is the kind of a Value.
type Kind uint8

// Kinds of value. The zero Value is null.
const (
	Null Kind = iota
	Bool
	Number
	String
	List
	Object
)

// Value is one JSON value. It is not changed after it was made.
type Value struct {
	Kind Kind
	// Text is the content of a string, the literal of a number, or true or false.
	Text string
	// Items are the elements of a list or the members' values of an object.
	Items []Value
	// Names are the members' names of an object, as long as Items.
	Names []string
}

// Str makes a string.
func Str(s string) Value { return Value{Kind: String, Text: s} }

// Get gives the member of an object; false when it is missing or v is no object.
func (v Value) Get(name string) (Value, bool) {
	if v.Kind != Object {
		return Value{}, false
	}
	for i, n := range v.Names {
		if n == name {
			return v.Items[i], true
		}
	}
	return Value{}, false
}

// Add appends a value under a name. A repeated name becomes a list, as the
// repeated field of a form.
func (v *Value) Add(name string, item Value) {
	v.Kind = Object
	for i, n := range v.Names {
		if n != name {
			continue
		}
		if have := &v.Items[i]; have.Kind == List {
			have.Items = append(have.Items, item)
		} else {
			*have = Value{Kind: List, Items: []Value{*have, item}}
		}
		return
	}
	v.Names = append(v.Names, name)
	v.Items = append(v.Items, item)
}

// Scalar gives a value as text without quotes; false for lists and objects.
// Null is empty text.
func (v Value) Scalar() (string, bool) {
	switch v.Kind {
	case List, Object:
		return "", false
	default:
		return v.Text, true
	}
}

// Data gives v as the types that text/template works with: map[string]any,
// []any, string, bool, int64, float64, a string for whole numbers beyond int64,
// and nil.
// Members that are null are left out, so that a path through them is empty
// instead of an error.
func (v Value) Data() any {
	switch v.Kind {
	case Bool:
		return v.Text == "true"
	case Number:
		if n, err := strconv.ParseInt(v.Text, 10, 64); err == nil {
			return n
		}
		if f, err := strconv.ParseFloat(v.Text, 64); err == nil && strings.ContainsAny(v.Text, ".eE") {
			return f
		}
		return v.Text // more digits than a float64 keeps
	case String:
		return v.Text
	case List:
		out := make([]any, len(v.Items))
		for i, item := range v.Items {
			out[i] = item.Data()
		}
		return out
	case Object:
		out := make(map[string]any, len(v.Items))
		for i, item := range v.Items {
			if item.Kind != Null {
				out[v.Names[i]] = item.Data()
			}
		}
		return out
	default:
		return nil
	}
}
