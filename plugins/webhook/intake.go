package webhook

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"bridgehost/plugins/webhook/internal/body"
	"bridgehost/plugins/webhook/internal/jsonval"
	"bridgehost/plugins/webhook/internal/memory"
	"bridgehost/plugins/webhook/internal/render"
	"bridgehost/plugins/webhook/internal/seal"
	"bridgehost/plugins/webhook/internal/tmpl"
	"bridgehost/sdk/web"
)

// intake is one hook at work.
type intake struct {
	hook    *hook
	rate    *bucket
	once    *memory.Memory // delivery ids, signatures, idempotency keys
	updates *memory.Memory // update keys; the note is the epoch of the item
}

// maxText bounds the text of one message.
const maxText = 1 << 20

// WebRoutes implements web.Handler: one prefix for all hooks, with the digests
// of all tokens, so that the host refuses strangers before it reads a body.
func (l *link) WebRoutes() []web.Route {
	if len(l.config.hooks) == 0 {
		return nil
	}
	r := web.Route{Prefix: l.config.path, Methods: []string{http.MethodPost}}
	for _, name := range sortedKeys(l.config.hooks) {
		h := l.config.hooks[name]
		r.Tokens = append(r.Tokens, h.digests...)
		r.MaxBody = max(r.MaxBody, h.maxBody)
	}
	return []web.Route{r}
}

// ServeWeb implements web.Handler. The host has checked token and method.
func (l *link) ServeWeb(ctx context.Context, r *web.Request) (*web.Response, error) {
	in := l.byToken[r.Token]
	switch {
	case in == nil:
		return refuse(http.StatusNotFound, "token mismatch", "check the token in the configuration of the hook"), nil
	case r.Path != "":
		return refuse(http.StatusNotFound, "nothing is behind the token", "post to "+l.config.path+"TOKEN"), nil
	case r.Method != http.MethodPost:
		resp := refuse(http.StatusMethodNotAllowed, "only POST is answered here", "use POST")
		resp.Header["Allow"] = []string{http.MethodPost}
		return resp, nil
	}
	h := in.hook
	if wait := in.rate.take(l.now()); wait > 0 {
		return refusal(&problem{Status: http.StatusTooManyRequests, Detail: fmt.Sprintf("more than %d messages in a minute", h.rate),
			Remedy: "send fewer, or ask the operator for a higher rate"}, wait), nil
	}
	if int64(len(r.Body)) > h.maxBody {
		return refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", h.maxBody), "send less, or raise max_body"), nil
	}
	patience, resp := waitOf(r)
	if resp != nil {
		return resp, nil
	}
	post, resp := l.read(in, r)
	if resp != nil {
		return resp, nil
	}
	post.patience = patience
	return l.accept(ctx, in, post), nil
}

// post is one message on its way in.
type post struct {
	text     string
	value    jsonval.Value
	names    []string // that no other request may bring
	signed   bool     // names come from a signature: a repeat is a replay
	print    uint64   // of the body, to tell a repeat from another use of its key
	update   string   // name of the item that this is a revision of; empty = none
	patience time.Duration
	stored   bool
	after    []func(context.Context)
}

// read checks the signature and turns the body into text.
func (l *link) read(in *intake, r *web.Request) (*post, *web.Response) {
	h := in.hook
	p := &post{}
	if h.seal != nil {
		signed, err := h.seal.Verify(r.Header, r.Body, l.now())
		if err != nil {
			var why *seal.Refusal
			if !errors.As(err, &why) {
				why = &seal.Refusal{Detail: "the signature cannot be checked"}
			}
			resp := refuse(http.StatusUnauthorized, why.Detail, why.Remedy)
			resp.Header["Www-Authenticate"] = []string{`Signature realm="bridgehost"`}
			return nil, resp
		}
		p.names, p.signed = signed.Once, true
		if h.window == 0 {
			p.names = nil
		}
	}
	if resp := p.idempotency(h, r); resp != nil {
		return nil, resp
	}
	event := eventName(r)
	if h.events != nil && !h.events[event] {
		return nil, accepted(http.StatusOK, &receipt{State: "ignored", Detail: "the hook does not take this event"})
	}
	v, err := body.Decode(r.Get("Content-Type"), r.Get("Content-Encoding"), r.Body)
	if err != nil {
		return nil, badBody(err)
	}
	p.value = v
	resp := l.text(h, p, event)
	if resp != nil {
		return nil, resp
	}
	p.update = h.updateName(r, v)
	return p, nil
}

func badBody(err error) *web.Response {
	var p *body.Problem
	if !errors.As(err, &p) {
		return refuse(http.StatusBadRequest, "the body cannot be read", "check the body")
	}
	resp := refuse(p.Status, p.Detail, p.Remedy)
	if p.Status == http.StatusUnsupportedMediaType {
		resp.Header["Accept-Post"] = []string{body.Accepted}
	}
	return resp
}

// idempotency takes the sender's key of the request, for hooks without a
// signature: a signature brings names of its own.
func (p *post) idempotency(h *hook, r *web.Request) *web.Response {
	if p.signed {
		return nil
	}
	for _, name := range h.idHeaders {
		values := r.Header[name]
		if len(values) == 0 {
			continue
		}
		if len(values) > 1 || values[0] == "" || len(values[0]) > 256 {
			return refuse(http.StatusBadRequest, "the header "+name+" is empty, too long, or there twice", "send one value of at most 256 bytes")
		}
		p.names = []string{"key:" + name + ":" + values[0]}
		sum := sha256.Sum256(r.Body)
		p.print = binary.BigEndian.Uint64(sum[:8])
		return nil
	}
	return nil
}

