package atom

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"bridgehost/plugins/xmpp/internal/social/pubsub"
	"bridgehost/sdk"
)

// Remote gives the name by which the host knows an item of a node at this link:
// its URI.
func Remote(a pubsub.Address) sdk.RemoteID { return sdk.RemoteID(a.URI()) }

// FromRemote reads what Remote wrote.
func FromRemote(id sdk.RemoteID) (pubsub.Address, bool) {
	a, err := pubsub.ParseURI(string(id))
	return a, err == nil && a.Item != ""
}

// Item gives the entry as an item that was published at the address. Stamps in
// the future are taken for now.
func (x Entry) Item(at pubsub.Address, now time.Time) sdk.Item {
	it := sdk.Item{
		Origin: sdk.Ref{ID: Remote(at)}, Language: x.Lang, Tags: x.Categories, Warning: x.Warning,
		Created: past(x.Published, now), Edited: past(x.Updated, now),
	}
	if it.Created.IsZero() {
		it.Created = it.Edited
	}
	if it.Created.IsZero() {
		it.Created = now.UTC()
	}
	if !it.Edited.After(it.Created) {
		it.Edited = time.Time{}
	}
	if x.Spoiler && it.Warning == "" {
		it.Warning = "spoiler"
	}
	x.itemText(&it)
	for _, l := range x.Enclosures {
		it.Media = slices.DeleteFunc(it.Media, func(m sdk.Media) bool { return m.URL == l.Href }) // shown in the text, too
		if web(l.Href) {
			it.Media = append(it.Media, sdk.Media{URL: l.Href, Type: l.Type, Alt: l.Title, Size: l.Length, Name: fileName(l.Href)})
		}
	}
	for _, l := range x.Alternates {
		if web(l.Href) && (it.URL == "" || l.Type == "text/html") {
			it.URL = l.Href
		}
	}
	if to, ok := x.Answers(); ok {
		it.ReplyTo.Remote = Remote(to)
	}
	return it
}

// itemText fills text and title. A title that only repeats the beginning of the
// content, as most clients make it for short posts, is none.
func (x Entry) itemText(it *sdk.Item) {
	it.Title = x.Title
	if x.Spoiler && strings.TrimSpace(strings.TrimPrefix(x.Title, warningSign)) == x.Warning {
		it.Title = ""
	}
	switch {
	case !x.XHTML.IsZero():
		doc := readXHTML(x.XHTML)
		it.Text = &doc.Text
		if strings.TrimSpace(doc.Text.Plain) == "" && x.Text != "" {
			it.Text = sdk.NewText(x.Text)
		}
		it.Media = doc.Images
	case x.Text != "":
		it.Text = sdk.NewText(x.Text)
	case it.Title != "":
		it.Text, it.Title = sdk.NewText(it.Title), ""
	}
	begin := oneLine(strings.TrimRight(strings.TrimSuffix(strings.TrimSuffix(it.Title, "…"), "..."), " "))
	if begin != "" && strings.HasPrefix(oneLine(it.Body()), begin) {
		it.Title = ""
	}
}

func past(t, now time.Time) time.Time {
	if t.After(now) {
		return now.UTC()
	}
	return t
}

func web(href string) bool {
	return strings.HasPrefix(href, "https://") || strings.HasPrefix(href, "http://")
}

