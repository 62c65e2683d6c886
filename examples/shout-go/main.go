// Command shout is a filter in Go: it upper-cases text, adds the tag "shout",
// and drops what contains a forbidden word. Build it with build.sh.
package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"bridgehost/sdk/guest"
)

// config is the link's config table.
type config struct {
	Word string `json:"word"` // that must not occur; empty = none
}

// forbidden is the word as shout makes it.
var forbidden, shownWord string

func init() {
	guest.Register(guest.Handlers{Open: open, Filter: filter})
}

func main() {}

// open reads the configuration. It is called once, before all else.
func open(c guest.Config) error {
	cfg := config{Word: "forbidden"}
	if text := c.JSON(); len(text) > 0 {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&cfg); err != nil {
			return &guest.Error{Kind: guest.Invalid, Text: "configuration: " + err.Error() + `; write word = "forbidden"`}
		}
	}
	shownWord, forbidden = cfg.Word, shout(cfg.Word)
	return nil
}

// filter decides about one event.
func filter(e guest.Event) guest.Verdict {
	item, ok := e.Item()
	if !ok {
		return guest.Pass()
	}
	text := shout(item.Text().Plain())
	switch {
	case text == "":
		return guest.Pass()
	case forbidden != "" && strings.Contains(text, forbidden):
		return guest.Drop(`contains the word "` + shownWord + `"`)
	}
	patch := e.Patch().SetText(text) // drops markup as well
	if !slices.Contains(item.Tags(), "shout") {
		patch.AddTag("shout")
	}
	return patch.Verdict()
}

// shout upper-cases the letters of ASCII and Latin-1, and only those: the
// examples in C and AssemblyScript do just the same, without tables of Unicode.
// The length in bytes stays, so that positions of mentions still fit.
func shout(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'à' <= r && r <= 'þ' && r != '÷' {
			return r - 0x20
		}
		return r
	}, s)
}
