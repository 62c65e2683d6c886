package sdk

import "time"

// Visibility says who may see an item. The order is from wide to narrow; what
// crosses may only become narrower.
type Visibility uint8

// Visibilities.
const (
	VisibilityPlace     Visibility = iota // whoever can see the place
	VisibilityPublic                      // everybody, listed
	VisibilityUnlisted                    // everybody who has the link
	VisibilityFollowers                   // the author's followers
	VisibilityDirect                      // the people named
)

// SpanKind is a kind of markup.
type SpanKind uint8

// Kinds of markup.
const (
	SpanBold SpanKind = iota
	SpanItalic
	SpanStrike
	SpanCode    // inline
	SpanPre     // block
	SpanQuote   // block
	SpanLink    // Value is the URL
	SpanMention // Value is the address of who is mentioned
	SpanListItem
	SpanHeading // Value is the level, "1" to "6"
	SpanSpoiler
)

// Span marks bytes [Start,End) of Text.Plain. Spans nest or are disjoint.
type Span struct {
	Kind       SpanKind
	Start, End int
	Value      string
}

// Text is plain UTF-8 with markup beside it. Plain alone is always readable.
type Text struct {
	Plain string
	Spans []Span
}

// NewText gives plain text without markup.
func NewText(plain string) *Text { return &Text{Plain: plain} }

// Media is a file that belongs to an item.
type Media struct {
	URL      string // where it can be fetched; empty when Data holds it
	Type     string // media type, such as image/png
	Name     string // file name without folders
	Alt      string // description for people who do not see it
	Size     int64  // bytes; 0 = unknown
	Width    int    // pixels; 0 = unknown
	Height   int    // pixels; 0 = unknown
	Duration time.Duration
	Blurhash string
	Digest   string // sha-256 of the content in hex; empty = unknown
	Data     []byte // small content carried along; at most 64 KiB
}

// Mention names somebody in the text.
type Mention struct {
	Actor      Ref    // address at the link that published it
	Handle     string // as it should be shown
	Start, End int    // bytes of Text.Plain; both 0 = not in the text
}

// Emoji is a custom emoji: the short code and the image that stands for it.
type Emoji struct {
	Code  string // without colons
	Media Media
}

// PollOption is one choice of a poll.
type PollOption struct {
	Text  string
	Votes int
}

// Poll is a question with choices.
type Poll struct {
	Options  []PollOption
	Multiple bool // several choices are allowed
	Closes   time.Time
	Closed   bool
	Voters   int
}

// CalendarEvent is an appointment; the word event means something else here.
type CalendarEvent struct {
	UID         string
	Name        string
	Start, End  time.Time // End zero = open
	Zone        string    // IANA name; empty = UTC
	AllDay      bool
	Location    string
	Latitude    string // decimal text as given by the origin, so that 44.0 stays 44.0
	Longitude   string
	URL         string
	Status      string // confirmed, tentative, cancelled; empty = confirmed
	Categories  []string
	Recurrence  string // RFC 5545 RRULE value; empty = once
	MaxAttend   int    // 0 = no limit
	OnlineURL   string
	Description *Text
}

// Sealed is an end-to-end encrypted payload that the bridge cannot read.
type Sealed struct {
	Scheme string // namespace or name of the scheme
	Data   []byte
}

// Item is a thing that was published. Its parts combine: text with media and a
// poll, say. Native keeps what the origin said for links of the same kind.
type Item struct {
	ID           ItemID         // minted by the host; empty when published
	Conversation ConversationID // minted by the host
	Author       ActorID        // minted by the host; equals the actor of the creating event
	Revision     uint32         // 0 for the first version; the host counts
	Origin       Ref            // the origin network's id of the item
	ReplyTo      Target
	Thread       Target
	Quote        Target
	Title        string
	Text         *Text
	Media        []Media
	Calendar     *CalendarEvent
	Poll         *Poll
	Mentions     []Mention
	Tags         []string // without #
	Emoji        []Emoji
	Visibility   Visibility
	Warning      string // content warning; empty = none
	Language     string // BCP 47; empty = unknown
	URL          string // page for people
	Created      time.Time
	Edited       time.Time
	Sealed       *Sealed
	Native       map[string][]byte
}

// Body gives the plain text of the item, empty when it has none.
func (it *Item) Body() string {
	if it == nil || it.Text == nil {
		return ""
	}
	return it.Text.Plain
}
