package convert

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"
)

// MaxNick is the longest nick in bytes that a puppet gets. RFC 7622 §3.4 allows
// 1,023; a nick is read beside every line, so it stays short.
const MaxNick = 64

// Nick makes a nick of a display name: one line, without invisible characters
// and characters that change the direction of what follows, at most MaxNick
// bytes, in the form of the PRECIS Nickname profile (RFC 8266, XEP-0045 §17.1.2).
// It is empty when nothing readable is left.
func Nick(name string) string {
	if len(name) > 16*MaxNick {
		name = name[:16*MaxNick]
	}
	name = strings.ToValidUTF8(name, "")
	name = strings.Map(visible, name)
	name = strings.Join(strings.Fields(name), " ")
	name = cut(norm.NFKC.String(name), MaxNick)
	enforced, err := precis.Nickname.String(name)
	if err != nil {
		enforced = strings.Map(ascii, name)
		enforced = strings.Join(strings.Fields(enforced), " ")
	}
	if strings.IndexFunc(enforced, readable) < 0 {
		return ""
	}
	return strings.TrimSpace(cut(enforced, MaxNick))
}

// visible drops what a reader cannot see or must not be steered by: controls,
// format characters (bidi, zero-width, tags, soft hyphen), private use,
// variation selectors, and the fillers that look like nothing.
func visible(r rune) rune {
	switch {
	case unicode.IsSpace(r), unicode.Is(unicode.Zs, r), unicode.Is(unicode.Zl, r), unicode.Is(unicode.Zp, r):
		return ' '
	case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, unicode.Variation_Selector),
		r == 0x115F, r == 0x1160, r == 0x3164, r == 0xFFA0, r == 0x2800, r == 0x034F, r == 0x17B4, r == 0x17B5,
		r == utf8.RuneError:
		return -1
	default:
		return r
	}
}

// ascii keeps what every profile allows.
func ascii(r rune) rune {
	if r < ' ' || r > '~' {
		return -1
	}
	return r
}

// readable reports characters that make a nick more than decoration: not a
// space, and not a mark alone.
func readable(r rune) bool { return !unicode.IsSpace(r) && !unicode.Is(unicode.M, r) }

// cut shortens s to at most n bytes at a character that does not join to the next.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	for n > 0 {
		r, _ := utf8.DecodeRuneInString(s[n:])
		if !unicode.Is(unicode.M, r) {
			break
		}
		_, size := utf8.DecodeLastRuneInString(s[:n])
		n -= size
	}
	return strings.TrimRightFunc(s[:n], unicode.IsSpace)
}

// NickWith gives nick with a visible suffix in brackets, such as the network or
// a number, still within MaxNick.
func NickWith(nick, suffix string) string {
	suffix = cut(suffix, MaxNick/2)
	return cut(nick, MaxNick-len(suffix)-3) + " (" + suffix + ")"
}

// lookalikes maps letters that many fonts draw alike to one of them. It is not
// the whole of UTS 39 but what is used to pass for a Latin name.
var lookalikes = map[rune]rune{
	'а': 'a', 'е': 'e', 'о': 'o', 'р': 'p', 'с': 'c', 'у': 'y', 'х': 'x', 'і': 'i', 'ј': 'j', 'ѕ': 's', 'һ': 'h', 'ԁ': 'd', 'ԛ': 'q', 'ԝ': 'w',
	'в': 'b', 'к': 'k', 'м': 'm', 'н': 'h', 'т': 't', 'ѵ': 'v', 'г': 'r',
	'α': 'a', 'ο': 'o', 'ρ': 'p', 'ν': 'v', 'ι': 'i', 'κ': 'k', 'υ': 'u', 'χ': 'x', 'ϲ': 'c', 'ϳ': 'j', 'η': 'n', 'τ': 't', 'β': 'b', 'ε': 'e',
	'ı': 'i', 'ɑ': 'a', 'ɡ': 'g', 'ɩ': 'i', 'ʟ': 'l', 'ո': 'n', 'ս': 'u', 'օ': 'o',
	'0': 'o', '1': 'l', 'i': 'l', '|': 'l',
}

// Skeleton gives a key that is equal for nicks that people would take for one
// another: case, width, accents and look-alike letters do not count.
func Skeleton(nick string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(strings.ToLower(nick)) {
		if unicode.Is(unicode.M, r) || unicode.IsSpace(r) || visible(r) < 0 {
			continue
		}
		if l, ok := lookalikes[r]; ok {
			r = l
			if l2, ok := lookalikes[l]; ok {
				r = l2
			}
		}
		b.WriteRune(r)
	}
	return b.String()
}
