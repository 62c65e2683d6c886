package convert

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"golang.org/x/text/secure/precis"

	"bridgehost/sdk"
)

// maxLocal is the longest localpart that is still kept readable.
const maxLocal = 100

// PuppetLocal gives the localpart of a puppet's JID: the author's link and home
// id, escaped by XEP-0106. The same author always gets the same one, and two
// authors never share one: where the normalisation of localparts (RFC 7622 §3.3)
// or the length would make them collide, a digest is part of it.
func PuppetLocal(home sdk.Ref) string {
	plain := string(home.Link) + "." + string(home.ID)
	local := escape(plain)
	norm, err := precis.UsernameCaseMapped.String(local)
	if err == nil && norm == local && len(local) <= maxLocal && home.ID != "" && !strings.Contains(plain, "~") {
		return local
	}
	sum := sha256.Sum256([]byte(plain))
	readable := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '.', r == '-', r == '_':
			return r
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		default:
			return -1
		}
	}, plain)
	return cut(readable, 40) + "~" + hex.EncodeToString(sum[:10])
}

// escape writes the ten characters that a localpart must not contain as \xx
// (XEP-0106 §4.2). The backslash is always escaped, so that no two texts give
// the same result.
func escape(s string) string {
	if !strings.ContainsAny(s, escaped) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; strings.IndexByte(escaped, c) >= 0 {
			b.WriteByte('\\')
			b.WriteString(hex.EncodeToString([]byte{c}))
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// escaped are the characters of XEP-0106 §3.
const escaped = " \"&'/:<>@\\"
