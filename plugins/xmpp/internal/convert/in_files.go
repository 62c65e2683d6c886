package convert

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

const (
	maxFiles    = 32
	maxFileName = 255
	maxAlt      = 6000 // bytes of a description
	maxAddress  = 4096
)

// readFiles reads the files of a message, each once though several extensions name it: stateless file sharing (XEP-0447), then SIMS
// (XEP-0385), then out-of-band data (XEP-0066).
func readFiles(m *packet.Message) []sdk.Media {
	var files []sdk.Media
	seen := map[string]int{}
	add := func(f sdk.Media) {
		if !webAddress(f.URL) {
			return
		}
		if i, ok := seen[f.URL]; ok {
			if files[i].Alt == "" {
				files[i].Alt = f.Alt
			}
			return
		}
		if len(files) < maxFiles {
			seen[f.URL] = len(files)
			files = append(files, f)
		}
	}
	for _, e := range m.Extensions {
		if e.Is(NSSFS, "file-sharing") {
			file, _ := e.Child(NSFile, "file")
			f := readMetadata(file, NSFile)
			f.URL = sharedAt(e)
			add(f)
		}
	}
	for _, e := range m.Extensions {
		if !e.Is(NSReference, "reference") {
			continue
		}
		if sharing, ok := e.Child(NSSIMS, "media-sharing"); ok {
			file, _ := sharing.Child(NSJingleFile, "file")
			f := readMetadata(file, NSJingleFile)
			f.URL = simsAt(sharing)
			add(f)
		}
	}
	for _, e := range m.Extensions {
		if e.Is(NSOOB, "x") {
			add(sdk.Media{URL: strings.TrimSpace(e.ChildText(NSOOB, "url")), Alt: cut(strings.TrimSpace(e.ChildText(NSOOB, "desc")), maxAlt)})
		}
	}
	return files
}

// sharedAt gives the best address among the sources of a XEP-0447 element: https before http.
func sharedAt(e xmltok.Element) string {
	best := ""
	sources, _ := e.Child(NSSFS, "sources")
	for c := range sources.Children() {
		if c.Is(NSURLData, "url-data") {
			best = better(best, c.Get("target"))
		}
	}
	return best
}

// simsAt does the same for XEP-0385.
func simsAt(sharing xmltok.Element) string {
	best := ""
	sources, _ := sharing.Child(NSSIMS, "sources")
	for c := range sources.Children() {
		if c.Is(NSReference, "reference") {
			best = better(best, c.Get("uri"))
		}
	}
	return best
}

func better(best, found string) string {
	found = strings.TrimSpace(found)
	if !webAddress(found) || best != "" && (strings.HasPrefix(best, "https:") || !strings.HasPrefix(found, "https:")) {
		return best
	}
	return found
}

// webAddress reports whether s is the address of something on the web.
func webAddress(s string) bool {
	if !strings.HasPrefix(s, "https://") && !strings.HasPrefix(s, "http://") || len(s) > maxAddress {
		return false
	}
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return false
	}
	u, err := url.Parse(s)
	return err == nil && u.Hostname() != ""
}

// isAddress reports whether a body is nothing but the address of a file of the message, as clients without file sharing need it.
func isAddress(body string, files []sdk.Media) bool {
	body = strings.TrimSpace(body)
	for _, f := range files {
		if f.URL == body {
			return true
		}
	}
	return false
}

// readMetadata reads a XEP-0446 element, or the one of XEP-0234 that it took the place of.
func readMetadata(file xmltok.Element, space string) sdk.Media {
	var f sdk.Media
	for c := range file.Children() {
		switch {
		case c.Is(NSHashes, "hash"):
			if c.Get("algo") == "sha-256" {
				f.Digest = digest(c.Text())
			}
		case c.Is(NSThumbs, "thumbnail"):
			if hash, ok := strings.CutPrefix(c.Get("uri"), blurhashURI); ok {
				f.Blurhash = unescapeURI(hash)
			}
		case c.Name.Space != space:
		case c.Name.Local == "media-type":
			f.Type = mediaType(c.Text())
		case c.Name.Local == "name":
			f.Name = fileName(c.Text())
		case c.Name.Local == "size":
			f.Size = number(c.Text(), 1<<62)
		case c.Name.Local == "width":
			f.Width = int(number(c.Text(), 1<<20))
		case c.Name.Local == "height":
			f.Height = int(number(c.Text(), 1<<20))
		case c.Name.Local == "length":
			f.Duration = time.Duration(number(c.Text(), 1<<40)) * time.Millisecond
		case c.Name.Local == "desc" && f.Alt == "":
			f.Alt = cut(strings.TrimSpace(c.Text()), maxAlt)
		}
	}
	return f
}

// blurhashURI begins the address of a thumbnail that is a blurhash.
const blurhashURI = "data:image/blurhash,"

// digest turns a base64 hash into hex; anything else than a SHA-256 is none.
func digest(s string) string {
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(s))
	if err != nil || len(b) != 32 {
		return ""
	}
	return hex.EncodeToString(b)
}

func number(s string, most int64) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil || n < 0 || n > most {
		return 0
	}
	return n
}

// mediaType gives a media type in lower case without parameters, empty if s is none.
func mediaType(s string) string {
	s, _, _ = strings.Cut(strings.ToLower(s), ";")
	s = strings.TrimSpace(s)
	major, minor, ok := strings.Cut(s, "/")
	if !ok || major == "" || minor == "" || len(s) > 127 || strings.IndexFunc(s, notMedia) >= 0 {
		return ""
	}
	return s
}

// notMedia reports characters that RFC 6838 §4.2 does not allow, but for the slash.
func notMedia(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("/!#$&-^_.+", r)
}

// fileName gives a file name without folders, and without characters that mislead or steer (XEP-0446 §3).
func fileName(s string) string {
	if i := strings.LastIndexAny(s, `/\`); i >= 0 {
		s = s[i+1:]
	}
	s = strings.TrimSpace(cut(strings.Map(visible, s), maxFileName))
	if strings.Trim(s, ".") == "" {
		return ""
	}
	return s
}

// unescapeURI resolves percent escapes; a text with bad ones stays as it is.
func unescapeURI(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}
