package settings

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sort"
	"strconv"
	"strings"

	"bridgehost/sdk"
)

// maxDepth bounds the nesting of tables and lists.
const maxDepth = 64

// Enum is implemented by string types that allow only a few words.
type Enum interface {
	// Values lists the words, the most usual one first.
	Values() []string
}

// Validator is implemented by structs with rules that tags cannot say. Validate
// is called on a table that decoded without faults; the keys of its faults are
// relative to that table.
type Validator interface {
	Validate() []sdk.Fault
}

// Decode reads raw into the struct that into points to. What raw does not name
// stays as it is, so defaults are set before. All faults come back at once as
// *sdk.ConfigError, sorted by key; into may be partly filled then. Any other
// error means that raw is no JSON object or that into is of an unsuitable type,
// which is a defect of the program.
func Decode(raw json.RawMessage, into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("decode settings: %T is no pointer to a struct", into)
	}
	table := map[string]any{}
	if len(bytes.TrimSpace(raw)) > 0 {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if err := d.Decode(&table); err != nil {
			return fmt.Errorf("decode settings: %w", err)
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return errors.New("decode settings: more than one JSON value")
		}
	}
	d := &decoder{}
	d.table("", table, v.Elem())
	if d.defect != nil {
		return d.defect
	}
	if len(d.faults) == 0 {
		return nil
	}
	sort.SliceStable(d.faults, func(i, j int) bool { return d.faults[i].Key < d.faults[j].Key })
	return &sdk.ConfigError{Faults: d.faults}
}

// decoder collects faults while it walks JSON and struct side by side.
type decoder struct {
	faults []sdk.Fault
	defect error // a type that cannot be decoded into
	depth  int
}

func (d *decoder) fault(key, problem, remedy string) {
	d.faults = append(d.faults, sdk.Fault{Key: key, Problem: problem, Remedy: remedy})
}

// field is one key of a struct.
type field struct {
	name          string
	value         reflect.Value
	required      bool
	secret, file  bool
	min, max, doc string
}

// fieldsOf lists the keys of a struct in order, with those of embedded structs.
func fieldsOf(v reflect.Value) []field {
	var out []field
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("cfg"), ",")
		switch {
		case name == "" && f.Anonymous && v.Field(i).Kind() == reflect.Struct:
			out = append(out, fieldsOf(v.Field(i))...)
		case name == "" || name == "-" || !f.IsExported():
		default:
			fd := field{name: name, value: v.Field(i), min: f.Tag.Get("min"), max: f.Tag.Get("max"), doc: f.Tag.Get("doc")}
			for o := range strings.SplitSeq(options, ",") {
				fd.required = fd.required || o == "required"
				fd.secret = fd.secret || o == "secret"
				fd.file = fd.file || o == "file"
			}
			out = append(out, fd)
		}
	}
	return out
}

// table decodes one object into a struct.
func (d *decoder) table(path string, table map[string]any, v reflect.Value) {
	before := len(d.faults)
	fields := fieldsOf(v)
	names := make([]string, 0, len(fields))
	known := map[string]bool{}
	for _, f := range fields {
		names = append(names, f.name)
		known[f.name] = true
	}
	for _, key := range sortedKeys(table) {
		if !known[key] {
			d.unknown(Join(path, key), key, names, table)
		}
	}
	for _, f := range fields {
		value, there := table[f.name]
		key := Join(path, f.name)
		switch {
		case there && value != nil:
			d.value(key, value, f.value, f)
		case f.required:
			d.fault(key, "is missing", "write "+f.name+" = "+example(f.value.Type()))
		}
	}
	if len(d.faults) == before && d.defect == nil {
		d.validate(path, v)
	}
}

// unknown reports a key that the struct does not have. A near spelling is only
// proposed where that key is not written as well.
func (d *decoder) unknown(path, key string, names []string, table map[string]any) {
	var free []string
	for _, n := range names {
		if _, there := table[n]; !there {
			free = append(free, n)
		}
	}
	switch near := Nearest(key, free); {
	case near != "":
		d.fault(path, "is not a key of this table", "did you mean "+near+"?")
	case len(names) == 0:
		d.fault(path, "is not a key of this table", "remove it; the table has no keys")
	default:
		sort.Strings(names)
		d.fault(path, "is not a key of this table", "remove it; the keys are "+strings.Join(names, ", "))
	}
}

