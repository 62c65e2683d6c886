package codec

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"bridgehost/sdk"
	"bridgehost/sdk/web"
)

// Field says what an envelope holds: the number of its field in message
// Envelope.
type Field int32

// Fields of an envelope, see proto/bridgehost/plugin/v1/session.proto.
const (
	FieldError  Field = 3
	FieldDone   Field = 4
	FieldCancel Field = 5
	FieldPing   Field = 6

	FieldDescribe  Field = 10
	FieldOpen      Field = 11
	FieldRun       Field = 12
	FieldDeliver   Field = 14
	FieldFilter    Field = 15
	FieldSetPlaces Field = 16
	FieldInform    Field = 17
	FieldResolve   Field = 18
	FieldBackfill  Field = 19
	FieldCommand   Field = 20
	FieldServeWeb  Field = 21

	FieldPublish   Field = 30
	FieldReport    Field = 31
	FieldStoreGet  Field = 32
	FieldStoreSet  Field = 33
	FieldStoreKeys Field = 34
	FieldLog       Field = 35

	FieldDescribeReply  Field = 40
	FieldOpenReply      Field = 41
	FieldDeliverReply   Field = 42
	FieldFilterReply    Field = 43
	FieldResolveReply   Field = 44
	FieldBackfillReply  Field = 45
	FieldCommandReply   Field = 46
	FieldWebReply       Field = 47
	FieldStoreGetReply  Field = 50
	FieldStoreKeysReply Field = 51
)

// fieldFirst is the lowest field that is a body; lower ones are the envelope's own.
const fieldFirst = FieldError

// Body is what an envelope can hold: pointers to the types below.
type Body interface {
	// Field says which field of the envelope holds it.
	Field() Field
	visit(c *coder)
}

// The bodies of calls, replies and notes. Their fields are those of the
// messages of the same name.
type (
	// Failure is the reply that a call failed; see AppendError.
	Failure struct{ Err error }
	// Done is the reply of a call without a result.
	Done struct{}
	// Cancel asks the callee to end a call early.
	Cancel struct{}
	// Ping asks for a Done.
	Ping struct{}
	// Describe asks for the manifest, and says which contracts the host speaks.
	Describe struct{ ContractMin, ContractMax int }
	// DescribeReply answers Describe.
	DescribeReply struct{ Manifest sdk.Manifest }
	// Open makes the session's link; LogLevel is the lowest that the host wants.
	Open struct {
		Config   sdk.Config
		LogLevel int
	}
	// OpenReply declares the link's abilities.
	OpenReply struct {
		Facets []string
		Routes []web.Route
	}
	// Run is answered when the link has ended.
	Run struct{}
	// Deliver is sdk.Deliverer.
	Deliver struct{ Deliveries []sdk.Delivery }
	// DeliverReply answers Deliver; Err may be nil.
	DeliverReply struct {
		Receipts []sdk.Receipt
		Err      *sdk.Error
	}
	// Filter is sdk.Filter.
	Filter struct{ Events []sdk.Event }
	// FilterReply answers Filter.
	FilterReply struct{ Verdicts []sdk.Verdict }
	// SetPlaces is sdk.Placer.
	SetPlaces struct{ Places []sdk.PlaceUse }
	// Inform is sdk.Informed.
	Inform struct{ Outcomes []sdk.Outcome }
	// Resolve is sdk.Resolver.
	Resolve struct{ Address string }
	// ResolveReply answers Resolve.
	ResolveReply struct{ Resolved sdk.Resolved }
	// Backfill is sdk.Backfiller.
	Backfill struct {
		Place sdk.RemoteID
		Since time.Time
		Limit int
	}
	// BackfillReply answers Backfill.
	BackfillReply struct{ Count int }
	// Command is sdk.Commander.
	Command struct{ Invocation sdk.Invocation }
	// CommandReply answers Command.
	CommandReply struct{ Text string }
	// ServeWeb is web.Handler.
	ServeWeb struct{ Request web.Request }
	// WebReply answers ServeWeb.
	WebReply struct{ Response web.Response }
	// Publish is sdk.Host's Publish.
	Publish struct{ Events []sdk.Event }
	// Report is sdk.Host's Report.
	Report struct{ Reports []sdk.Report }
	// StoreGet is sdk.Store's Get.
	StoreGet struct{ Key string }
	// StoreGetReply answers StoreGet; nil when there is no such key.
	StoreGetReply struct{ Value []byte }
	// StoreSet is sdk.Store's Set; a nil value deletes the key.
	StoreSet struct {
		Key   string
		Value []byte
	}
	// StoreKeys is sdk.Store's Keys.
	StoreKeys struct{ Prefix, After string }
	// StoreKeysReply answers StoreKeys.
	StoreKeysReply struct{ Keys []string }
	// Log is a record of the plugin's log.
	Log struct {
		Time    time.Time
		Level   int
		Message string
		Attrs   []Attr
	}
	// Attr is one fact of a log record.
	Attr struct{ Key, Value string }
)

