package convert

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk"
)

// Envelope says whom a message concerns.
type Envelope struct {
	Prefix  []byte    // from MessagePrefix
	ID      string    // id attribute
	Origin  bool      // also as origin-id (XEP-0359 §3.2): for rooms that do not promise to keep the attribute
	Replace string    // XEP-0308: id of the first version
	ReplyTo string    // XEP-0461: what the target is called; "" = as Content.Reply says
	ReplyAt string    // XEP-0461: JID of its sender; may be empty
	Receipt bool      // ask for a receipt (XEP-0184); in chats only
	Marker  bool      // ask for markers (XEP-0333)
	State   ChatState // XEP-0085 state to go with the message
	Nick    string    // XEP-0172; for who is not in the receiver's roster
}

// Message is one message to send.
type Message struct {
	ID   string
	Data []byte // the whole stanza
}

// MessagePrefix gives the beginning of a message, which all messages of one
// sender to one address share. From is empty on a client's stream.
func MessagePrefix(typ, from, to string) []byte {
	b := append([]byte(nil), "<message"...)
	b = xmltok.AppendAttr(b, "type", typ)
	b = xmltok.AppendAttr(b, "from", from)
	return xmltok.AppendAttr(b, "to", to)
}

// AppendItem makes the messages of an item, in order, and says what they cannot
// show. The first has the envelope's id, or the first of PartIDs if there are
// several. No messages mean that the item says nothing.
//
// A correction (Envelope.Replace) never makes more messages than the first
// version had; where it makes fewer, the others are taken back. In rooms that
// needs their stanza-ids, in old (ID.More).
func AppendItem(it *sdk.Item, e Envelope, s Style, old ...string) ([]Message, []sdk.Loss) {
	var replaced []string
	if e.Replace != "" {
		replaced = PartsOf(e.Replace)
		s.Parts = min(max(s.Parts, 1), len(replaced))
	}
	contents := ComposeAll(it, s)
	loss := contents[0].Loss
	if contents[0].Body == "" && len(contents) == 1 {
		return nil, loss
	}
	var drop []string
	if len(contents) < len(replaced) {
		drop = replaced[len(contents):]
		if s.Room {
			drop = old[min(len(old), len(contents)-1):]
		}
		if len(drop) < len(replaced)-len(contents) {
			loss = append(loss, sdk.Loss{Kind: sdk.LossUpdate, Detail: "the end of the first version stays"})
		}
	}
	ids := PartIDs(e.ID, len(contents)+len(drop))
	out := make([]Message, 0, len(ids))
	for i, c := range contents {
		part := e
		part.ID = ids[i]
		if len(replaced) > i {
			part.Replace = replaced[i]
		}
		if i > 0 {
			part.ReplyTo, part.ReplyAt = "", ""
		}
		out = append(out, Message{part.ID, AppendMessage(make([]byte, 0, len(e.Prefix)+len(c.Body)+512), part, c)})
	}
	for i, target := range drop {
		part := e
		part.ID = ids[len(contents)+i]
		out = append(out, Message{part.ID, AppendRetraction(nil, part, target)})
	}
	return out, loss
}

// AppendMessage appends a whole message with a body.
func AppendMessage(dst []byte, e Envelope, c Content) []byte {
	dst = append(dst, e.Prefix...)
	dst = xmltok.AppendAttr(dst, "id", e.ID)
	dst = xmltok.AppendAttr(dst, "xml:lang", c.Lang)
	dst = append(dst, "><body>"...)
	dst = xmltok.AppendText(dst, c.Body)
	dst = append(dst, "</body>"...)
	if c.Thread != "" {
		thread, parent, _ := strings.Cut(c.Thread, "\n")
		dst = append(dst, "<thread"...)
		dst = xmltok.AppendAttr(dst, "parent", parent)
		dst = append(xmltok.AppendText(append(dst, '>'), thread), "</thread>"...)
	}
	if e.Replace != "" {
		dst = append(dst, "<replace xmlns='"+NSCorrect+"'"...)
		dst = xmltok.AppendAttr(dst, "id", e.Replace)
		dst = append(dst, "/>"...)
	}
	if e.ReplyTo == "" && c.Reply != nil {
		e.ReplyTo, e.ReplyAt = c.Reply.ID, c.Reply.JID
	}
	if e.ReplyTo != "" {
		dst = append(dst, "<reply xmlns='"+NSReply+"'"...)
		dst = xmltok.AppendAttr(dst, "to", e.ReplyAt)
		dst = xmltok.AppendAttr(dst, "id", e.ReplyTo)
		dst = append(dst, "/>"...)
	}
	dst = appendExtras(dst, c)
	dst = appendAsked(dst, e)
	return appendEnd(dst, e)
}

