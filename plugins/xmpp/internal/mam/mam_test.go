package mam

import (
	"testing"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

func TestQuestion(t *testing.T) {
	const head, tail = `<query xmlns='urn:xmpp:mam:2' queryid='q'>`, `</set></query>`
	const form = `<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field>`
	const set = `<set xmlns='http://jabber.org/protocol/rsm'>`
	for name, c := range map[string]struct {
		ask  Question
		want string
	}{
		"all":    {Question{}, head + set + `<max>100</max>` + tail},
		"after":  {Question{After: "7", Max: 3}, head + set + `<max>3</max><after>7</after>` + tail},
		"end":    {Question{Back: true, Max: 1}, head + set + `<max>1</max><before/>` + tail},
		"before": {Question{Back: true, Before: "7"}, head + set + `<max>100</max><before>7</before>` + tail},
		"since": {Question{Start: time.Date(2024, 2, 29, 13, 0, 0, 5, time.FixedZone("", 3600))},
			head + form + `<field var='start'><value>2024-02-29T12:00:00Z</value></field></x>` + set + `<max>100</max>` + tail},
		"one": {Question{ID: "a<b", Max: 1}, head + form + `<field var='ids'><value>a&lt;b</value></field></x>` + set + `<max>1</max>` + tail},
	} {
		got, err := c.ask.Payload("q")
		if want := parse(t, c.want); err != nil || show(got) != show(want) {
			t.Errorf("%s: %s, %v; want %s", name, show(got), err, show(want))
		}
	}
}

func TestReadPage(t *testing.T) {
	for text, want := range map[string]Page{
		`<fin xmlns='urn:xmpp:mam:2' complete='true'><set xmlns='http://jabber.org/protocol/rsm'><first index='0'>a</first><last>b</last></set></fin>`: {"a", "b", true},
		`<fin xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><count>0</count></set></fin>`:                                         {},
		`<fin xmlns='urn:xmpp:mam:2'/>`: {},
	} {
		if got := ReadPage(parse(t, text)); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}

func parse(t testing.TB, text string) xmltok.Element {
	t.Helper()
	e, err := xmltok.ParseIn([]byte(text), packet.NSClient, xmltok.ComponentLimits())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// show writes an element in one form, whatever prefixes and quotes it has.
func show(e xmltok.Element) string {
	text := "<{" + e.Name.Space + "}" + e.Name.Local
	for _, a := range e.Attr {
		if a.Name.Local != "xmlns" {
			text += " " + a.Name.Local + "=" + a.Value
		}
	}
	text += ">" + e.Text()
	for c := range e.Children() {
		text += show(c)
	}
	return text + "</>"
}