// Field implements Body.
func (*Failure) Field() Field { return FieldError }

// Field implements Body.
func (*Done) Field() Field { return FieldDone }

// Field implements Body.
func (*Cancel) Field() Field { return FieldCancel }

// Field implements Body.
func (*Ping) Field() Field { return FieldPing }

// Field implements Body.
func (*Describe) Field() Field { return FieldDescribe }

// Field implements Body.
func (*DescribeReply) Field() Field { return FieldDescribeReply }

// Field implements Body.
func (*Open) Field() Field { return FieldOpen }

// Field implements Body.
func (*OpenReply) Field() Field { return FieldOpenReply }

// Field implements Body.
func (*Run) Field() Field { return FieldRun }

// Field implements Body.
func (*Deliver) Field() Field { return FieldDeliver }

// Field implements Body.
func (*DeliverReply) Field() Field { return FieldDeliverReply }

// Field implements Body.
func (*Filter) Field() Field { return FieldFilter }

// Field implements Body.
func (*FilterReply) Field() Field { return FieldFilterReply }

// Field implements Body.
func (*SetPlaces) Field() Field { return FieldSetPlaces }

// Field implements Body.
func (*Inform) Field() Field { return FieldInform }

// Field implements Body.
func (*Resolve) Field() Field { return FieldResolve }

// Field implements Body.
func (*ResolveReply) Field() Field { return FieldResolveReply }

// Field implements Body.
func (*Backfill) Field() Field { return FieldBackfill }

// Field implements Body.
func (*BackfillReply) Field() Field { return FieldBackfillReply }

// Field implements Body.
func (*Command) Field() Field { return FieldCommand }

// Field implements Body.
func (*CommandReply) Field() Field { return FieldCommandReply }

// Field implements Body.
func (*ServeWeb) Field() Field { return FieldServeWeb }

// Field implements Body.
func (*WebReply) Field() Field { return FieldWebReply }

// Field implements Body.
func (*Publish) Field() Field { return FieldPublish }

// Field implements Body.
func (*Report) Field() Field { return FieldReport }

// Field implements Body.
func (*StoreGet) Field() Field { return FieldStoreGet }

// Field implements Body.
func (*StoreGetReply) Field() Field { return FieldStoreGetReply }

// Field implements Body.
func (*StoreSet) Field() Field { return FieldStoreSet }

// Field implements Body.
func (*StoreKeys) Field() Field { return FieldStoreKeys }

// Field implements Body.
func (*StoreKeysReply) Field() Field { return FieldStoreKeysReply }

// Field implements Body.
func (*Log) Field() Field { return FieldLog }

func (b *Failure) visit(c *coder) {
	var e wireError
	if c.enc {
		e = fromError(b.Err)
	}
	c.errorPart(&e)
	if !c.enc {
		b.Err = e.err()
	}
}
func (*Done) visit(*coder)   {}
func (*Cancel) visit(*coder) {}
func (*Ping) visit(*coder)   {}
func (*Run) visit(*coder)    {}
func (b *Describe) visit(c *coder) {
	c.int(1, &b.ContractMin)
	c.int(2, &b.ContractMax)
}
func (b *DescribeReply) visit(c *coder) {
	for f := c.enter(1, true); c.step(&f); {
		c.manifest(&b.Manifest)
	}
}
func (b *Open) visit(c *coder) {
	for f := c.enter(1, true); c.step(&f); {
		c.config(&b.Config)
	}
	c.int(2, &b.LogLevel)
}
func (b *OpenReply) visit(c *coder) {
	stringList(c, 1, &b.Facets)
	list(c, 2, &b.Routes, (*coder).webRoute)
}
func (b *Deliver) visit(c *coder) { units(c, 1, &b.Deliveries, (*coder).delivery) }
func (b *DeliverReply) visit(c *coder) {
	list(c, 1, &b.Receipts, (*coder).receipt)
	c.errorField(2, &b.Err)
}
func (b *Filter) visit(c *coder)      { units(c, 1, &b.Events, (*coder).event) }
func (b *FilterReply) visit(c *coder) { units(c, 1, &b.Verdicts, (*coder).verdict) }
func (b *SetPlaces) visit(c *coder)   { list(c, 1, &b.Places, (*coder).placeUse) }
func (b *Inform) visit(c *coder)      { list(c, 1, &b.Outcomes, (*coder).outcome) }
func (b *Resolve) visit(c *coder)     { c.string(1, &b.Address) }
func (b *ResolveReply) visit(c *coder) {
	for f := c.enter(1, true); c.step(&f); {
		c.resolved(&b.Resolved)
	}
}
func (b *Backfill) visit(c *coder) {
	id(c, 1, &b.Place)
	c.time(2, &b.Since)
	c.int(3, &b.Limit)
}
func (b *BackfillReply) visit(c *coder) { c.int(1, &b.Count) }
func (b *Command) visit(c *coder) {
	for f := c.enter(1, true); c.step(&f); {
		c.invocation(&b.Invocation)
	}
}
func (b *CommandReply) visit(c *coder) { c.string(1, &b.Text) }
func (b *ServeWeb) visit(c *coder) {
	for f := c.enter(1, true); c.step(&f); {
		c.webRequest(&b.Request)
	}
}
func (b *WebReply) visit(c *coder)      { c.webResponse(&b.Response) }
func (b *Publish) visit(c *coder)       { units(c, 1, &b.Events, (*coder).event) }
func (b *Report) visit(c *coder)        { list(c, 1, &b.Reports, (*coder).report) }
func (b *StoreGet) visit(c *coder)      { c.string(1, &b.Key) }
func (b *StoreGetReply) visit(c *coder) { c.optionalBytes(1, &b.Value) }
func (b *StoreSet) visit(c *coder) {
	c.string(1, &b.Key)
	c.optionalBytes(2, &b.Value)
}
func (b *StoreKeys) visit(c *coder) {
	c.string(1, &b.Prefix)
	c.string(2, &b.After)
}
func (b *StoreKeysReply) visit(c *coder) { stringList(c, 1, &b.Keys) }
func (b *Log) visit(c *coder) {
	c.time(1, &b.Time)
	c.int(2, &b.Level)
	c.string(3, &b.Message)
	list(c, 4, &b.Attrs, (*coder).attr)
}