// appendExtras adds what explains the body.
func appendExtras(dst []byte, c Content) []byte {
	if c.Warning != "" {
		dst = append(dst, "<spoiler xmlns='"+NSSpoiler+"'>"...)
		dst = append(xmltok.AppendText(dst, clean(c.Warning)), "</spoiler>"...)
	}
	dst = appendFallbacks(dst, c.Fallbacks)
	for _, r := range c.References {
		dst = append(dst, "<reference xmlns='"+NSReference+"' type='mention'"...)
		if r.Start < r.End {
			dst = xmltok.AppendAttr(dst, "begin", strconv.Itoa(r.Start))
			dst = xmltok.AppendAttr(dst, "end", strconv.Itoa(r.End))
		}
		dst = xmltok.AppendAttr(dst, "uri", "xmpp:"+escapeURI(r.JID))
		dst = append(dst, "/>"...)
	}
	for _, f := range c.Files {
		if c.URL == "" || described(f) {
			dst = appendFile(dst, f, len(c.Files) > 1, c.Warning != "")
		}
	}
	if c.URL != "" {
		if len(c.Files) > 0 && described(c.Files[0]) {
			dst = append(dst, "<fallback xmlns='"+NSFallback+"' for='"+NSSFS+"'><body/></fallback>"...)
		}
		dst = append(dst, "<x xmlns='"+NSOOB+"'><url>"...)
		dst = append(xmltok.AppendText(dst, c.URL), "</url>"...)
		if len(c.Files) > 0 && c.Files[0].Alt != "" {
			dst = append(xmltok.AppendText(append(dst, "<desc>"...), clean(c.Files[0].Alt)), "</desc>"...)
		}
		dst = append(dst, "</x>"...)
	}
	if c.Unstyled {
		dst = append(dst, "<unstyled xmlns='"+NSStyling+"'/>"...)
	}
	return dst
}

// appendFallbacks writes one element for each extension (XEP-0428 §2.2).
func appendFallbacks(dst []byte, fallbacks []Fallback) []byte {
	for i, f := range fallbacks {
		if i > 0 && fallbacks[i-1].For == f.For {
			continue
		}
		dst = append(dst, "<fallback xmlns='"+NSFallback+"'"...)
		dst = append(xmltok.AppendAttr(dst, "for", f.For), '>')
		for _, part := range fallbacks[i:] {
			if part.For != f.For {
				break
			}
			dst = append(dst, "<body"...)
			if part.Start < part.End {
				dst = xmltok.AppendAttr(dst, "start", strconv.Itoa(part.Start))
				dst = xmltok.AppendAttr(dst, "end", strconv.Itoa(part.End))
			}
			dst = append(dst, "/>"...)
		}
		dst = append(dst, "</fallback>"...)
	}
	return dst
}

// described reports whether there is more to say of a file than its address.
func described(f sdk.Media) bool {
	f.URL, f.Data = "", nil
	return f.Type != "" || f.Name != "" || f.Alt != "" || f.Size > 0 || f.Width > 0 || f.Height > 0 || f.Duration > 0 || f.Blurhash != "" || f.Digest != ""
}

// appendFile writes a XEP-0447 element. Clients may show a picture at once, but
// none that stands behind a warning (XEP-0447 §3.2).
func appendFile(dst []byte, f sdk.Media, named, warned bool) []byte {
	dst = append(dst, "<file-sharing xmlns='"+NSSFS+"'"...)
	disposition := "attachment"
	if major, _, _ := strings.Cut(f.Type, "/"); !warned && (major == "image" || major == "video" || major == "audio") {
		disposition = "inline"
	}
	dst = xmltok.AppendAttr(dst, "disposition", disposition)
	if named {
		dst = xmltok.AppendAttr(dst, "id", f.URL)
	}
	dst = append(dst, "><file xmlns='"+NSFile+"'>"...)
	text := func(name, value string) {
		if value == "" || value == "0" {
			return
		}
		dst = append(append(append(dst, '<'), name...), '>')
		dst = xmltok.AppendText(dst, clean(value))
		dst = append(append(append(dst, "</"...), name...), '>')
	}
	text("media-type", f.Type)
	text("name", f.Name)
	text("size", strconv.FormatInt(max(f.Size, 0), 10))
	text("width", strconv.Itoa(max(f.Width, 0)))
	text("height", strconv.Itoa(max(f.Height, 0)))
	text("length", strconv.FormatInt(max(f.Duration.Milliseconds(), 0), 10))
	text("desc", f.Alt)
	if sum, err := hex.DecodeString(f.Digest); err == nil && len(sum) == 32 {
		dst = append(dst, "<hash xmlns='"+NSHashes+"' algo='sha-256'>"...)
		dst = append(base64.StdEncoding.AppendEncode(dst, sum), "</hash>"...)
	}
	if f.Blurhash != "" {
		dst = append(dst, "<thumbnail xmlns='"+NSThumbs+"' media-type='image/blurhash'"...)
		dst = xmltok.AppendAttr(dst, "uri", blurhashURI+url.PathEscape(f.Blurhash))
		dst = append(dst, "/>"...)
	}
	dst = append(dst, "</file><sources><url-data xmlns='"+NSURLData+"'"...)
	dst = xmltok.AppendAttr(dst, "target", f.URL)
	return append(dst, "/></sources></file-sharing>"...)
}

