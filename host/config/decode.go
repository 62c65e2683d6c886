package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"bridgehost/sdk/settings"
)

var (
	durationType = reflect.TypeFor[Duration]()
	sizeType     = reflect.TypeFor[Size]()
	secretType   = reflect.TypeFor[Secret]()
	anyMapType   = reflect.TypeFor[map[string]any]()
)

// decoder fills structs from one source and notes every fault.
type decoder struct {
	src *source
}

func (d *decoder) fault(path, problem, remedy string) {
	d.src.fault(d.src.at(path), path, problem, remedy)
}

// into stores v at target.
func (d *decoder) into(path string, v any, target reflect.Value) {
	if _, broken := v.(brokenValue); broken {
		d.src.bad[path] = true
		if target.Kind() == reflect.Pointer {
			target.Set(reflect.New(target.Type().Elem())) // the rest of the file may name it
		}
		return
	}
	switch target.Type() {
	case durationType:
		d.duration(path, v, target)
		return
	case sizeType:
		d.size(path, v, target)
		return
	case secretType:
		s, err := resolveSecret(v, d.src.file)
		if err != nil {
			d.fault(path, err.problem, err.remedy)
			return
		}
		target.SetString(s)
		return
	case anyMapType:
		if m, ok := v.(map[string]any); ok {
			target.Set(reflect.ValueOf(m))
			return
		}
		d.wrong(path, v, "a table")
		return
	}
	switch target.Kind() {
	case reflect.Pointer:
		if target.IsNil() {
			target.Set(reflect.New(target.Type().Elem()))
			setDefaults(target.Elem())
		}
		d.into(path, v, target.Elem())
	case reflect.Struct:
		d.table(path, v, target)
	case reflect.Map:
		d.mapping(path, v, target)
	case reflect.Slice:
		d.list(path, v, target)
	default:
		d.scalar(path, v, target)
	}
}

func (d *decoder) scalar(path string, v any, target reflect.Value) {
	switch target.Kind() {
	case reflect.String:
		if s, ok := v.(string); ok {
			target.SetString(s)
			return
		}
		d.wrong(path, v, `a string, in quotes`)
	case reflect.Bool:
		if b, ok := v.(bool); ok {
			target.SetBool(b)
			return
		}
		d.wrong(path, v, "true or false, without quotes")
	case reflect.Int:
		if n, ok := v.(int64); ok {
			target.SetInt(n)
			return
		}
		d.wrong(path, v, "a whole number, without quotes")
	}
}

// wrong reports a value of the wrong type in the words of TOML.
func (d *decoder) wrong(path string, v any, want string) {
	d.fault(path, fmt.Sprintf("%s is %s", path, kindName(v)), "write "+want)
}

func kindName(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64:
		return "a whole number"
	case float64:
		return "a number with a fraction"
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	default:
		return "a date or time"
	}
}

func (d *decoder) duration(path string, v any, target reflect.Value) {
	s, ok := v.(string)
	if !ok {
		d.wrong(path, v, `a duration such as "5s" or "10m"`)
		return
	}
	n, err := settings.ParseDuration(s)
	if err != nil || n < 0 {
		d.fault(path, fmt.Sprintf("%q is no duration", s), `write a number with a unit, such as "100ms", "5s" or "10m"`)
		return
	}
	target.SetInt(int64(n))
}

func (d *decoder) size(path string, v any, target reflect.Value) {
	switch v := v.(type) {
	case int64:
		if v < 0 {
			d.fault(path, fmt.Sprintf("%d is no size", v), `write a number of bytes, or one with a unit, such as "64MiB"`)
			return
		}
		target.SetInt(v)
	case string:
		n, ok := ParseSize(v)
		if !ok {
			d.fault(path, fmt.Sprintf("%q is no size", v), `write a number with a unit, such as "64MiB" or "512KiB"`)
			return
		}
		target.SetInt(n)
	default:
		d.wrong(path, v, `a size such as "64MiB"`)
	}
}

// ParseSize reads a size such as 64MiB; a number alone is bytes.
func ParseSize(s string) (int64, bool) {
	n, err := settings.ParseSize(s)
	return int64(n), err == nil
}

