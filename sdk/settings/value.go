package settings

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

var (
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
)

// leaf decodes values that hold no others, and reports whether v is of such a type.
func (d *decoder) leaf(path string, value any, v reflect.Value, f field) bool {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if s, isText := value.(string); isText {
			d.text(path, s, u, f)
		} else {
			d.wrongType(path, value, v)
		}
		return true
	}
	switch {
	case v.Type() == durationType:
		d.duration(path, value, v, f)
	case v.Type() == sizeType:
		d.size(path, value, v, f)
	case v.Kind() == reflect.String:
		d.word(path, value, v, f)
	case v.Kind() == reflect.Bool:
		if b, ok := value.(bool); ok {
			v.SetBool(b)
		} else {
			d.wrongType(path, value, v)
		}
	case v.CanInt() || v.CanUint():
		d.integer(path, value, v, f)
	case v.CanFloat():
		d.float(path, value, v, f)
	default:
		return false
	}
	return true
}

func (d *decoder) duration(path string, value any, v reflect.Value, f field) {
	text, ok := value.(string)
	if !ok {
		d.wrongType(path, value, v)
		return
	}
	n, err := ParseDuration(text)
	if err != nil {
		d.fault(path, quoted(text, f)+" is no duration", `write a number with a unit, such as "500ms", "5s", "10m" or "3d"`)
		return
	}
	least, most := bound(f.min, ParseDuration), bound(f.max, ParseDuration)
	if least != nil && n < *least || most != nil && n > *most {
		d.fault(path, quoted(text, f)+" is out of range", rangeText(f))
		return
	}
	v.SetInt(int64(n))
}

func (d *decoder) size(path string, value any, v reflect.Value, f field) {
	var text string
	switch t := value.(type) {
	case string:
		text = t
	case json.Number:
		text = t.String()
	default:
		d.wrongType(path, value, v)
		return
	}
	n, err := ParseSize(text)
	if err != nil {
		d.fault(path, quoted(text, f)+" is no size", `write a number of bytes, or one with a unit, such as "64KiB" or "1MiB"`)
		return
	}
	least, most := bound(f.min, ParseSize), bound(f.max, ParseSize)
	if least != nil && n < *least || most != nil && n > *most {
		d.fault(path, quoted(text, f)+" is out of range", rangeText(f))
		return
	}
	v.SetInt(int64(n))
}

// word decodes a string, or a word of an Enum.
func (d *decoder) word(path string, value any, v reflect.Value, f field) {
	text, ok := value.(string)
	if !ok {
		d.wrongType(path, value, v)
		return
	}
	if e, isEnum := v.Interface().(Enum); isEnum {
		d.enum(path, text, e.Values(), v, f)
		return
	}
	if problem, remedy := lengthFault(utf8.RuneCountInString(text), "characters", f); problem != "" {
		d.fault(path, problem, remedy)
		return
	}
	if f.required && text == "" {
		d.fault(path, "is empty", "write a text that is not empty")
		return
	}
	v.SetString(text)
}

func (d *decoder) enum(path, text string, words []string, v reflect.Value, f field) {
	for _, w := range words {
		if w == text {
			v.SetString(text)
			return
		}
	}
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = strconv.Quote(w)
	}
	remedy := "write one of " + strings.Join(list, ", ")
	if near := Nearest(text, words); near != "" {
		remedy = "did you mean " + strconv.Quote(near) + "? allowed are " + strings.Join(list, ", ")
	}
	d.fault(path, quoted(text, f)+" is not one of the allowed words", remedy)
}

func (d *decoder) integer(path string, value any, v reflect.Value, f field) {
	number, ok := value.(json.Number)
	if !ok {
		d.wrongType(path, value, v)
		return
	}
	n, err := strconv.ParseInt(number.String(), 10, 64)
	if err != nil && strings.ContainsAny(number.String(), ".eE") {
		d.wrongType(path, value, v)
		return
	}
	if err != nil || v.CanInt() && v.OverflowInt(n) || v.CanUint() && (n < 0 || v.OverflowUint(uint64(n))) {
		d.fault(path, number.String()+" is out of range", rangeOfType(v, f))
		return
	}
	parse := func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }
	least, most := bound(f.min, parse), bound(f.max, parse)
	if least != nil && n < *least || most != nil && n > *most {
		d.fault(path, number.String()+" is out of range", rangeText(f))
		return
	}
	if v.CanInt() {
		v.SetInt(n)
	} else {
		v.SetUint(uint64(n))
	}
}

