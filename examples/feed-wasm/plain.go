package main

import (
	"html"
	"strings"
)

// plain turns HTML into one paragraph after the other, without markup. It is
// for summaries: what it does not know it drops.
func plain(s string) string {
	var b strings.Builder
	for s != "" && b.Len() < maxField {
		open := strings.IndexByte(s, '<')
		if open < 0 {
			b.WriteString(html.UnescapeString(s))
			break
		}
		b.WriteString(html.UnescapeString(s[:open]))
		s = s[open:]
		name := tag(s)
		if name == "" && !strings.HasPrefix(s, "<!") { // a sign, no markup
			b.WriteByte('<')
			s = s[1:]
			continue
		}
		end := strings.IndexByte(s, '>')
		if strings.HasPrefix(s, "<!--") {
			if end = strings.Index(s, "-->"); end >= 0 {
				end += 2
			}
		}
		if end < 0 {
			break
		}
		s = s[end+1:]
		switch name {
		case "script", "style":
			s = from(s, "</"+name)
		case "br", "p", "/p", "div", "/div", "li", "tr", "h1", "h2", "h3", "h4", "blockquote", "pre":
			b.WriteByte('\n')
		}
	}
	return tidy(b.String())
}

// from gives s from the first end tag on that begins so, in any case of letters;
// empty when there is none. It looks at each byte once.
func from(s, end string) string {
	for {
		at := strings.Index(s, "</")
		if at < 0 {
			return ""
		}
		s = s[at:]
		if len(s) >= len(end) && strings.EqualFold(s[:len(end)], end) {
			return s
		}
		s = s[2:]
	}
}

// tag gives the name of the element that s begins with, with / when it ends;
// empty when s begins with none.
func tag(s string) string {
	n := 1
	for n < len(s) && (s[n] == '/' && n == 1 || s[n]|0x20 >= 'a' && s[n]|0x20 <= 'z' || n > 1 && s[n] >= '0' && s[n] <= '9') {
		n++
	}
	return strings.ToLower(s[1:n])
}

// tidy makes white space single, drops empty lines and control characters, and
// shortens.
func tidy(s string) string {
	var lines []string
	for _, line := range strings.Split(s, "\n") {
		line = strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return ' '
			}
			return r
		}, line)
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			lines = append(lines, line)
		}
	}
	return shorten(strings.Join(lines, "\n"), maxField)
}
