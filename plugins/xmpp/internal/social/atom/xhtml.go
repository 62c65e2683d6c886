package atom

import (
	"strings"

	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
	"bridgehost/sdk/richtext"
)

// plainOf gives the text of a text construct (RFC 4287 §3.1), whatever its type.
func plainOf(c xmltok.Element) string {
	if c.Get("type") != "xhtml" {
		return c.Text()
	}
	div, ok := c.Child(NSXHTML, "div")
	if !ok || len(div.Raw()) > maxText {
		return ""
	}
	return readXHTML(div).Text.Plain
}

// readXHTML gives what a div says.
func readXHTML(div xmltok.Element) richtext.Document {
	return richtext.ParseHTML(string(div.Standalone()), richtext.HTML{XML: true, MaxText: maxText})
}

// writeXHTML gives the div of a text with markup, zero for a text without; ok is
// false if there is markup that cannot be written.
func writeXHTML(t *sdk.Text) (div xmltok.Element, ok bool) {
	if t == nil || len(t.Spans) == 0 {
		return xmltok.Element{}, true
	}
	inner := richtext.PrintHTML(*t, richtext.Print{XML: true, Mention: func(value string) string {
		if web(value) || strings.HasPrefix(value, "xmpp:") {
			return value
		}
		return ""
	}})
	if len(inner) > maxMarkup {
		return xmltok.Element{}, false
	}
	div, err := xmltok.Parse([]byte(`<div xmlns='` + NSXHTML + `'>` + inner + `</div>`))
	return div, err == nil
}
