package config

import (
	"log/slog"
	"sort"
	"strconv"
	"strings"
)

// placeKey begins the key of a fault that a plugin finds in a place: "place ops@muc.example.org".
const placeKey = "place "

// Locate gives the position of a key of a link's config table, or of the nearest
// table around it. Keys are paths such as hook.grafana.token, list[2] or
// rooms."ops@muc.example.org".nick; names with dots need no quotes where they
// are unmistakable. An empty key means the link, and "place ID" the route that
// names the place.
func (c *Config) Locate(link, key string) Position {
	src, path := c.find(link, key)
	if key == "" {
		return src.atKey(path)
	}
	return src.at(path)
}

// find gives the source and the path in it of a key of a link's config table.
func (c *Config) find(link, key string) (*source, string) {
	if place, ok := strings.CutPrefix(key, placeKey); ok {
		if src, path, found := c.findPlace(link + ":" + place); found {
			return src, path
		}
		key = ""
	}
	b, ok := c.bases["link."+link]
	switch {
	case !ok:
		return c.sources[0], ""
	case key == "":
		return b.src, b.path
	default:
		return b.src, b.src.resolve(b.path+".config", key)
	}
}

// findPlace looks for the first route that names a place.
func (c *Config) findPlace(ref string) (*source, string, bool) {
	for i, r := range c.Routes {
		b := c.bases["route."+strconv.Itoa(i)]
		if r.From == ref {
			return b.src, b.path + ".from", true
		}
		for j, to := range r.To {
			if to == ref {
				return b.src, b.path + ".to[" + strconv.Itoa(j) + "]", true
			}
		}
	}
	return nil, "", false
}

// resolve follows a key below a path as far as it is written in the file, and
// gives the path of the last part that is there.
func (s *source) resolve(path, key string) string {
	for key != "" {
		next, rest, ok := s.step(path, strings.TrimPrefix(key, "."))
		if !ok {
			break
		}
		path, key = next, rest
	}
	return path
}

// step takes one name or index from key. The longest name that is written in the
// file wins, so that names with dots are found without quotes.
func (s *source) step(path, key string) (next, rest string, ok bool) {
	if strings.HasPrefix(key, "[") {
		index, rest, closed := strings.Cut(key, "]")
		_, there := s.vals[path+index+"]"]
		_, table := s.keys[path+index+"]"]
		return path + index + "]", rest, closed && (there || table)
	}
	if quoted, err := strconv.QuotedPrefix(key); err == nil {
		name, _ := strconv.Unquote(quoted) // QuotedPrefix has checked it
		next = join(path, name)
		return next, key[len(quoted):], s.has(next)
	}
	ends := []int{len(key)}
	for i := len(key) - 1; i > 0; i-- {
		if key[i] == '.' || key[i] == '[' {
			ends = append(ends, i)
		}
	}
	for _, end := range ends {
		if next = join(path, key[:end]); s.has(next) {
			return next, key[end:], true
		}
	}
	return path, "", false
}

// FaultAt makes an error at a key of a link itself, such as plugin.
func (c *Config) FaultAt(link, key, problem, remedy string) Error {
	src, path := c.find(link, "")
	if key != "" && path != "" {
		path = join(path, key)
	}
	return c.faultIn(src, src.at(path), join("link", link)+suffix(key), c.hidden(link, problem), c.hidden(link, remedy))
}

// Fault makes an error at a key of a link's config table, as plugins report them
// (sdk.Fault). Values of the link's secrets are taken out of the texts.
func (c *Config) Fault(link, key, problem, remedy string) Error {
	src, _ := c.find(link, key)
	full := join("link", link)
	switch {
	case strings.HasPrefix(key, placeKey):
		full = key
	case key != "":
		full += ".config." + key
	}
	if key != "" {
		problem = key + ": " + problem // as sdk.ConfigError reads
	}
	return c.faultIn(src, c.Locate(link, key), full, c.hidden(link, problem), c.hidden(link, remedy))
}

func (c *Config) faultIn(src *source, pos Position, key, problem, remedy string) Error {
	e := &Errors{}
	e.add(pos, src.text, key, problem, remedy)
	return e.List[0]
}

func suffix(key string) string {
	if key == "" {
		return ""
	}
	return "." + key
}

// minHidden is the length from which a value is searched for in texts; shorter
// ones would hit ordinary words.
const minHidden = 4

// hide notes a value that no text may repeat.
func (l *Link) hide(value string) {
	if len(value) >= minHidden {
		l.hidden = append(l.hidden, value)
	}
}

// hidden takes the secrets of a link out of a text.
func (c *Config) hidden(link, text string) string {
	l := c.Links[link]
	if l == nil {
		return text
	}
	values := append([]string(nil), l.hidden...)
	for _, s := range l.Secrets {
		if len(s) >= minHidden {
			values = append(values, string(s))
		}
	}
	sort.Slice(values, func(i, j int) bool { return len(values[i]) > len(values[j]) })
	for _, v := range values {
		text = strings.ReplaceAll(text, v, "***")
	}
	return text
}

// String names the link and its plugin; it never shows the config table.
func (l Link) String() string { return "link " + l.Name + " (" + l.Plugin + ")" }

// GoString is as String, for %#v.
func (l Link) GoString() string { return l.String() }

// LogValue is as String.
func (l Link) LogValue() slog.Value { return slog.StringValue(l.String()) }

// String says how much is configured; it never shows a value that may be secret.
func (c Config) String() string {
	return "configuration " + c.Path + ": " + strconv.Itoa(len(c.Links)) + " links, " + strconv.Itoa(len(c.Routes)) + " routes"
}

// GoString is as String, for %#v.
func (c Config) GoString() string { return c.String() }

// LogValue is as String.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }
