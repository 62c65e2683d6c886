package atom

import (
	"encoding/xml"
	"errors"
	"fmt"
	"strconv"
	"time"

	"bridgehost/plugins/xmpp/internal/xmltok"
)

// Element writes the entry. It reports what RFC 4287 §4.1.2 demands and the
// entry lacks.
func (x Entry) Element() (xmltok.Element, error) {
	switch {
	case x.ID == "":
		return xmltok.Element{}, errors.New("write entry: no id")
	case x.Title == "":
		return xmltok.Element{}, errors.New("write entry: no title")
	case x.Updated.IsZero():
		return xmltok.Element{}, errors.New("write entry: no time of update")
	case !x.XHTML.IsZero() && x.Text == "":
		return xmltok.Element{}, errors.New("write entry: XHTML without text alternative")
	}
	var w xmltok.Writer
	w.Start(NS, "entry", lang(x.Lang)...)
	w.Start(NS, "title", xmltok.A("type", "text")).Text(x.Title).End()
	if x.Text != "" {
		w.Start(NS, "content", xmltok.A("type", "text")).Text(x.Text).End()
	}
	if !x.XHTML.IsZero() {
		w.Start(NS, "content", xmltok.A("type", "xhtml")).Child(x.XHTML).End()
	}
	if x.AuthorName != "" || x.AuthorURI != "" {
		w.Start(NS, "author")
		text(&w, "name", x.AuthorName)
		text(&w, "uri", x.AuthorURI)
		w.End()
	}
	text(&w, "id", x.ID)
	published := x.Published
	if published.IsZero() {
		published = x.Updated
	}
	text(&w, "published", stamp(published))
	text(&w, "updated", stamp(x.Updated))
	for _, c := range x.Categories {
		w.Start(NS, "category", xmltok.A("term", c)).End()
	}
	x.writeLinks(&w)
	if x.Spoiler {
		w.Start(NSSpoiler, "spoiler").Text(x.Warning).End()
	}
	e, err := w.Element()
	if err != nil {
		return xmltok.Element{}, fmt.Errorf("write entry %s: %w", x.ID, err)
	}
	return e, nil
}

func (x Entry) writeLinks(w *xmltok.Writer) {
	link := func(rel string, l Link) {
		length := ""
		if l.Length > 0 {
			length = strconv.FormatInt(l.Length, 10)
		}
		w.Start(NS, "link", given("rel", rel, "type", l.Type, "title", l.Title, "href", l.Href, "ref", l.Ref, "length", length)...).End()
	}
	for _, l := range x.Alternates {
		link("alternate", l)
	}
	for _, a := range x.Comments {
		link("replies", Link{Title: "comments", Href: a.URI()})
	}
	for _, l := range x.Enclosures {
		link("enclosure", l)
	}
	for _, l := range x.Related {
		link("related", l)
	}
	for _, l := range x.Via {
		link("via", l)
	}
	for _, l := range x.ReplyTo {
		w.Start(NSThread, "in-reply-to", given("ref", l.Ref, "type", l.Type, "href", l.Href)...).End()
	}
}

func text(w *xmltok.Writer, name, value string) {
	if value != "" {
		w.Start(NS, name).Text(value).End()
	}
}

// stamp writes a time by XEP-0082.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999Z07:00") }

func lang(tag string) []xml.Attr {
	if tag == "" {
		return nil
	}
	return []xml.Attr{{Name: xml.Name{Space: "http://www.w3.org/XML/1998/namespace", Local: "lang"}, Value: tag}}
}

func given(pairs ...string) []xml.Attr {
	var list []xml.Attr
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			list = append(list, xmltok.A(pairs[i], pairs[i+1]))
		}
	}
	return list
}
