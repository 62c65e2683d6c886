// Package settings decodes the configuration of a plugin into a plain struct.
//
// The host hands over the operator's config table as JSON (sdk.Config.JSON).
// [Decode] reads it strictly: unknown keys, wrong types, values out of range and
// missing keys all come back at once as *[sdk.ConfigError], each with the path
// of its key, so that the host can show them with file, line and column.
//
//	type config struct {
//		Address string        `cfg:"address,required" doc:"host:port of the server"`
//		Secret  string        `cfg:"secret,secret"    doc:"shared secret"`
//		Timeout time.Duration `cfg:"timeout"          doc:"how long to wait" min:"1s" max:"5m"`
//		Size    settings.Size `cfg:"max_size"         doc:"largest file"`
//		Hook    map[string]hook `cfg:"hook"           doc:"hooks by name"`
//	}
//
//	c := config{Timeout: 20 * time.Second} // defaults are what is there before
//	err := settings.Decode(cfg.JSON, &c)
//
// Tags: cfg names the key, with the options required (it must be written),
// secret (its value never appears in a text) and file (it names a file to read);
// a field without the tag is left alone. When a plugin hands [Schema] to the host
// in its manifest, the host makes relative paths of keys with the option file
// absolute, from the folder of the configuration file that they stand in, and
// reports files that are not there, at their position. doc is for [Schema]; min and max bound numbers, durations, sizes, and
// the length of strings and lists. Embedded structs without a tag share the
// table of the struct around them.
//
// Types: string, bool, integers, floats, [time.Duration] ("5s", "3d"), [Size]
// ("1MiB" or a number of bytes), slices, maps with string keys, structs,
// pointers, types that implement encoding.TextUnmarshaler, strings that implement
// [Enum], and json.RawMessage for what the plugin reads by itself.
package settings