// table fills a struct and reports keys that it does not have.
func (d *decoder) table(path string, v any, target reflect.Value) {
	m, ok := v.(map[string]any)
	if !ok {
		d.wrong(path, v, "a table")
		return
	}
	fields := fieldsOf(target.Type())
	names := make([]string, 0, len(fields))
	for _, f := range fields {
		names = append(names, f.name)
	}
	for key := range m {
		if !slices.Contains(names, key) {
			d.unknown(path, key, names)
		}
	}
	for _, f := range fields {
		value, ok := m[f.name]
		if !ok {
			continue
		}
		p := join(path, f.name)
		field := target.Field(f.index)
		d.into(p, value, field)
		if f.enum != nil && field.String() != "" && !slices.Contains(f.enum, field.String()) {
			d.fault(p, fmt.Sprintf("%q is not known here", field.String()), suggest(field.String(), f.enum))
		}
	}
}

// unknown reports a key that does not exist.
func (d *decoder) unknown(path, key string, names []string) {
	p := join(path, key)
	where := "at the top of the file"
	if path != "" {
		where = "in [" + path + "]"
	}
	remedy := suggest(key, names)
	if list, _, ok := strings.Cut(path, "["); ok && d.src.kinds[p] == headed && Nearest(key, names) == "" {
		remedy = "write [[" + list + "]] to begin one more, or remove it"
	}
	d.src.fault(d.src.atKey(p), p, fmt.Sprintf("there is no key %q %s", key, where), remedy)
}

// maxListed bounds the words of a remedy.
const maxListed = 20

// suggest gives the nearest word, or all of them.
func suggest(word string, list []string) string {
	if near := Nearest(word, list); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	sorted := slices.Sorted(slices.Values(list))
	if more := len(sorted) - maxListed; more > 0 {
		sorted = append(sorted[:maxListed], "and "+strconv.Itoa(more)+" more")
	}
	return "known are: " + strings.Join(sorted, ", ")
}

func (d *decoder) mapping(path string, v any, target reflect.Value) {
	m, ok := v.(map[string]any)
	if !ok {
		d.wrong(path, v, "a table")
		return
	}
	if target.IsNil() {
		target.Set(reflect.MakeMap(target.Type()))
	}
	for key, value := range m {
		elem := reflect.New(target.Type().Elem()).Elem()
		d.into(join(path, key), value, elem)
		target.SetMapIndex(reflect.ValueOf(key), elem)
	}
}

func (d *decoder) list(path string, v any, target reflect.Value) {
	list, ok := v.([]any)
	if !ok {
		if s, isString := v.(string); isString && target.Type().Elem().Kind() == reflect.String {
			d.fault(path, path+" is a string", fmt.Sprintf("write a list: [%q]", s))
			return
		}
		if _, isTable := v.(map[string]any); isTable && target.Type().Elem().Kind() == reflect.Pointer {
			d.fault(path, path+" is one table, and there can be several", "write [["+path+"]]")
			return
		}
		d.wrong(path, v, "a list, in brackets")
		return
	}
	for i, value := range list {
		elem := reflect.New(target.Type().Elem()).Elem()
		d.into(path+"["+strconv.Itoa(i)+"]", value, elem)
		target.Set(reflect.Append(target, elem))
	}
}

// field is one key of a struct.
type field struct {
	index int
	name  string
	def   string
	doc   string
	enum  []string
}

// fieldsOf lists the keys of a struct.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("toml")
		if name == "" || name == "-" {
			continue
		}
		var enum []string
		if e := f.Tag.Get("enum"); e != "" {
			enum = strings.Split(e, ",")
		}
		out = append(out, field{index: i, name: name, def: f.Tag.Get("default"), doc: f.Tag.Get("doc"), enum: enum})
	}
	return out
}

// setDefaults fills a struct with the defaults of its tags.
func setDefaults(v reflect.Value) {
	for _, f := range fieldsOf(v.Type()) {
		target := v.Field(f.index)
		switch {
		case target.Kind() == reflect.Struct:
			setDefaults(target)
		case f.def == "":
		case target.Type() == durationType:
			if n, err := time.ParseDuration(f.def); err == nil {
				target.SetInt(int64(n))
			}
		case target.Type() == sizeType:
			if n, ok := ParseSize(f.def); ok {
				target.SetInt(n)
			}
		case target.Kind() == reflect.String:
			target.SetString(f.def)
		case target.Kind() == reflect.Int:
			if n, err := strconv.ParseInt(f.def, 10, 64); err == nil {
				target.SetInt(n)
			}
		}
	}
}
