package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"bridgehost/sdk"
	"bridgehost/sdk/settings"
)

// Base gives the folder from which relative paths in a link's tables are meant:
// that of the file in which the link stands.
func (c *Config) Base(link string) string {
	if b, ok := c.bases["link."+link]; ok {
		return filepath.Dir(b.src.file)
	}
	return c.Dir()
}

// ResolveFiles makes the paths of files in a link's config table absolute, from
// the folder base. Which values are paths the plugin's JSON Schema says, by the
// format settings.FileFormat; without a schema the table stays as it is. Files
// that are not there come back as faults.
func ResolveFiles(schema, table json.RawMessage, base string) (json.RawMessage, []sdk.Fault, error) {
	if !bytes.Contains(schema, []byte(`"`+settings.FileFormat+`"`)) || len(table) == 0 {
		return table, nil, nil
	}
	var form any
	if err := json.Unmarshal(schema, &form); err != nil {
		return table, nil, fmt.Errorf("schema of the plugin: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(table))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return table, nil, fmt.Errorf("config table: %w", err)
	}
	r := fileResolver{base: base}
	out, err := json.Marshal(r.walk("", form, value, 0))
	if err != nil {
		return table, nil, fmt.Errorf("config table: %w", err)
	}
	return out, r.faults, nil
}

// fileResolver walks a table and its schema side by side.
type fileResolver struct {
	base   string
	faults []sdk.Fault
}

// walk gives the value with its paths resolved. A schema that says something else
// than the value is the plugin's to complain about.
func (r *fileResolver) walk(path string, schema, value any, depth int) any {
	form, ok := schema.(map[string]any)
	if !ok || depth > maxNesting {
		return value
	}
	switch v := value.(type) {
	case string:
		if form["format"] == settings.FileFormat && v != "" {
			return r.file(path, v)
		}
	case []any:
		for i := range v {
			v[i] = r.walk(path+"["+strconv.Itoa(i)+"]", form["items"], v[i], depth+1)
		}
	case map[string]any:
		properties, _ := form["properties"].(map[string]any)
		for _, key := range sortedKeys(v) {
			inner, known := properties[key]
			if !known {
				inner = form["additionalProperties"]
			}
			v[key] = r.walk(settings.Join(path, key), inner, v[key], depth+1)
		}
	}
	return value
}

// file makes one path absolute and looks whether there is a file.
func (r *fileResolver) file(key, path string) string {
	if !filepath.IsAbs(path) {
		path = filepath.Join(r.base, path)
	}
	fault := func(problem, remedy string) {
		r.faults = append(r.faults, sdk.Fault{Key: key, Problem: problem, Remedy: remedy})
	}
	switch info, err := os.Stat(path); {
	case os.IsNotExist(err):
		fault("there is no file "+path, nearestFile(path))
	case err != nil:
		fault(fmt.Sprintf("the file cannot be read: %v", err), "let the program's user read it")
	case info.IsDir():
		fault(path+" is a folder", "name a file")
	}
	return path
}

// WithFaults joins faults of files with what a plugin says of its table: one
// fault for each key, that of the file first.
func WithFaults(files []sdk.Fault, err *sdk.ConfigError) *sdk.ConfigError {
	out := &sdk.ConfigError{Faults: slices.Clone(files)}
	if err == nil {
		return out
	}
	for _, f := range err.Faults {
		if !slices.ContainsFunc(files, func(have sdk.Fault) bool { return have.Key == f.Key }) {
			out.Faults = append(out.Faults, f)
		}
	}
	return out
}