// fileName gives the last part of a URL's path, "" if there is none.
func fileName(href string) string {
	href, _, _ = strings.Cut(href, "?")
	_, path, _ := strings.Cut(href, "://")
	i := strings.LastIndexByte(path, '/')
	if i < 0 || i+1 == len(path) || len(path)-i > 255 {
		return ""
	}
	return path[i+1:]
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

const warningSign = "⚠ "

// Author is how an entry names who wrote it.
type Author struct{ Name, JID string }

// FromItem gives an item as the entry at the address, by the author. What an
// entry cannot say is in the losses. An item without anything to show gives ok false.
func FromItem(it sdk.Item, at pubsub.Address, by Author, now time.Time) (x Entry, loss []sdk.Loss, ok bool) {
	lose := func(kind sdk.LossKind, detail string) { loss = append(loss, sdk.Loss{Kind: kind, Detail: detail}) }
	x = Entry{ID: at.URI(), Lang: it.Language, Published: it.Created, Updated: it.Edited, AuthorName: by.Name, Categories: it.Tags}
	if by.JID != "" {
		x.AuthorURI = "xmpp:" + by.JID
	}
	if x.Published.IsZero() {
		x.Published = now.UTC()
	}
	if !x.Updated.After(x.Published) {
		x.Updated = x.Published
	}
	if it.Sealed != nil {
		lose(sdk.LossSealed, "the post is encrypted for other people")
	}
	x.Text = strings.TrimSpace(it.Body())
	if it.Poll != nil {
		lose(sdk.LossPoll, "shown as text, without a way to vote")
		for _, o := range it.Poll.Options {
			x.Text += "\n• " + o.Text
		}
	}
	if it.Calendar != nil {
		lose(sdk.LossCalendar, "shown as text")
		x.Text = join(calendarText(*it.Calendar), x.Text)
	}
	x.Text = strings.TrimSpace(x.Text)
	if len(x.Text) > maxWrite {
		x.Text = clip(x.Text, maxWrite)
		lose(sdk.LossText, "shortened")
	} else if div, ok := writeXHTML(it.Text); ok && (div.IsZero() || it.Poll == nil && it.Calendar == nil && x.Text != "") {
		x.XHTML = div
	} else {
		lose(sdk.LossMarkup, "shown as plain text")
	}
	for _, m := range it.Media {
		if !web(m.URL) {
			lose(sdk.LossMedia, "a file has no address")
			continue
		}
		x.Enclosures = append(x.Enclosures, Link{Href: m.URL, Type: m.Type, Title: m.Alt, Length: m.Size})
	}
	if it.Warning != "" {
		x.Spoiler, x.Warning = true, it.Warning
		lose(sdk.LossWarning, "the content warning is the title and hides nothing")
	}
	x.Alternates = append(x.Alternates, Link{Href: at.URI()})
	if web(it.URL) {
		x.Alternates = append(x.Alternates, Link{Href: it.URL, Type: "text/html"})
	}
	x.references(it, lose)
	x.Title = title(it, x)
	return x, loss, x.Title != ""
}

// references writes what the item answers and quotes.
func (x *Entry) references(it sdk.Item, lose func(sdk.LossKind, string)) {
	switch to, ok := FromRemote(it.ReplyTo.Remote); {
	case ok:
		x.ReplyTo = append(x.ReplyTo, Link{Href: to.URI(), Ref: to.URI()})
	case !it.ReplyTo.IsZero():
		lose(sdk.LossReply, "what it answers is not known here")
	}
	if to, ok := FromRemote(it.Quote.Remote); ok {
		x.Related = append(x.Related, Link{Href: to.URI(), Title: "quote"})
	}
}

// title gives the title that every entry needs: the item's, else its warning,
// else the beginning of its text, else the name of a file.
func title(it sdk.Item, x Entry) string {
	switch {
	case it.Title != "" && it.Warning != "":
		return clip(oneLine(warningSign+it.Warning+" — "+it.Title), maxTitle)
	case it.Title != "":
		return clip(oneLine(it.Title), maxTitle)
	case it.Warning != "":
		return clip(oneLine(warningSign+it.Warning), maxTitle)
	case x.Text != "":
		return shorten(oneLine(x.Text))
	}
	if len(x.Enclosures) == 0 {
		return ""
	}
	first := x.Enclosures[0]
	switch name := fileName(first.Href); {
	case first.Title != "":
		return shorten(oneLine(first.Title))
	case name != "":
		return shorten(name)
	default:
		return "file"
	}
}

// shorten cuts a text to a title, at a space where there is one near.
func shorten(s string) string {
	if utf8.RuneCountInString(s) <= titleRune {
		return s
	}
	short := string([]rune(s)[:titleRune])
	if i := strings.LastIndexByte(short, ' '); i > len(short)/2 {
		short = short[:i]
	}
	return short + "…"
}

func calendarText(c sdk.CalendarEvent) string {
	lines := []string{c.Name}
	if !c.Start.IsZero() {
		when := c.Start.UTC().Format("2006-01-02 15:04 MST")
		if c.AllDay {
			when = c.Start.Format("2006-01-02")
		}
		lines = append(lines, when)
	}
	for _, l := range []string{c.Location, c.URL} {
		if l != "" {
			lines = append(lines, l)
		}
	}
	return strings.Join(lines, "\n")
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "\n\n" + b
}
