package actor

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"bridgehost/plugins/activitypub/internal/handle"
	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/plugins/activitypub/internal/store"
	"bridgehost/sdk"
	"bridgehost/sdk/web"
)

// Media types of answers. Lemmy compares the whole header with a list of three.
const (
	typeActivity = "application/activity+json"
	typeJRD      = "application/jrd+json"
	typeHTML     = "text/html; charset=utf-8"
	typeAtom     = "application/atom+xml; charset=utf-8"
	typeJSON     = "application/json"
	typeXRD      = "application/xrd+xml; charset=utf-8"
	typeNodeInfo = `application/json; profile="http://nodeinfo.diaspora.software/ns/schema/%s#"`
)

// Server answers GET requests about actors.
type Server struct{ o Options }

// Options say what the server works with. All but Secure are needed.
type Options struct {
	Site   Site
	People *People
	Store  *store.Store
	// PublicKey gives the key of an actor as PEM, and makes one if there is none.
	PublicKey func(ctx context.Context, name string) (string, error)
	// Signer gives the actor that signed a GET request.
	Signer  func(ctx context.Context, r *web.Request) (string, error)
	Secure  bool // documents only for signed requests (authorised fetch)
	Version string
}

// New makes a server; no I/O.
func New(o Options) *Server { return &Server{o: o} }

// Refuse gives an answer that says why. After is for 429 and 503.
func Refuse(status int, reason string, after time.Duration) *web.Response {
	body, err := json.Marshal(map[string]string{"error": reason})
	if err != nil {
		body = []byte(`{"error":"unknown"}`) // strings always encode
	}
	r := &web.Response{Status: status, Header: map[string][]string{"Content-Type": {typeJSON}, "Cache-Control": {"no-store"}}, Body: body}
	if after > 0 {
		r.Header["Retry-After"] = []string{strconv.Itoa(int((after + time.Second - 1) / time.Second))}
	}
	return r
}

// RefuseError gives the answer to an error by its kind.
func RefuseError(err error) *web.Response {
	switch kind := sdk.KindOf(err); {
	case kind == sdk.NotFound:
		return Refuse(http.StatusNotFound, "there is no such actor", 0)
	case kind == sdk.Gone:
		return Refuse(http.StatusGone, "the actor was deleted", 0)
	case kind == sdk.RateLimited:
		return Refuse(http.StatusTooManyRequests, "too many requests", time.Minute)
	case kind.Temporary():
		return Refuse(http.StatusServiceUnavailable, "cannot be answered at the moment", 30*time.Second)
	}
	return Refuse(http.StatusInternalServerError, "a defect of the bridge; the operator's log says more", 0)
}

func answer200(kind string, body []byte) *web.Response {
	return &web.Response{Status: http.StatusOK, Header: map[string][]string{"Content-Type": {kind}}, Body: body}
}

func asJSON(kind string, v any) *web.Response {
	body, err := json.Marshal(v)
	if err != nil {
		return RefuseError(sdk.AsError("write an answer", sdk.Errorf(sdk.Internal, "write an answer", "%w", err)))
	}
	return answer200(kind, body)
}

// document answers with a document, cached by the host's own rules: not at all, since it may be for the signer only.
func document(o *object.Object) *web.Response {
	body, err := o.Document()
	if err != nil {
		return RefuseError(sdk.Errorf(sdk.Internal, "write "+o.ID(), "%w", err))
	}
	r := answer200(typeActivity, body)
	r.Header["Vary"] = []string{"Accept, Signature"}
	return r
}

func open(r *web.Response) *web.Response {
	if r.Status == http.StatusOK {
		r.Header["Access-Control-Allow-Origin"] = []string{"*"}
		r.Header["Cache-Control"] = []string{"max-age=300"}
	}
	return r
}

// WantsDocument reports whether a client asks for ActivityStreams rather than for a page.
func WantsDocument(accept string) bool {
	for part := range strings.SplitSeq(strings.ToLower(accept), ",") {
		name, rest, _ := strings.Cut(strings.TrimSpace(part), ";")
		switch strings.TrimSpace(name) {
		case "text/html", "application/xhtml+xml":
			return false
		case "application/activity+json", "application/json":
			return true
		case "application/ld+json":
			return rest == "" || object.IsDocument(part) || !strings.Contains(rest, "profile")
		}
	}
	return false
}

