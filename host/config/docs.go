package config

import (
	_ "embed"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
)

//go:embed example.toml
var example []byte

// Example gives a commented configuration to begin with.
func Example() []byte { return example }

// KeyDoc describes one key.
type KeyDoc struct {
	Key, Type, Default, Doc string
}

// Keys lists every key, in the order of the file.
func Keys() []KeyDoc {
	var out []KeyDoc
	collect("", reflect.TypeFor[Config](), &out)
	return out
}

func collect(path string, t reflect.Type, out *[]KeyDoc) {
	for _, f := range fieldsOf(t) {
		ft := t.Field(f.index).Type
		p := f.name
		if path != "" {
			p = path + "." + f.name
		}
		name, inner := typeName(ft)
		switch name {
		case "table for each name":
			p += ".NAME"
		case "list of tables":
			p += "[]"
		}
		if f.enum != nil {
			name = "one of " + strings.Join(f.enum, ", ")
		}
		*out = append(*out, KeyDoc{Key: p, Type: name, Default: f.def, Doc: f.doc})
		if inner != nil {
			collect(p, inner, out)
		}
	}
}

// typeName names a type in the words of TOML, with the struct inside a table.
func typeName(t reflect.Type) (string, reflect.Type) {
	switch t {
	case durationType:
		return "duration", nil
	case sizeType:
		return "size", nil
	case secretType:
		return "secret", nil
	case anyMapType:
		return "table of the plugin", nil
	}
	switch t.Kind() {
	case reflect.Bool:
		return "boolean", nil
	case reflect.Int:
		return "number", nil
	case reflect.Struct:
		return "table", t
	case reflect.Map:
		if t.Elem() == secretType {
			return "table of secrets", nil
		}
		return "table for each name", t.Elem().Elem()
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Pointer {
			return "list of tables", t.Elem().Elem()
		}
		return "list of strings", nil
	default:
		return "string", nil
	}
}

// Schema gives the JSON Schema of the file.
func Schema() []byte {
	s := schemaOf(reflect.TypeFor[Config]())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "bridgehost configuration"
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil { // cannot happen: the map holds strings, lists and maps only
		return []byte("{}")
	}
	return append(out, '\n')
}

// defaultOf gives a default as the value that it is in the file.
func defaultOf(f field) any {
	if b, err := strconv.ParseBool(f.def); err == nil {
		return b
	}
	if n, err := strconv.Atoi(f.def); err == nil {
		return n
	}
	return f.def
}

func schemaOf(t reflect.Type) map[string]any {
	switch t {
	case durationType:
		return map[string]any{"type": "string", "pattern": `^[0-9.]+(ns|us|µs|ms|s|m|h)([0-9.]+(ns|us|µs|ms|s|m|h))*$`}
	case sizeType:
		return map[string]any{"type": []string{"string", "integer"}}
	case secretType:
		one := map[string]any{}
		for _, f := range secretForms {
			one[f] = map[string]any{"type": "string"}
		}
		return map[string]any{"oneOf": []any{map[string]any{"type": "string"},
			map[string]any{"type": "object", "properties": one, "additionalProperties": false, "minProperties": 1, "maxProperties": 1}}}
	case anyMapType:
		return map[string]any{"type": "object"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int:
		return map[string]any{"type": "integer"}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Struct:
		properties := map[string]any{}
		for _, f := range fieldsOf(t) {
			s := schemaOf(t.Field(f.index).Type)
			s["description"] = f.doc
			if f.enum != nil {
				s["enum"] = f.enum
			}
			if f.def != "" {
				s["default"] = defaultOf(f)
			}
			properties[f.name] = s
		}
		return map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	default:
		return map[string]any{"type": "string"}
	}
}