func (d *decoder) validate(path string, v reflect.Value) {
	check, ok := v.Interface().(Validator)
	if v.CanAddr() {
		if p, is := v.Addr().Interface().(Validator); is {
			check, ok = p, true
		}
	}
	if !ok {
		return
	}
	for _, f := range check.Validate() {
		switch {
		case path == "":
		case f.Key == "":
			f.Key = path
		case strings.HasPrefix(f.Key, "["):
			f.Key = path + f.Key
		default:
			f.Key = path + "." + f.Key
		}
		d.faults = append(d.faults, f)
	}
}

// value decodes one value of any kind.
func (d *decoder) value(path string, value any, v reflect.Value, f field) {
	d.depth++
	defer func() { d.depth-- }()
	if d.depth > maxDepth {
		d.fault(path, "is nested too deep", "use fewer tables inside each other")
		return
	}
	if v.Kind() == reflect.Pointer {
		fresh := reflect.New(v.Type().Elem())
		if !v.IsNil() {
			fresh.Elem().Set(v.Elem())
		}
		d.value(path, value, fresh.Elem(), f)
		v.Set(fresh)
		return
	}
	if raw, ok := v.Addr().Interface().(*json.RawMessage); ok {
		d.raw(raw, value)
		return
	}
	if d.leaf(path, value, v, f) {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		if table, ok := value.(map[string]any); ok {
			d.table(path, table, v)
		} else {
			d.wrongType(path, value, v)
		}
	case reflect.Slice:
		d.list(path, value, v, f)
	case reflect.Map:
		d.dict(path, value, v, f)
	default:
		d.defect = fmt.Errorf("decode settings: %s has the unsuitable type %s", path, v.Type())
	}
}

// raw keeps a value as the JSON it was.
func (d *decoder) raw(into *json.RawMessage, value any) {
	text, err := json.Marshal(value)
	if err != nil { // a value that was JSON a moment ago
		d.defect = fmt.Errorf("decode settings: %w", err)
		return
	}
	*into = text
}

func (d *decoder) list(path string, value any, v reflect.Value, f field) {
	list, ok := value.([]any)
	if !ok {
		d.wrongType(path, value, v)
		return
	}
	if problem, remedy := lengthFault(len(list), "entries", f); problem != "" {
		d.fault(path, problem, remedy)
		return
	}
	out := reflect.MakeSlice(v.Type(), len(list), len(list))
	for i, e := range list {
		if e != nil {
			d.value(path+"["+strconv.Itoa(i)+"]", e, out.Index(i), field{secret: f.secret})
		}
	}
	v.Set(out)
}

func (d *decoder) dict(path string, value any, v reflect.Value, f field) {
	table, ok := value.(map[string]any)
	if !ok {
		d.wrongType(path, value, v)
		return
	}
	if v.Type().Key().Kind() != reflect.String {
		d.defect = fmt.Errorf("decode settings: %s has the unsuitable type %s", path, v.Type())
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(table))
	for _, key := range sortedKeys(table) {
		if table[key] == nil {
			continue
		}
		e := reflect.New(v.Type().Elem()).Elem()
		if old := v.MapIndex(reflect.ValueOf(key).Convert(v.Type().Key())); old.IsValid() {
			e.Set(old)
		}
		d.value(Join(path, key), table[key], e, field{secret: f.secret})
		out.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), e)
	}
	v.Set(out)
}

// text decodes a string by the type's own rule.
func (d *decoder) text(path, text string, u encoding.TextUnmarshaler, f field) {
	if err := u.UnmarshalText([]byte(text)); err != nil {
		problem := "is not what is wanted here"
		if !f.secret {
			problem = strconv.Quote(text) + " is not what is wanted here: " + err.Error()
		}
		d.fault(path, problem, f.doc)
	}
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// notBare reports characters that a bare key must not have (TOML 1.0, Keys).
func notBare(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '_', r == '-':
		return false
	}
	return true
}

// Join adds a key to the path of its table. Keys that are not bare words are
// quoted, so that the path can be taken apart again.
func Join(path, key string) string {
	if key == "" || strings.ContainsFunc(key, notBare) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}
