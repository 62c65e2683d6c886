package address

import "strings"

// escapes are the characters that XEP-0106 §3.2 takes out of a local part, with what stands for them. A backslash has its own rule.
const escapes = ` "&'/:<>@`

const hexDigits = "0123456789abcdef"

// Escape writes text as the local part of a JID by XEP-0106: characters that a local part may not hold become escape sequences, and so
// does a backslash that would otherwise start one. A space at either edge is refused, as XEP-0106 §3.2 asks. The result is not yet
// prepared by PRECIS, so that it may still be refused or folded.
func Escape(s string) (string, error) {
	if s == "" {
		return "", refuse("empty local part")
	}
	if s[0] == ' ' || s[len(s)-1] == ' ' {
		return "", refuse("space at an edge of %q", s)
	}
	var b strings.Builder
	b.Grow(len(s) + 8)
	for i := range len(s) {
		c := s[i]
		if strings.IndexByte(escapes, c) >= 0 || c == '\\' && sequence(s[i:]) != 0 {
			b.WriteByte('\\')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
			continue
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}

// Unescape reads what Escape wrote, once: `a\5c40b` gives `a\40b`. A backslash that starts no escape sequence of XEP-0106 stands for
// itself. An escaped space at either edge is refused.
func Unescape(s string) (string, error) {
	if s == "" {
		return "", refuse("empty local part")
	}
	if strings.HasPrefix(s, `\20`) || strings.HasSuffix(s, `\20`) {
		return "", refuse("escaped space at an edge of %q", s)
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if c := sequence(s[i:]); c != 0 {
			b.WriteByte(c)
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String(), nil
}

// sequence returns the character that the escape sequence at the beginning of s stands for, 0 if there is none.
func sequence(s string) byte {
	if len(s) < 3 || s[0] != '\\' {
		return 0
	}
	hi, lo := strings.IndexByte(hexDigits, s[1]), strings.IndexByte(hexDigits, s[2])
	if hi < 0 || lo < 0 {
		return 0
	}
	if c := byte(hi<<4 | lo); c == '\\' || strings.IndexByte(escapes, c) >= 0 {
		return c
	}
	return 0
}