func (c *coder) attr(a *Attr) {
	c.string(1, &a.Key)
	c.string(2, &a.Value)
}

// Envelope is an envelope whose body is not read yet.
type Envelope struct {
	ID      uint64
	Timeout time.Duration // 0 = none
	Field   Field         // 0 = none that this version knows
	Body    []byte        // part of the frame's memory
}

// AppendEnvelope appends an envelope to a frame.
func AppendEnvelope(frame []byte, id uint64, timeout time.Duration, body Body) []byte {
	c := newWriter(frame)
	for f := c.enter(1, true); c.step(&f); {
		c.uint64(1, &id)
		c.duration(2, &timeout)
		for g := c.enter(fieldNumber(body.Field()), true); c.step(&g); {
			body.visit(c)
		}
	}
	return c.finish()
}

// AppendCredit appends a grant of credit to a frame.
func AppendCredit(frame []byte, credit uint32) []byte {
	c := newWriter(frame)
	c.uint32(2, &credit)
	return c.finish()
}

// Decode reads an envelope's body, whose Field must be that of into.
func Decode(b []byte, into Body) error {
	c := newReader(b, false)
	for c.walk() {
		into.visit(c)
	}
	return c.close(fmt.Sprintf("%T", into))
}

// ReadFrame hands out the envelopes and the credit of a frame. It stops at the
// first error, its own or one of the functions'.
func ReadFrame(frame []byte, envelope func(Envelope) error, credit func(uint32) error) error {
	for len(frame) > 0 {
		num, typ, n := protowire.ConsumeTag(frame)
		if n < 0 {
			return fmt.Errorf("decode frame: %w", protowire.ParseError(n))
		}
		frame = frame[n:]
		size := protowire.ConsumeFieldValue(num, typ, frame)
		if size < 0 {
			return fmt.Errorf("decode frame: %w", protowire.ParseError(size))
		}
		value := frame[:size]
		frame = frame[size:]
		var err error
		switch {
		case num == 1 && typ == protowire.BytesType:
			content, _ := protowire.ConsumeBytes(value)
			var e Envelope
			if e, err = readEnvelope(content); err == nil {
				err = envelope(e)
			}
		case num == 2 && typ == protowire.VarintType:
			v, _ := protowire.ConsumeVarint(value)
			err = credit(uint32(v))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func readEnvelope(b []byte) (Envelope, error) {
	var e Envelope
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return e, fmt.Errorf("decode envelope: %w", protowire.ParseError(n))
		}
		b = b[n:]
		size := protowire.ConsumeFieldValue(num, typ, b)
		if size < 0 {
			return e, fmt.Errorf("decode envelope: %w", protowire.ParseError(size))
		}
		switch {
		case num == 1 && typ == protowire.VarintType:
			e.ID, _ = protowire.ConsumeVarint(b)
		case num == 2 && typ == protowire.VarintType:
			v, _ := protowire.ConsumeVarint(b)
			e.Timeout = time.Duration(v)
		case num >= fieldNumber(fieldFirst) && typ == protowire.BytesType:
			e.Field = Field(num)
			e.Body, _ = protowire.ConsumeBytes(b)
		}
		b = b[size:]
	}
	return e, nil
}
