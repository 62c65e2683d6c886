package upload

import (
	"mime"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Longest file name in bytes, and longest ending that is kept when a name is cut.
const (
	maxName   = 120
	maxEnding = 12
)

// octets is the media type of content that nobody described.
const octets = "application/octet-stream"

// endings are those of common media types. The mime package asks the system's
// tables, whose first answer differs between machines (.jfif for image/jpeg).
var endings = map[string]string{
	"image/jpeg": ".jpg", "image/png": ".png", "image/gif": ".gif", "image/webp": ".webp", "image/avif": ".avif",
	"image/svg+xml": ".svg", "video/mp4": ".mp4", "video/webm": ".webm", "audio/mpeg": ".mp3", "audio/ogg": ".ogg",
	"audio/mp4": ".m4a", "audio/opus": ".opus", "audio/wav": ".wav", "text/plain": ".txt", "application/pdf": ".pdf",
	"application/zip": ".zip",
}

// FileName makes a name that is safe in a URL, on a disk and on a screen out of
// what somebody wrote: no folders, no control or bidirectional characters (RFC
// 8264 §9.11, UAX #9), no leading dot, at most 120 bytes. A name of which
// nothing is left is made of the media type.
func FileName(name, mediaType string) string {
	name = strings.ToValidUTF8(name, "")
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	var b strings.Builder
	for _, r := range name {
		switch {
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp, unicode.Variation_Selector), r == utf8.RuneError:
		case unicode.IsSpace(r):
			b.WriteByte(' ')
		case strings.ContainsRune(`<>:"|?*%#&;`+"`", r):
			b.WriteByte('_')
		default:
			b.WriteRune(r)
		}
	}
	name = strings.Trim(strings.Join(strings.Fields(b.String()), " "), ". ")
	if name == "" {
		name = "file" + endings[MediaType(mediaType)]
	}
	return shorten(name)
}

// shorten cuts a name to maxName bytes and keeps its ending.
func shorten(name string) string {
	if len(name) <= maxName {
		return name
	}
	ending := path.Ext(name)
	if len(ending) > maxEnding {
		ending = ""
	}
	stem := name[:maxName-len(ending)]
	for !utf8.ValidString(stem) {
		stem = stem[:len(stem)-1]
	}
	return strings.TrimRight(stem, ". ") + ending
}

// MediaType gives type/subtype in lower case without parameters;
// application/octet-stream for what is no media type (RFC 6838 §4.2).
func MediaType(s string) string {
	t, _, err := mime.ParseMediaType(s)
	if err != nil || strings.Count(t, "/") != 1 || len(t) > 127 {
		return octets
	}
	return t
}
