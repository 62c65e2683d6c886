// Package inbox takes activities that other servers post: it refuses what is not
// the signer's to say (FEP-fe34), turns the rest into events, and answers 202 only
// when the host has them on disk.
package inbox

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"bridgehost/plugins/activitypub/internal/actor"
	"bridgehost/plugins/activitypub/internal/convert"
	"bridgehost/plugins/activitypub/internal/fetch"
	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/plugins/activitypub/internal/sign"
	"bridgehost/plugins/activitypub/internal/store"
	"bridgehost/sdk"
	"bridgehost/sdk/web"
)

// maxRequests is how many requests to other servers one activity may cause (AP-20).
const maxRequests = 12

// Verifier checks signatures; *sign.Verifier is one.
type Verifier interface {
	Verify(ctx context.Context, r *sign.Request) (sign.Verified, error)
	Remember(s sign.Verified)
}

// Far knows the actors of other servers; *far.Registry is one.
type Far interface {
	Known(id string) (convert.Profile, bool, error)
	ByID(ctx context.Context, id string) (convert.Profile, error)
	Read(ctx context.Context, id string) (convert.Profile, error)
	Handle(id string) string
	Forget(id string) error
}

// People knows whose actors are here; *actor.People is one.
type People interface {
	ByName(ctx context.Context, name string) (actor.Person, error)
}

// Options say what an inbox works with. All are needed.
type Options struct {
	Site     actor.Site
	Gateway  sdk.LinkID // the other link
	Store    *store.Store
	People   People
	Far      Far
	Verifier Verifier
	// Get reads a document at its id, its origin checked.
	Get     func(ctx context.Context, id string) (*object.Object, error)
	Publish func(ctx context.Context, events ...sdk.Event) error
	// Refused tells whether an actor or its server is blocked by the operator.
	Refused func(id string) bool
	Now     func() time.Time
	Log     *slog.Logger
}

// Inbox takes activities. It is safe for concurrent use.
type Inbox struct {
	o Options

	mu     sync.Mutex
	counts map[string]uint64 // by verb and what became of it
}

// New makes an inbox; no I/O.
func New(o Options) *Inbox { return &Inbox{o: o, counts: map[string]uint64{}} }

// ignored says why an activity that was rightly signed leads to nothing; it is answered 202.
type ignored string

// Error implements error.
func (e ignored) Error() string { return string(e) }

// Counts gives how many activities ended how, by reason.
func (in *Inbox) Counts() map[string]uint64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	out := make(map[string]uint64, len(in.counts))
	for k, n := range in.counts {
		out[k] = n
	}
	return out
}

func (in *Inbox) count(reason string) {
	in.mu.Lock()
	in.counts[reason]++
	in.mu.Unlock()
}

func (in *Inbox) refuse(status int, reason, text string) *web.Response {
	in.count(reason)
	return actor.Refuse(status, text, 0)
}

func (in *Inbox) accepted(reason string) *web.Response {
	in.count(reason)
	return &web.Response{Status: http.StatusAccepted}
}

// Post answers a POST to an inbox, shared or not.
func (in *Inbox) Post(ctx context.Context, r *web.Request) *web.Response {
	kind := strings.ToLower(r.Get("Content-Type"))
	if !object.IsDocument(kind) && !strings.HasPrefix(kind, "application/ld+json") {
		return in.refuse(http.StatusUnsupportedMediaType, "content_type", "post application/activity+json")
	}
	a, err := object.Parse(r.Body)
	if err == nil {
		err = a.CheckActivity()
	}
	if err != nil {
		return in.refuse(http.StatusBadRequest, reasonOf(err), err.Error())
	}
	who := a.Actor()
	id, _ := a.Target()
	_, known, err := in.o.Far.Known(who)
	switch {
	case err != nil:
		return in.failed(err)
	case a.Is("Delete") && id == who && !known:
		return in.accepted("delete_of_unknown") // AP-22: the key may be gone as well, and nothing of it is here
	case in.o.Site.Owns(who):
		return in.refuse(http.StatusForbidden, "own_actor", "the actor is one of ours")
	case in.o.Refused(who):
		return in.refuse(http.StatusForbidden, "blocked", "the operator does not bridge this server")
	}
	signed, err := in.o.Verifier.Verify(ctx, sign.FromWeb(r))
	if err == nil {
		err = signed.CheckActor(who)
	}
	if err != nil {
		return in.unsigned(err)
	}
	if signed.Repeated {
		return in.accepted("repeated")
	}
	err = in.take(fetch.WithBudget(ctx, maxRequests), a)
	var ign ignored
	switch {
	case err == nil:
		in.count("taken_" + strings.ToLower(a.Type()))
	case errors.As(err, &ign):
		in.count(string(ign))
	case errors.Is(err, convert.ErrIgnored), errors.Is(err, convert.ErrKind):
		in.count("meaningless")
	case sdk.KindOf(err).Temporary(), sdk.KindOf(err) == sdk.Internal:
		return in.failed(err)
	default:
		in.o.Log.Info("activity has no effect", "type", a.Type(), "reason", err)
		in.count("invalid")
	}
	in.o.Verifier.Remember(signed)
	return &web.Response{Status: http.StatusAccepted}
}

// reasonOf gives what counters call a refusal.
func reasonOf(err error) string {
	var o *object.Error
	if errors.As(err, &o) {
		return string(o.Reason)
	}
	if r := sign.ReasonOf(err); r != "" {
		return string(r)
	}
	return "refused"
}

func (in *Inbox) unsigned(err error) *web.Response {
	var s *sign.Error
	if errors.As(err, &s) {
		return in.refuse(http.StatusUnauthorized, reasonOf(err), s.Public())
	}
	if sdk.KindOf(err).Temporary() {
		return in.failed(err)
	}
	return in.refuse(http.StatusUnauthorized, "signature", "the signature cannot be verified")
}

// failed asks the sender to try again.
func (in *Inbox) failed(err error) *web.Response {
	in.count("try_again")
	in.o.Log.Warn("activity not taken for now", "error", err)
	r := actor.RefuseError(err)
	if r.Status < 500 && r.Status != http.StatusTooManyRequests {
		r.Status = http.StatusServiceUnavailable
	}
	return r
}