// WebFinger answers /.well-known/webfinger (RFC 7033).
func (s *Server) WebFinger(ctx context.Context, r *web.Request) *web.Response {
	asked := first(r.Query["resource"])
	if asked == "" {
		return Refuse(http.StatusBadRequest, "the parameter resource is missing", 0)
	}
	name := ""
	if ref, ok := s.o.Site.Parse(asked); ok && ref.Part == PartActor {
		name = ref.Name
	} else if user, host, err := handle.Split(asked); err == nil && host == s.o.Site.Domain {
		name = user
		if user+"@"+host == s.o.Site.Handle(InstanceName) {
			name = InstanceName
		}
	}
	if name == "" {
		return Refuse(http.StatusNotFound, "there is no such actor", 0)
	}
	if name != InstanceName {
		p, err := s.o.People.ByName(ctx, name)
		if err != nil {
			return RefuseError(err)
		}
		name = p.Name
	}
	return open(asJSON(typeJRD, s.o.Site.finger(name, asked)))
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// HostMeta answers /.well-known/host-meta (RFC 6415).
func (s *Server) HostMeta() *web.Response {
	return open(answer200(typeXRD, []byte(`<?xml version="1.0" encoding="UTF-8"?>`+"\n"+
		`<XRD xmlns="http://docs.oasis-open.org/ns/xri/xrd-1.0"><Link rel="lrdd" type="application/jrd+json" template="`+
		s.o.Site.Base+`/.well-known/webfinger?resource={uri}"/></XRD>`+"\n")))
}

// NodeInfo answers /.well-known/nodeinfo with an empty path, and the documents of
// schema 2.0 and 2.1 below it (FEP-f1d5, FEP-2677).
func (s *Server) NodeInfo(path string) *web.Response {
	base := s.o.Site.Base + "/.well-known/nodeinfo/"
	version := strings.Trim(path, "/")
	switch version {
	case "":
		return open(asJSON(typeJSON, map[string]any{"links": []any{
			map[string]string{"rel": "http://nodeinfo.diaspora.software/ns/schema/2.0", "href": base + "2.0"},
			map[string]string{"rel": "http://nodeinfo.diaspora.software/ns/schema/2.1", "href": base + "2.1"},
			map[string]string{"rel": "https://www.w3.org/ns/activitystreams#Application", "href": s.o.Site.Actor(InstanceName)},
		}}))
	case "2.0", "2.1":
		return open(asJSON(strings.Replace(typeNodeInfo, "%s", version, 1), map[string]any{
			"version": version, "software": map[string]string{"name": "bridgehost", "version": s.o.Version},
			"protocols": []string{"activitypub"}, "services": map[string]any{"inbound": []string{}, "outbound": []string{}},
			"openRegistrations": false, "usage": map[string]any{"users": map[string]any{}}, "metadata": map[string]any{},
		}))
	}
	return Refuse(http.StatusNotFound, "there are only the versions 2.0 and 2.1", 0)
}

// Get answers a GET of anything below Site.Path; path is what follows it.
func (s *Server) Get(ctx context.Context, path string, r *web.Request) *web.Response {
	ref, ok := parsePath(strings.TrimPrefix(path, "/"))
	if !ok || ref.Part == PartInbox || ref.Part == PartSharedInbox {
		return Refuse(http.StatusNotFound, "nothing is served here", 0)
	}
	if ref.Name == InstanceName {
		return s.instance(ctx, ref)
	}
	p, err := s.o.People.ByName(ctx, ref.Name)
	if err != nil {
		return RefuseError(err)
	}
	if canonical := s.canonical(p.Name, ref); p.Name != ref.Name {
		return &web.Response{Status: http.StatusMovedPermanently, Header: map[string][]string{"Location": {canonical}}}
	}
	switch ref.Part {
	case PartIcon:
		return icon(p.Actor.Avatar)
	case PartFeed:
		return s.feed(p)
	}
	accept := strings.Join(r.Header["Accept"], ",")
	if !WantsDocument(accept) && (ref.Part == PartActor || ref.Part == PartObject) {
		return s.page(p, ref)
	}
	return s.asked(ctx, p, ref, r)
}

func (s *Server) canonical(name string, ref Ref) string {
	switch {
	case ref.ID != "":
		return s.o.Site.Named(name, ref.Part, ref.ID)
	case ref.Part != PartActor:
		return s.o.Site.Of(name, ref.Part)
	}
	return s.o.Site.Actor(name)
}

// asked answers for a program.
func (s *Server) asked(ctx context.Context, p Person, ref Ref, r *web.Request) *web.Response {
	signer := ""
	if r.Get("Signature") != "" || r.Get("Signature-Input") != "" {
		id, err := s.o.Signer(ctx, r)
		if err != nil && s.o.Secure && ref.Part != PartActor {
			return Refuse(http.StatusUnauthorized, err.Error(), 0)
		}
		if err == nil {
			signer = id
		}
	}
	if ref.Part == PartActor {
		return s.actor(ctx, p, signer)
	}
	if s.o.Secure && signer == "" {
		return Refuse(http.StatusUnauthorized, "requests must be signed here", 0)
	}
	switch ref.Part {
	case PartObject, PartReplies:
		return s.object(p, ref, signer)
	case PartActivity:
		var a json.RawMessage
		if ok, err := s.o.Store.Get(p.Name, KindActivity, ref.ID, &a); err != nil || !ok {
			return missing(err, "there is no such activity")
		}
		o, err := object.Parse(a)
		if err != nil {
			return RefuseError(sdk.Errorf(sdk.Internal, "read activity "+ref.ID, "%w", err))
		}
		if public, _ := o.Public(); !public {
			return missing(nil, "there is no such activity")
		}
		return document(o)
	}
	return s.collection(p, ref, r)
}

func missing(err error, reason string) *web.Response {
	if err != nil {
		return RefuseError(err)
	}
	return Refuse(http.StatusNotFound, reason, 0)
}

func (s *Server) actor(ctx context.Context, p Person, signer string) *web.Response {
	key, err := s.o.PublicKey(ctx, p.Name)
	if err != nil {
		return RefuseError(err)
	}
	o := s.o.Site.Document(p.Name, p.Actor, key)
	if s.o.Secure && signer == "" {
		o = s.o.Site.Bare(o)
	}
	return document(o)
}

func (s *Server) instance(ctx context.Context, ref Ref) *web.Response {
	switch ref.Part {
	case PartActor:
		key, err := s.o.PublicKey(ctx, InstanceName)
		if err != nil {
			return RefuseError(err)
		}
		return document(s.o.Site.Instance(key))
	case PartOutbox:
		return document(list(s.o.Site.Of(InstanceName, PartOutbox), nil))
	}
	return Refuse(http.StatusNotFound, "nothing is served here", 0)
}

func icon(m *sdk.Media) *web.Response {
	if m == nil || len(m.Data) == 0 {
		return Refuse(http.StatusNotFound, "there is no icon", 0)
	}
	kind := m.Type
	if !slices.Contains([]string{"image/png", "image/jpeg", "image/gif", "image/webp"}, kind) {
		kind = "application/octet-stream" // AP-08: never what somebody's file says it is
	}
	r := open(answer200(kind, m.Data))
	r.Header["Content-Security-Policy"] = []string{"default-src 'none'; sandbox"}
	r.Header["X-Content-Type-Options"] = []string{"nosniff"}
	return r
}

// object answers with a post, a tombstone, or the answers to a post.
func (s *Server) object(p Person, ref Ref, signer string) *web.Response {
	var gone time.Time
	if was, err := s.o.Store.Get(p.Name, KindGone, ref.ID, &gone); err != nil {
		return RefuseError(err)
	} else if was {
		o := object.New("Tombstone").Set("id", s.o.Site.Named(p.Name, PartObject, ref.ID)).SetTime("deleted", gone)
		r := document(o)
		r.Status = http.StatusGone
		return r
	}
	var post Post
	ok, err := s.o.Store.Get(p.Name, KindPost, ref.ID, &post)
	if err != nil || !ok {
		return missing(err, "there is no such post")
	}
	if !post.Public() && !s.reads(p, &post, signer) {
		return Refuse(http.StatusNotFound, "there is no such post", 0)
	}
	if ref.Part == PartReplies {
		return s.replies(p, ref)
	}
	o, err := object.Parse(post.Object)
	if err != nil {
		return RefuseError(sdk.Errorf(sdk.Internal, "read "+post.ID, "%w", err))
	}
	return document(o)
}

// reads reports whether a signer may read what is not public.
func (s *Server) reads(p Person, post *Post, signer string) bool {
	if signer == "" {
		return false
	}
	if slices.Contains(post.To, signer) {
		return true
	}
	if post.Visibility == sdk.VisibilityDirect {
		return false
	}
	var f Follower
	ok, err := s.o.Store.Get(p.Name, KindFollower, signer, &f)
	return ok && err == nil && f.Accepted
}

func pageNumber(r *web.Request) (int, bool) {
	n, err := strconv.Atoi(first(r.Query["page"]))
	return n, err == nil && n > 0 && n < 1<<20
}

func pageURL(id string, n int) string {
	return id + "?" + url.Values{"page": {strconv.Itoa(n)}}.Encode()
}