func (d *decoder) float(path string, value any, v reflect.Value, f field) {
	number, ok := value.(json.Number)
	if !ok {
		d.wrongType(path, value, v)
		return
	}
	n, err := number.Float64()
	if err != nil || v.OverflowFloat(n) {
		d.fault(path, number.String()+" is out of range", "write a smaller number")
		return
	}
	parse := func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }
	least, most := bound(f.min, parse), bound(f.max, parse)
	if least != nil && n < *least || most != nil && n > *most {
		d.fault(path, number.String()+" is out of range", rangeText(f))
		return
	}
	v.SetFloat(n)
}

// bound reads a limit from a tag; nil when there is none.
func bound[T any](tag string, parse func(string) (T, error)) *T {
	if tag == "" {
		return nil
	}
	n, err := parse(tag)
	if err != nil {
		return nil
	}
	return &n
}

// lengthFault checks the length of a text or list against the tags.
func lengthFault(n int, what string, f field) (problem, remedy string) {
	least, most := bound(f.min, strconv.Atoi), bound(f.max, strconv.Atoi)
	switch {
	case least != nil && n < *least:
		return fmt.Sprintf("has %d %s", n, what), fmt.Sprintf("at least %d are needed", *least)
	case most != nil && n > *most:
		return fmt.Sprintf("has %d %s", n, what), fmt.Sprintf("at most %d are allowed", *most)
	default:
		return "", ""
	}
}

func rangeText(f field) string {
	switch {
	case f.min != "" && f.max != "":
		return "write a value from " + f.min + " to " + f.max
	case f.min != "":
		return "write at least " + f.min
	default:
		return "write at most " + f.max
	}
}

func rangeOfType(v reflect.Value, f field) string {
	switch {
	case f.min != "" || f.max != "":
		return rangeText(f)
	case v.CanUint():
		return "write a whole number that is not negative and smaller"
	default:
		return "write a smaller whole number"
	}
}

// quoted repeats what the operator wrote, unless it is a secret.
func quoted(text string, f field) string {
	if f.secret {
		return "the value"
	}
	if r := []rune(text); len(r) > 60 {
		text = string(r[:60]) + "…"
	}
	return strconv.Quote(text)
}

// wrongType says what is there and what must be, in the operator's words.
func (d *decoder) wrongType(path string, value any, v reflect.Value) {
	d.fault(path, "is "+nameOf(value)+", must be "+wanted(v.Type()), "write "+example(v.Type()))
}

// nameOf names the kind of a JSON value as the operator knows it from TOML.
func nameOf(value any) string {
	switch t := value.(type) {
	case string:
		return "a text"
	case bool:
		return "true or false"
	case json.Number:
		if strings.ContainsAny(t.String(), ".eE") {
			return "a number with a fraction"
		}
		return "a number"
	case []any:
		return "a list"
	default:
		return "a table"
	}
}

// wanted names a type as the operator knows it.
func wanted(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration in quotes"
	case t == sizeType:
		return "a size"
	case t.Kind() == reflect.Pointer:
		return wanted(t.Elem())
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) || t.Kind() == reflect.String:
		return "a text in quotes"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64:
		return "a number"
	case t.Kind() == reflect.Slice:
		return "a list"
	case t.Kind() == reflect.Struct || t.Kind() == reflect.Map:
		return "a table"
	default:
		return "a whole number"
	}
}

// example shows a value of a type as it is written in TOML.
func example(t reflect.Type) string {
	switch wanted(t) {
	case "a duration in quotes":
		return `"5s"`
	case "a size":
		return `"1MiB"`
	case "a text in quotes":
		if e, ok := reflect.Zero(t).Interface().(Enum); ok && len(e.Values()) > 0 {
			return strconv.Quote(e.Values()[0])
		}
		return `"…"`
	case "true or false":
		return "true"
	case "a number":
		return "1.5"
	case "a list":
		return "[" + example(t.Elem()) + "]"
	case "a table":
		return "{ … }"
	default:
		return "1"
	}
}
