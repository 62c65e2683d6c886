package settings

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// Schema gives the JSON Schema (draft 2020-12) of what [Decode] takes for a
// struct, with the values that are in it as defaults, for sdk.Manifest.Schema.
// It fails when the struct has a field that Decode cannot fill. Types that
// contain themselves are not allowed.
func Schema(of any) (json.RawMessage, error) {
	v := reflect.Indirect(reflect.ValueOf(of))
	if v.Kind() != reflect.Struct {
		return nil, fmt.Errorf("schema of settings: %T is no struct", of)
	}
	s, err := tableSchema(v, 0)
	if err != nil {
		return nil, fmt.Errorf("schema of settings: %w", err)
	}
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("schema of settings: %w", err)
	}
	return text, nil
}

func tableSchema(v reflect.Value, depth int) (map[string]any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%s is nested too deep", v.Type())
	}
	properties := map[string]any{}
	required := []string{}
	for _, f := range fieldsOf(v) {
		p, err := typeSchema(f.value.Type(), depth)
		if err != nil {
			return nil, err
		}
		if f.doc != "" {
			p["description"] = f.doc
		}
		if text, ok := defaultOf(f.value); ok && !f.secret {
			p["default"] = text
		}
		if f.file {
			markFiles(p)
		}
		if f.secret {
			p = map[string]any{"anyOf": []any{p, secretSchema()}, "description": f.doc}
		}
		properties[f.name] = p
		if f.required {
			required = append(required, f.name)
		}
	}
	s := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	return s, nil
}

// FileFormat is the format (JSON Schema, "format") of texts that name files of the
// operator: see the option file in the documentation of the package.
const FileFormat = "file"

// markFiles gives all texts of a schema the format of files.
func markFiles(p map[string]any) {
	if p["type"] == "string" {
		p["format"] = FileFormat
	}
	for _, inner := range []string{"items", "additionalProperties"} {
		if q, ok := p[inner].(map[string]any); ok {
			markFiles(q)
		}
	}
}

// secretSchema is the form in which the operator names a secret.
func secretSchema() map[string]any {
	text := map[string]any{"type": "string"}
	return map[string]any{
		"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": false,
		"properties": map[string]any{"file": text, "env": text, "credential": text},
	}
}

// defaultOf gives a value that is not zero in the form in which it is written.
func defaultOf(v reflect.Value) (any, bool) {
	if v.IsZero() {
		return nil, false
	}
	switch {
	case v.Type() == durationType || v.Type() == sizeType:
		return fmt.Sprint(v.Interface()), true
	case v.Kind() == reflect.String, v.Kind() == reflect.Bool, v.CanInt(), v.CanUint(), v.CanFloat():
		return v.Interface(), true
	default:
		return nil, false
	}
}

func typeSchema(t reflect.Type, depth int) (map[string]any, error) {
	if t.Kind() == reflect.Pointer {
		return typeSchema(t.Elem(), depth)
	}
	if t == reflect.TypeFor[json.RawMessage]() {
		return map[string]any{}, nil
	}
	switch what := wanted(t); what {
	case "a duration in quotes":
		return map[string]any{"type": "string", "pattern": `^[0-9]+([.0-9]*(d|h|m|s|ms|us|ns|µs))*$`}, nil
	case "a size":
		return map[string]any{"type": []string{"string", "integer"}}, nil
	case "a text in quotes":
		s := map[string]any{"type": "string"}
		if e, ok := reflect.Zero(t).Interface().(Enum); ok {
			s["enum"] = e.Values()
		}
		return s, nil
	case "true or false":
		return map[string]any{"type": "boolean"}, nil
	case "a number":
		return map[string]any{"type": "number"}, nil
	}
	switch t.Kind() {
	case reflect.Slice:
		items, err := typeSchema(t.Elem(), depth+1)
		return map[string]any{"type": "array", "items": items}, err
	case reflect.Map:
		values, err := typeSchema(t.Elem(), depth+1)
		return map[string]any{"type": "object", "additionalProperties": values}, err
	case reflect.Struct:
		return tableSchema(reflect.New(t).Elem(), depth+1)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer"}, nil
	default:
		return nil, fmt.Errorf("type %s cannot be decoded", t)
	}
}
