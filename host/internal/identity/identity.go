// Package identity says who may be bridged. Actors and puppets themselves are
// kept by the store: an actor is written when its first event is, a puppet when
// a receipt names it.
package identity

import (
	"strings"

	"bridgehost/sdk"
)

// marks are the words by which people say in their profile that they do not
// want to be bridged, as the fediverse's bridges and bots honour them.
var marks = [...]string{"#nobridge", "#nobot", "#nobots"}

// Refuses reports whether an actor does not want to be bridged: by a setting,
// or by a mark in its profile. A person's explicit yes to this bridge counts
// more than a mark that is meant for all.
func Refuses(a *sdk.Actor) bool {
	switch a.Consent {
	case sdk.ConsentRefused:
		return true
	case sdk.ConsentGiven:
		return false
	}
	return a.Summary != nil && marked(a.Summary.Plain) || marked(a.Name)
}

// marked looks for a mark as a word of its own; letter case does not count.
func marked(text string) bool {
	if !strings.Contains(text, "#") {
		return false
	}
	for _, word := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return r != '#' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && r < 0x80
	}) {
		for _, m := range marks {
			if word == m {
				return true
			}
		}
	}
	return false
}
