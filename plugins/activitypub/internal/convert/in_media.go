package convert

import (
	"encoding/json"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/sdk"
)

// addMedia adds a medium once.
func (in *reader) addMedia(m sdk.Media) bool {
	it := &in.p.Item
	if object.Origin(m.URL) == "" || slices.ContainsFunc(it.Media, func(h sdk.Media) bool { return h.URL == m.URL }) {
		return false
	}
	if len(it.Media) == MaxMedia {
		in.loss.add(sdk.LossMedia, "more files than are kept")
		return false
	}
	it.Media = append(it.Media, m)
	return true
}

// media reads attachments, and of Image, Video and Audio the object itself. A linked page (Lemmy) is written below the text.
func (in *reader) media() {
	if in.o.Is("Image", "Video", "Audio", "Document") {
		if m, ok := in.file(in.o, in.p.Type); ok {
			m.Alt = ""
			in.addMedia(m)
		}
	}
	for _, a := range in.o.Attachments() {
		if a.Is("PropertyValue") {
			continue
		}
		m, ok := in.file(a, a.Type())
		switch {
		case !ok:
		case a.Is("Link") && (m.Type == "" || strings.HasPrefix(m.Type, "text/")):
			in.linked(m)
		default:
			if in.addMedia(m) {
				in.focal(a)
			}
		}
	}
	if icon := in.o.Part("image"); icon != nil && in.o.Is("Page", "Article", "Event") {
		if m, ok := in.file(icon, "Image"); ok {
			in.addMedia(m)
		}
	}
}

// file reads one attachment; kind is the type that tells when no media type does.
func (in *reader) file(a *object.Object, kind string) (sdk.Media, bool) {
	links := a.Links("url")
	if href := a.Text("href"); href != "" {
		links = append(links, object.Link{Href: href, MediaType: a.Text("mediaType")})
	}
	l, ok := best(links, kind)
	if !ok {
		return sdk.Media{}, false
	}
	m := sdk.Media{URL: l.Href, Type: l.MediaType, Width: max(0, l.Width), Height: max(0, l.Height), Size: int64(max(0, l.Size))}
	if m.Type == "" {
		m.Type = a.Text("mediaType")
	}
	m.Type = short(m.Type, 128)
	if m.Type == "" {
		m.Type = map[string]string{"Image": "image/*", "Video": "video/*", "Audio": "audio/*"}[kind]
	}
	if m.Width == 0 {
		m.Width, m.Height = max(0, a.Int("width")), max(0, a.Int("height"))
	}
	if m.Size == 0 {
		m.Size = int64(max(0, a.Int("size")))
	}
	name, _ := a.Name()
	if name == "" {
		name, _ = a.Summary()
	}
	m.Alt, m.Blurhash, m.Duration = short(name, maxAlt), short(a.Text("blurhash"), 256), span(a.Text("duration"))
	m.Name = fileName(m.URL)
	return m, true
}

// best chooses among the addresses of a medium: a file of its kind before playlists and pages, and among videos the largest of at most
// 720 lines.
func best(links []object.Link, kind string) (object.Link, bool) {
	var found object.Link
	score := -1
	for _, l := range links {
		if object.Origin(l.Href) == "" {
			continue
		}
		n := 1
		switch mt := strings.ToLower(l.MediaType); {
		case kind != "" && strings.HasPrefix(mt, strings.ToLower(kind)+"/"):
			n = 1000
			if l.Height <= 720 {
				n += l.Height
			}
		case mt == "" || kind == "Link":
			n = 10
		case strings.HasPrefix(mt, "text/html"):
			n = 2
		case mt == "application/x-mpegurl" || strings.HasPrefix(mt, "application/x-bittorrent"):
			n = 0
		case kind == "Document" || kind == "":
			n = 500
		}
		if n > score {
			score, found = n, l
		}
	}
	page := (kind == "Video" || kind == "Audio" || kind == "Image") && score <= 2 && strings.HasPrefix(found.MediaType, "text/html")
	return found, score >= 0 && !page
}

// fileName gives the last part of an address as a name, empty if there is none that is fit.
func fileName(address string) string {
	address, _, _ = strings.Cut(address, "?")
	name := path.Base(address)
	if name == "." || name == "/" || strings.Contains(name, ":") || len(name) > 255 || strings.ContainsAny(name, "\\%") || !strings.Contains(name, ".") {
		return ""
	}
	return name
}

// span reads an xsd:duration of days and less, which is what files last; 0 for none and for anything longer than 1000 hours. go-fed's
// reader is not used: it takes no fractions.
func span(s string) time.Duration {
	rest, ok := strings.CutPrefix(s, "P")
	if !ok || len(s) > 32 {
		return 0
	}
	var total float64
	clock := false
	for rest != "" {
		if rest[0] == 'T' && !clock {
			clock, rest = true, rest[1:]
			continue
		}
		n := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if n <= 0 {
			return 0
		}
		unit := map[string]float64{"D": 86400, "TH": 3600, "TM": 60, "TS": 1}[map[bool]string{true: "T"}[clock]+rest[n:n+1]]
		v, err := strconv.ParseFloat(rest[:n], 64)
		if err != nil || unit == 0 {
			return 0
		}
		total += v * unit
		rest = rest[n+1:]
	}
	if total > 1000*3600 {
		return 0
	}
	return time.Duration(total * float64(time.Second)).Round(time.Millisecond)
}

// focal keeps the focal point, which items cannot say.
func (in *reader) focal(a *object.Object) {
	l, ok := a.Value("focalPoint").([]any)
	if !ok || len(l) != 2 {
		return
	}
	if raw, err := json.Marshal(l); err == nil && len(raw) < 128 {
		in.p.Item.Native[nativeFocal+strconv.Itoa(len(in.p.Item.Media)-1)] = raw
	}
}

// linked writes the address of a page below the text, unless it is there.
func (in *reader) linked(m sdk.Media) {
	it := &in.p.Item
	if it.Text == nil {
		it.Text = &sdk.Text{}
	}
	t := it.Text
	if strings.Contains(t.Plain, m.URL) || slices.ContainsFunc(t.Spans, func(s sdk.Span) bool { return s.Value == m.URL }) {
		return
	}
	if t.Plain != "" {
		t.Plain += "\n\n"
	}
	start := len(t.Plain)
	t.Plain += m.URL
	t.Spans = append(t.Spans, sdk.Span{Kind: sdk.SpanLink, Start: start, End: len(t.Plain), Value: m.URL})
}
