// Command leanguest is a filter as an author would write it, for benchmarks: it
// marks items whose text begins with a word.
package main

import (
	"bytes"

	"bridgehost/sdk/guest"
)

var word = []byte("mark ")

func init() { guest.Register(guest.Handlers{Filter: filter}) }

func main() {}

func filter(e guest.Event) guest.Verdict {
	it, ok := e.Item()
	if !ok || !bytes.HasPrefix(it.Text().PlainBytes(), word) {
		return guest.Pass()
	}
	return e.Patch().SetText("marked").AddTag("seen").Verdict()
}