// eventName is what the sender calls the event.
func eventName(r *web.Request) string {
	for _, name := range [...]string{"X-Github-Event", "X-Gitea-Event-Type", "X-Gitea-Event", "X-Forgejo-Event", "X-Gogs-Event", "X-Event-Type"} {
		if v := r.Get(name); v != "" && len(v) <= 64 {
			return v
		}
	}
	return ""
}

// text fills the text of the message; it is never empty.
func (l *link) text(h *hook, p *post, event string) *web.Response {
	var err error
	switch h.format {
	case formatYAML:
		p.text, err = render.YAML(p.value, maxText)
	case formatText:
		if s, ok := p.value.Scalar(); ok && p.value.Kind != jsonval.Null {
			p.text = s
		} else {
			p.text, err = render.YAML(p.value, maxText)
		}
	case formatTemplate:
		var fallback error
		p.text, fallback, err = h.template.Execute(tmpl.Input{Body: p.value, Event: event, Hook: h.name})
		if errors.Is(err, tmpl.ErrSkip) {
			return accepted(http.StatusOK, &receipt{State: "ignored", Detail: "the template shows no message for this payload"})
		}
		if fallback != nil {
			l.host.Log().Debug("template does not know a payload", "hook", h.id, "event", event)
		}
	default:
		p.text, err = render.JSON(p.value, maxText)
	}
	if err == nil && len(p.text) > maxText {
		err = render.ErrTooLong
	}
	if err != nil {
		return refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("the message would be longer than %d bytes", maxText), "send less")
	}
	p.text = render.Clean(p.text)
	if strings.TrimSpace(p.text) == "" {
		return refuse(http.StatusBadRequest, "the message would be empty", "send text that can be seen")
	}
	return nil
}

// updateName names the item that a post is about; empty when the hook has no
// update key, or the post lacks a part of it.
func (h *hook) updateName(r *web.Request, v jsonval.Value) string {
	var parts []string
	for _, k := range h.updateKey {
		part := r.Get(k.header)
		if k.header == "" {
			found, ok := k.pointer.Lookup(v)
			if !ok || found.Kind == jsonval.Null {
				return ""
			}
			text, err := render.CompactJSON(found, maxText)
			if err != nil {
				return ""
			}
			part = text
		}
		if part == "" {
			return ""
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "\n")
}

// accept stores the message once.
func (l *link) accept(ctx context.Context, in *intake, p *post) *web.Response {
	if len(p.names) == 0 {
		return l.publish(ctx, in, p, newID())
	}
	known, claim, err := in.once.Begin(ctx, p.names...)
	if err != nil {
		return notStored(err)
	}
	// The id follows from the name, so that the host drops a repeat even if
	// this process died between storing the message and remembering the name.
	id := derivedID(in.hook.id, p.names[len(p.names)-1], 0)
	if known != nil {
		return repeated(p, known, l.itemOf(ctx, in, p, id))
	}
	p.onStored(func(ctx context.Context) {
		if err := claim.Commit(ctx, p.print); err != nil {
			l.host.Log().Warn("a used name is only remembered until the next start", "hook", in.hook.id, "error", err)
		}
	})
	resp := l.publish(ctx, in, p, id)
	if !p.stored {
		claim.Abort()
	}
	return resp
}

// itemOf gives the id that the first answer to a repeated request had: with an
// update key it was that of the item.
func (l *link) itemOf(ctx context.Context, in *intake, p *post, id string) string {
	if p.update == "" {
		return id
	}
	known, claim, err := in.updates.Begin(ctx, p.update)
	switch {
	case err != nil:
		return id
	case known == nil:
		claim.Abort()
		return id
	}
	return derivedID(in.hook.id, "update:"+p.update, known.Note)
}

// repeated answers a request whose name was used before.
func repeated(p *post, known *memory.Record, id string) *web.Response {
	switch {
	case p.signed:
		return refusal(&problem{Status: http.StatusConflict, Detail: "this delivery was taken before", Remedy: "do not send it again", ID: id}, 0)
	case known.Note != p.print:
		return refusal(&problem{Status: http.StatusUnprocessableEntity, Detail: "the idempotency key was used for another body", Remedy: "use a new key for each message"}, 0)
	default:
		return accepted(http.StatusAccepted, &receipt{ID: id, State: "accepted", Duplicate: true})
	}
}

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// newID makes an id of 128 random bits.
func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails since Go 1.24
	return idEncoding.EncodeToString(b[:])
}

// derivedID makes an id that follows from hook, name and epoch.
func derivedID(hook, name string, epoch uint64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", hook, name, epoch))
	return idEncoding.EncodeToString(sum[:16])
}

// bucket bounds messages in a minute: a token bucket that holds a minute's worth.
type bucket struct {
	mu     sync.Mutex
	rate   int
	tokens float64
	last   time.Time
}

// newBucket makes a full bucket; rate 0 = no bound, a nil bucket.
func newBucket(rate int) *bucket {
	if rate <= 0 {
		return nil
	}
	return &bucket{rate: rate, tokens: float64(rate)}
}

// take takes one, or tells how long to wait.
func (b *bucket) take(now time.Time) time.Duration {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.last.IsZero() {
		b.tokens = min(float64(b.rate), b.tokens+now.Sub(b.last).Minutes()*float64(b.rate))
	}
	b.last = now
	if b.tokens >= 1 {
		b.tokens--
		return 0
	}
	return time.Duration((1 - b.tokens) / float64(b.rate) * float64(time.Minute))
}
