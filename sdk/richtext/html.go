package richtext

import "bridgehost/sdk"

// HTML says how HTML is read.
type HTML struct{ XML bool }

// Document is what was read.
type Document struct {
	Text sdk.Text
	Cut  bool
}

// ParseHTML reads HTML.
func ParseHTML(src string, o HTML) Document { return Document{Cut: true} }
