// Command shout is a filter in Go: it upper-cases text, adds the tag "shout",
// and drops what contains a forbidden word. Build it with build.sh.
package main

import (
	"encoding/json"
	"slices"
	"strings"

	"bridgehost/sdk/guest"
)

// The word that must not occur, as configured and as shout makes it; empty = none.
var shownWord, forbidden string

func init() {
	guest.Register(guest.Handlers{Open: open, Filter: filter})
}

func main() {}

// open reads the link's config table. It is called once, before all else, also by
// bridgehost check: all faults come back at once.
func open(c guest.Config) error {
	word, faults := "forbidden", []guest.Fault(nil)
	var table map[string]any
	if err := json.Unmarshal(c.JSON(), &table); err != nil {
		return err
	}
	for key, value := range table {
		text, isText := value.(string)
		switch {
		case key != "word":
			faults = append(faults, guest.Fault{Key: key, Problem: "is not known", Remedy: `the only key is word`})
		case !isText:
			faults = append(faults, guest.Fault{Key: key, Problem: "must be a string", Remedy: `write word = "forbidden"`})
		default:
			word = text
		}
	}
	if len(faults) > 0 {
		return &guest.Error{Faults: faults}
	}
	shownWord, forbidden = word, shout(word)
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
