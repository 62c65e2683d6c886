package convert

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// Content is what a message says, ready to be written.
type Content struct {
	Body     string // "" = no body
	Lang     string
	URL      string // XEP-0066: the body is this URL alone
	Unstyled bool   // XEP-0393 §4.4: show the body as it is
	Loss     []sdk.Loss
}

// Style says how an item is put into a body.
type Style struct {
	Author  string // put before the text where the author has no nick of its own; "" = not
	MaxText int    // bytes of the body when escaped; 0 = unbounded
}

// Compose turns an item into the content of one message. What a message cannot
// show is in Content.Loss, and nothing else is missing.
func Compose(it *sdk.Item, s Style) Content {
	c := Content{Lang: it.Language}
	if it.Sealed != nil && it.Text == nil && len(it.Media) == 0 {
		c.Body = "[encrypted message that cannot be shown here]"
		c.lose(sdk.LossSealed, "the message is encrypted for other people")
		return c.finish(s)
	}
	var parts []string
	add := func(part string) {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if it.Warning != "" {
		add("[" + oneLine(it.Warning) + "]")
		c.lose(sdk.LossWarning, "the content warning stands before the text and hides nothing")
	}
	add(it.Title)
	add(it.Body())
	if it.Text != nil && len(it.Text.Spans) > 0 {
		c.lose(sdk.LossMarkup, "shown as plain text")
	}
	add(c.calendar(it.Calendar))
	add(c.poll(it.Poll))
	for _, m := range it.Media {
		add(c.media(m, len(parts) == 0 && len(it.Media) == 1 && s.Author == ""))
	}
	c.Body = strings.Join(parts, "\n")
	c.Unstyled = c.Body != "" && c.URL == "" && string(it.Native[nativeUnstyled]) != "0" && strings.ContainsAny(c.Body, "*_~`>")
	return c.finish(s)
}

func (c *Content) lose(kind sdk.LossKind, format string, args ...any) {
	c.Loss = append(c.Loss, sdk.Loss{Kind: kind, Detail: fmt.Sprintf(format, args...)})
}

// finish puts the author before the text, replaces characters that XML cannot
// carry, and shortens the text to its limit.
func (c Content) finish(s Style) Content {
	if s.Author != "" && c.Body != "" {
		c.Body = s.Author + ": " + c.Body
		c.lose(sdk.LossAuthor, "named in the text")
	}
	if clean := strings.Map(xmlRune, strings.ReplaceAll(c.Body, "\r\n", "\n")); clean != c.Body {
		if strings.Count(clean, "\uFFFD") != strings.Count(c.Body, "\uFFFD") {
			c.lose(sdk.LossText, "control characters were replaced")
		}
		c.Body = clean
	}
	if short, cut := shorten(c.Body, s.MaxText); cut {
		c.Body = short
		c.URL = ""
		c.lose(sdk.LossText, "shortened to %d bytes", len(short))
	}
	return c
}

// xmlRune replaces what XML 1.0 §2.2 does not allow, and turns lone carriage
// returns into line ends, as XML parsers would (XML 1.0 §2.11).
func xmlRune(r rune) rune {
	switch {
	case r == '\r':
		return '\n'
	case !xmltok.IsChar(r):
		return utf8.RuneError
	default:
		return r
	}
}

// shorten cuts s so that its escaped form has at most limit bytes.
func shorten(s string, limit int) (string, bool) {
	if limit <= 0 || len(s)*6 <= limit {
		return s, false
	}
	const mark = " […]"
	total, keep := 0, 0
	for i, r := range s {
		switch r {
		case '<', '>':
			total += 4
		case '&':
			total += 5
		default:
			total += utf8.RuneLen(r)
		}
		if total <= limit-len(mark) {
			keep = i + utf8.RuneLen(r)
		}
	}
	if total <= limit {
		return s, false
	}
	return cut(s, keep) + mark, true
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// media gives the line for a file, which is its URL; alone says that the
// message is nothing but this file.
func (c *Content) media(m sdk.Media, alone bool) string {
	name := m.Name
	if name == "" {
		name = m.Type
	}
	if m.URL == "" {
		c.lose(sdk.LossMedia, "a file has no address")
		return "[file " + oneLine(name) + "]"
	}
	if alone && m.Alt == "" {
		c.URL = m.URL
		return m.URL
	}
	c.lose(sdk.LossMedia, "a file is only linked")
	if alt := oneLine(m.Alt); alt != "" {
		return m.URL + " (" + alt + ")"
	}
	return m.URL
}

func (c *Content) poll(p *sdk.Poll) string {
	if p == nil {
		return ""
	}
	c.lose(sdk.LossPoll, "shown as text, without a way to vote")
	var b strings.Builder
	for i, o := range p.Options {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%d. %s", i+1, oneLine(o.Text))
		if o.Votes > 0 {
			fmt.Fprintf(&b, " (%d)", o.Votes)
		}
	}
	return b.String()
}

func (c *Content) calendar(e *sdk.CalendarEvent) string {
	if e == nil {
		return ""
	}
	c.lose(sdk.LossCalendar, "shown as text")
	lines := []string{oneLine(e.Name)}
	layout := "2006-01-02 15:04 MST"
	if e.AllDay {
		layout = "2006-01-02"
	}
	if !e.Start.IsZero() {
		when := e.Start.Format(layout)
		if !e.End.IsZero() {
			when += " – " + e.End.Format(layout)
		}
		lines = append(lines, when)
	}
	for _, line := range []string{oneLine(e.Location), e.OnlineURL, e.URL} {
		if line != "" {
			lines = append(lines, line)
		}
	}
	if e.Description != nil && e.Description.Plain != "" {
		lines = append(lines, e.Description.Plain)
	}
	return strings.Join(lines, "\n")
}

// Envelope says whom a message concerns.
type Envelope struct {
	Prefix  []byte // from MessagePrefix
	ID      string // id attribute
	Origin  bool   // also as origin-id (XEP-0359 §3.2): for rooms that do not promise to keep the attribute
	Replace string // XEP-0308: id of the first version
	ReplyTo string // XEP-0461: what the target is called
	ReplyAt string // XEP-0461: JID of its sender; may be empty
}

// MessagePrefix gives the beginning of a message, which all messages of one
// sender to one address share. From is empty on a client's stream.
func MessagePrefix(typ, from, to string) []byte {
	b := append([]byte(nil), "<message"...)
	b = xmltok.AppendAttr(b, "type", typ)
	b = xmltok.AppendAttr(b, "from", from)
	return xmltok.AppendAttr(b, "to", to)
}

// AppendMessage appends a whole message with a body.
func AppendMessage(dst []byte, e Envelope, c Content) []byte {
	dst = append(dst, e.Prefix...)
	dst = xmltok.AppendAttr(dst, "id", e.ID)
	dst = xmltok.AppendAttr(dst, "xml:lang", c.Lang)
	dst = append(dst, "><body>"...)
	dst = xmltok.AppendText(dst, c.Body)
	dst = append(dst, "</body>"...)
	if e.Replace != "" {
		dst = append(dst, "<replace xmlns='"+NSCorrect+"'"...)
		dst = xmltok.AppendAttr(dst, "id", e.Replace)
		dst = append(dst, "/>"...)
	}
	if e.ReplyTo != "" {
		dst = append(dst, "<reply xmlns='"+NSReply+"'"...)
		dst = xmltok.AppendAttr(dst, "to", e.ReplyAt)
		dst = xmltok.AppendAttr(dst, "id", e.ReplyTo)
		dst = append(dst, "/>"...)
	}
	if c.URL != "" {
		dst = append(dst, "<x xmlns='"+NSOOB+"'><url>"...)
		dst = xmltok.AppendText(dst, c.URL)
		dst = append(dst, "</url></x>"...)
	}
	if c.Unstyled {
		dst = append(dst, "<unstyled xmlns='"+NSStyling+"'/>"...)
	}
	return appendEnd(dst, e)
}

// appendEnd adds the origin-id where it is needed, and closes the message. Where
// it is not it stays away: it costs a server a quarter of its rate.
func appendEnd(dst []byte, e Envelope) []byte {
	if e.Origin {
		dst = append(dst, "<origin-id xmlns='"+packet.NSStanzaID+"'"...)
		dst = xmltok.AppendAttr(dst, "id", e.ID)
		dst = append(dst, "/>"...)
	}
	return append(dst, "</message>"...)
}

// retractFallback is what clients without XEP-0424 show.
const retractFallback = "/me retracted a previous message, but it is not supported by your client."

// AppendRetraction appends a message that takes target back, with a body for
// clients that do not know retractions (XEP-0424 §3.1, XEP-0428).
func AppendRetraction(dst []byte, e Envelope, target string) []byte {
	dst = append(dst, e.Prefix...)
	dst = xmltok.AppendAttr(dst, "id", e.ID)
	dst = append(dst, "><retract xmlns='"+NSRetract+"'"...)
	dst = xmltok.AppendAttr(dst, "id", target)
	dst = append(dst, "/><fallback xmlns='"+NSFallback+"' for='"+NSRetract+"'/><body>"+retractFallback+"</body>"...)
	dst = append(dst, "<store xmlns='"+NSHints+"'/>"...)
	return appendEnd(dst, e)
}

// AppendReactions appends a message that states the complete set of the
// sender's reactions to target (XEP-0444 §3).
func AppendReactions(dst []byte, e Envelope, target string, reactions []string) []byte {
	dst = append(dst, e.Prefix...)
	dst = xmltok.AppendAttr(dst, "id", e.ID)
	dst = append(dst, "><reactions xmlns='"+NSReactions+"'"...)
	dst = xmltok.AppendAttr(dst, "id", target)
	dst = append(dst, '>')
	for _, r := range reactions {
		dst = append(dst, "<reaction>"...)
		dst = xmltok.AppendText(dst, r)
		dst = append(dst, "</reaction>"...)
	}
	dst = append(dst, "</reactions><store xmlns='"+NSHints+"'/>"...)
	return appendEnd(dst, e)
}