// escapeURI escapes what a JID may have and the path of an xmpp URI may not (RFC 5122 §2.2).
func escapeURI(address string) string {
	bare, resource, full := strings.Cut(address, "/")
	if local, domain, ok := strings.Cut(bare, "@"); ok {
		bare = url.PathEscape(local) + "@" + domain
	}
	if !full {
		return bare
	}
	return bare + "/" + url.PathEscape(resource)
}

// appendAsked adds what the sender asks for and tells beside the message.
func appendAsked(dst []byte, e Envelope) []byte {
	if e.Receipt {
		dst = append(dst, "<request xmlns='"+NSReceipts+"'/>"...)
	}
	if e.Marker {
		dst = append(dst, "<markable xmlns='"+NSMarkers+"'/>"...)
	}
	dst = appendState(dst, e.State)
	if e.Nick != "" {
		dst = append(xmltok.AppendText(append(dst, "<nick xmlns='"+NSNick+"'>"...), e.Nick), "</nick>"...)
	}
	return dst
}

func appendState(dst []byte, s ChatState) []byte {
	switch s {
	case StateActive, StateComposing, StatePaused, StateInactive, StateGone:
		return append(append(append(dst, '<'), s...), " xmlns='"+NSChatStates+"'/>"...)
	}
	return dst
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
// clients that do not know retractions (XEP-0424 §3, XEP-0428).
func AppendRetraction(dst []byte, e Envelope, target string) []byte {
	dst = append(dst, e.Prefix...)
	dst = xmltok.AppendAttr(dst, "id", e.ID)
	dst = append(dst, "><retract xmlns='"+NSRetract+"'"...)
	dst = xmltok.AppendAttr(dst, "id", target)
	dst = append(dst, "/><fallback xmlns='"+NSFallback+"' for='"+NSRetract+"'/><body>"+retractFallback+"</body>"...)
	dst = append(dst, "<store xmlns='"+NSHints+"'/>"...)
	return appendEnd(dst, e)
}

// Retractions makes the messages that take back all of the targets: in a chat
// PartsOf of ID.Message, in a room ID.Stanza and ID.More.
func Retractions(e Envelope, targets ...string) []Message {
	ids := PartIDs(e.ID, len(targets))
	out := make([]Message, len(targets))
	for i, target := range targets {
		e.ID = ids[i]
		out[i] = Message{e.ID, AppendRetraction(nil, e, target)}
	}
	return out
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

// AppendChatState appends a message that only tells a chat state, which no
// archive needs (XEP-0085 §5.3, XEP-0334 §4.2).
func AppendChatState(dst []byte, e Envelope, s ChatState) []byte {
	dst = append(dst, e.Prefix...)
	dst = xmltok.AppendAttr(dst, "id", e.ID)
	dst = appendState(append(dst, '>'), s)
	return append(dst, "<no-store xmlns='"+NSHints+"'/></message>"...)
}

// AppendReceipt appends a receipt for the message target, which asked for one
// (XEP-0184 §5.4). Never answer a receipt.
func AppendReceipt(dst []byte, e Envelope, target string) []byte {
	return appendSign(dst, e, "<received xmlns='"+NSReceipts+"'", target)
}

// AppendDisplayed appends a marker that target and all before it were seen (XEP-0333 §4.2).
func AppendDisplayed(dst []byte, e Envelope, target string) []byte {
	return appendSign(dst, e, "<displayed xmlns='"+NSMarkers+"'", target)
}

func appendSign(dst []byte, e Envelope, element, target string) []byte {
	dst = append(dst, e.Prefix...)
	dst = xmltok.AppendAttr(dst, "id", e.ID)
	dst = append(append(dst, '>'), element...)
	dst = xmltok.AppendAttr(dst, "id", target)
	dst = append(dst, "/><store xmlns='"+NSHints+"'/>"...)
	return appendEnd(dst, e)
}

// AppendInvite appends a direct invitation to a room (XEP-0249 §2).
func AppendInvite(dst []byte, e Envelope, i Invite) []byte {
	dst = append(dst, e.Prefix...)
	dst = xmltok.AppendAttr(dst, "id", e.ID)
	dst = append(dst, "><x xmlns='"+NSInvite+"'"...)
	dst = xmltok.AppendAttr(dst, "jid", i.Room)
	dst = xmltok.AppendAttr(dst, "password", i.Password)
	dst = xmltok.AppendAttr(dst, "reason", i.Reason)
	if i.Thread != "" {
		dst = append(dst, " continue='true'"...)
		dst = xmltok.AppendAttr(dst, "thread", i.Thread)
	}
	return appendEnd(append(dst, "/>"...), e)
}
