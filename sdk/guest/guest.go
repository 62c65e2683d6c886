// Package guest is for authors of WASM modules in Go (docs/wasm-abi.md). It
// needs the standard library alone and reads messages lazily: a view walks the
// encoded event for the field that is asked for, and a patch carries only what
// changes, so that a filter costs about a microsecond.
//
// A module registers its handlers in init or in a package variable; main stays empty:
//
//	func init() {
//		guest.Register(guest.Handlers{Filter: func(e guest.Event) guest.Verdict {
//			it, ok := e.Item()
//			if !ok {
//				return guest.Pass()
//			}
//			return e.Patch().SetText(strings.ToUpper(it.Text().Plain())).Verdict()
//		}})
//	}
//
//	func main() {}
//
// and is built by
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o filter.wasm .
//
// Handlers run one at a time. Views are valid until the handler returns; the
// strings that they give are copies and may be kept, the bytes are not.
package guest

// Handlers are what a module does. Nil handlers are abilities that it lacks.
type Handlers struct {
	// Open gets the configuration, once for each instance. Its error is shown to the operator.
	Open func(c Config) error
	// Run is called once when the link starts.
	Run func() error
	// Filter decides about one event.
	Filter func(e Event) Verdict
	// Deliver takes deliveries for one place, in order, and returns a receipt for each.
	Deliver func(batch []Delivery) []Receipt
	// Timer is called when a timer of SetTimer has run out.
	Timer func(id uint32) error
	// Command answers a command with text for people.
	Command func(c Invocation) (string, error)
	// SetPlaces hears that the operator's routes use other places.
	SetPlaces func(p Places) error
	// Inform hears what became of events that the module published.
	Inform func(outcomes []Outcome) error
	// Resolve looks up an address that a person wrote; the error NotFound says
	// that nobody has it.
	Resolve func(address string) (NewActor, error)
	// Web answers HTTP requests to Routes.
	Web    func(r WebRequest) (WebResponse, error)
	Routes []WebRoute
}

// handlers are those of this module.
var handlers Handlers

// Register sets the module's handlers.
func Register(h Handlers) { handlers = h }

// Kinds of call: field numbers of GuestRequest.
const (
	callOpen      = 1
	callFilter    = 2
	callDeliver   = 3
	callTimer     = 4
	callCommand   = 5
	callWeb       = 6
	callSetPlaces = 7
	callInform    = 8
	callResolve   = 9
	callRun       = 11
)

// replyBuf is used again for each reply.
var replyBuf []byte

// Handle answers one request as bh_handle does. It is exported for tests of
// modules on the author's machine; the reply is valid until the next call.
func Handle(request []byte) []byte {
	num, body, _, ok := next(request)
	if !ok {
		return nil
	}
	lastChange.event = nil
	out := replyBuf[:0]
	switch num {
	case callOpen:
		out = handleOpen(out, body)
	case callFilter:
		if handlers.Filter != nil {
			out = handlers.Filter(Event{body}).append(out)
		}
	case callDeliver:
		out = handleDeliver(out, body)
	case callTimer:
		if handlers.Timer != nil {
			out = appendError(out, handlers.Timer(uint32(varintField(body, 1))))
		}
	case callCommand:
		out = handleCommand(out, body)
	case callWeb:
		out = handleWeb(out, body)
	case callSetPlaces:
		if handlers.SetPlaces != nil {
			out = appendError(out, handlers.SetPlaces(Places{body, 1}))
		}
	case callInform:
		out = handleInform(out, body)
	case callResolve:
		out = handleResolve(out, body)
	case callRun:
		if handlers.Run != nil {
			out = appendError(out, handlers.Run())
		}
	}
	replyBuf = out
	return out
}

// handleOpen tells which facets the module has.
func handleOpen(out, body []byte) []byte {
	config, _ := field(body, 1)
	if handlers.Open != nil {
		if err := handlers.Open(Config{config}); err != nil {
			return appendError(out, err)
		}
	}
	var open []byte
	for _, f := range []struct {
		name string
		has  bool
	}{{"filter", handlers.Filter != nil}, {"deliverer", handlers.Deliver != nil}, {"commander", handlers.Command != nil},
		{"placer", handlers.SetPlaces != nil}, {"informed", handlers.Inform != nil}, {"resolver", handlers.Resolve != nil}, {"web", handlers.Web != nil}} {
		if f.has {
			open = appendString(open, 1, f.name)
		}
	}
	for _, r := range handlers.Routes {
		open = appendBytes(open, 2, r.append(nil))
	}
	return appendBytes(out, 10, open)
}

func handleDeliver(out, body []byte) []byte {
	if handlers.Deliver == nil {
		return out
	}
	var batch []Delivery
	each(body, 1, func(b []byte) { batch = append(batch, Delivery{b}) })
	var reply []byte
	for _, r := range handlers.Deliver(batch) {
		reply = appendBytes(reply, 1, r.append(nil))
	}
	return appendBytes(out, 11, reply)
}

func handleCommand(out, body []byte) []byte {
	if handlers.Command == nil {
		return out
	}
	inv, _ := field(body, 1)
	text, err := handlers.Command(Invocation{inv})
	if err != nil {
		return appendError(out, err)
	}
	return appendBytes(out, 12, appendString(nil, 1, text))
}

func handleWeb(out, body []byte) []byte {
	if handlers.Web == nil {
		return out
	}
	req, _ := field(body, 1)
	resp, err := handlers.Web(WebRequest{req})
	if err != nil {
		return appendError(out, err)
	}
	return appendBytes(out, 13, resp.append(nil))
}

func handleInform(out, body []byte) []byte {
	if handlers.Inform == nil {
		return out
	}
	var outcomes []Outcome
	each(body, 1, func(b []byte) { outcomes = append(outcomes, Outcome{b}) })
	return appendError(out, handlers.Inform(outcomes))
}

func handleResolve(out, body []byte) []byte {
	if handlers.Resolve == nil {
		return out
	}
	actor, err := handlers.Resolve(str(body, 1))
	if err != nil {
		return appendError(out, err)
	}
	return appendBytes(out, 14, appendBytes(nil, 1, appendBytes(nil, 1, actor.append(nil))))
}
