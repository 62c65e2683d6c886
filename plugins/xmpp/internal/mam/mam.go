// Package mam writes the questions that archives of messages are asked (XEP-0313)
// and reads what pages of answers say (XEP-0059).
package mam

import (
	"strconv"
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// PageSize is how many messages a page has at most, unless the question says else.
const PageSize = 100

// Question is one page that an archive is asked for (XEP-0313 §4, XEP-0059).
type Question struct {
	Start  time.Time // zero = from the beginning
	After  string    // archive id after which the page begins
	Back   bool      // the page ends before the id Before, or at the end of the archive
	Before string
	ID     string // only the message with this id; needs the feature urn:xmpp:mam:2#extended (XEP-0313 §4.1.4)
	Max    int    // 0 = PageSize
}

// Page is the archive's answer.
type Page struct {
	First, Last string // archive ids; empty when there is nothing
	Complete    bool   // nothing comes after it
}

// Payload writes the question for an iq of type set; query is the id that the
// results will name.
func (ask Question) Payload(query string) (xmltok.Element, error) {
	var w xmltok.Writer
	w.Start(convert.NSMAM, "query", xmltok.A("queryid", query))
	if !ask.Start.IsZero() || ask.ID != "" {
		w.Start(convert.NSData, "x", xmltok.A("type", "submit"))
		w.Start(convert.NSData, "field", xmltok.A("var", "FORM_TYPE"), xmltok.A("type", "hidden"))
		w.Start(convert.NSData, "value").Text(convert.NSMAM).End().End()
		field := func(name, value string) {
			w.Start(convert.NSData, "field", xmltok.A("var", name))
			w.Start(convert.NSData, "value").Text(value).End().End()
		}
		if !ask.Start.IsZero() {
			field("start", ask.Start.UTC().Format("2006-01-02T15:04:05Z"))
		}
		if ask.ID != "" {
			field("ids", ask.ID)
		}
		w.End()
	}
	w.Start(convert.NSRSM, "set")
	most := ask.Max
	if most == 0 {
		most = PageSize
	}
	w.Start(convert.NSRSM, "max").Text(strconv.Itoa(most)).End()
	switch {
	case ask.After != "":
		w.Start(convert.NSRSM, "after").Text(ask.After).End()
	case ask.Back:
		w.Start(convert.NSRSM, "before").Text(ask.Before).End()
	}
	return w.Element()
}

// ReadPage reads the answer to a question: <fin/> (XEP-0313 §4.2).
func ReadPage(fin xmltok.Element) Page {
	set, _ := fin.Child(convert.NSRSM, "set")
	return Page{First: set.ChildText(convert.NSRSM, "first"), Last: set.ChildText(convert.NSRSM, "last"), Complete: fin.Get("complete") == "true"}
}
