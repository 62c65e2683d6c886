package sign

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// KeySource finds public keys. With fresh set it reads the key again, unless it did so a short while ago: then it may give what it has.
// The owner that it gives must be checked both ways: the key names the owner, and the owner's own document lists the key (AP-09). A key
// that cannot be had because of a rule (owner, id) is refused with an *Error; other errors are wrapped as NoKey.
type KeySource interface {
	PublicKey(ctx context.Context, id string, fresh bool) (PublicKey, error)
}

// Options of a Verifier. Zero values mean the defaults.
type Options struct {
	Back  time.Duration    // how old a signature may be; default 1 h
	Ahead time.Duration    // how far ahead of our clock; default 5 min
	Plain bool             // keyIds may be http URLs; for tests
	Seen  int              // how many accepted signatures are remembered at least; default 50,000 (some 6 MB)
	Now   func() time.Time // default time.Now
}

// Verifier checks HTTP signatures of incoming requests. It is safe for use by many goroutines.
type Verifier struct {
	hosts []string
	keys  KeySource
	opt   Options

	mu       sync.Mutex
	now, old map[[32]byte]struct{} // accepted signatures, two generations
}

// NewVerifier makes a verifier for requests to the given hosts (name, or name:port where the port is not the scheme's own).
func NewVerifier(keys KeySource, hosts []string, opt Options) *Verifier {
	if opt.Back <= 0 {
		opt.Back = time.Hour
	}
	if opt.Ahead <= 0 {
		opt.Ahead = 5 * time.Minute
	}
	if opt.Seen <= 0 {
		opt.Seen = 50_000
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	v := &Verifier{keys: keys, opt: opt, now: map[[32]byte]struct{}{}}
	for _, h := range hosts {
		v.hosts = append(v.hosts, strings.ToLower(h))
	}
	return v
}

// Verified is a proved signature.
type Verified struct {
	KeyID string
	Owner string // id of the actor whose key it is
	Form  Form
	At    time.Time // as signed
	// Repeated says that Remember had this very signature before: the same request again. Whether it was taken then is for the caller,
	// who knows the activity's id, to say.
	Repeated bool

	mark [32]byte
}

// CheckActor refuses an activity of another actor than the key's owner (AP-01, FEP-fe34).
func (s Verified) CheckActor(actor string) error {
	if actor == "" || actor != s.Owner {
		return refuse(ActorMismatch, "the key belongs to another actor")
	}
	return nil
}

// Verify checks the signature of a request. Every error is an *Error. What costs nothing is checked first, so that a key is asked for
// only by requests that could be good.
func (v *Verifier) Verify(ctx context.Context, r *Request) (Verified, error) {
	c, err := v.read(r)
	if err != nil {
		return Verified{}, err
	}
	key, err := v.key(ctx, c, false)
	if err != nil {
		return Verified{}, err
	}
	err = c.prove(key.Key)
	if err != nil {
		// The key may have been changed since it was read (AP-09): once more with the key as it is now.
		fresh, ferr := v.key(ctx, c, true)
		if ferr != nil {
			return Verified{}, ferr
		}
		if same(fresh.Key, key.Key) {
			return Verified{}, err
		}
		if err = c.prove(fresh.Key); err != nil {
			return Verified{}, err
		}
		key = fresh
	}
	out := Verified{KeyID: c.keyID, Owner: key.Owner, Form: c.form, At: slices.MinFunc(c.times, time.Time.Compare)}
	out.mark = sha256.Sum256(append([]byte(c.keyID+"\x00"), c.sig...))
	v.mu.Lock()
	_, inNow := v.now[out.mark]
	_, inOld := v.old[out.mark]
	v.mu.Unlock()
	out.Repeated = inNow || inOld
	return out, nil
}

// Remember notes that the request of s was taken, so that Verify tells of its repetition. It is called after the activity is on disk:
// a sender that repeats a request because we failed must not be taken for a repeater.
func (v *Verifier) Remember(s Verified) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.now) >= v.opt.Seen {
		v.old, v.now = v.now, map[[32]byte]struct{}{}
	}
	v.now[s.mark] = struct{}{}
}

// Peek reads the id of the key of a request without any check, for counters and for refusing blocked hosts early; empty if there is none.
func Peek(r *Request) string {
	if len(r.values("Signature-Input")) > 0 {
		if in, err := parseDictionary(r.values("Signature-Input")[0]); err == nil {
			for _, p := range in[0].params {
				if s, ok := p.value.(string); ok && p.name == "keyid" {
					return s
				}
			}
		}
		return ""
	}
	if s := r.values("Signature"); len(s) > 0 {
		if p, err := parseCavage(s[0]); err == nil {
			return p["keyId"]
		}
	}
	return ""
}

// read gives the claim of a request after every check that needs no key.
func (v *Verifier) read(r *Request) (*claim, error) {
	if !v.ours(r) {
		return nil, refuse(WrongHost, "the request names another host")
	}
	var c *claim
	var err error
	if len(r.values("Signature-Input")) > 0 {
		c, err = read9421(r)
	} else {
		c, err = readCavage(r)
	}
	if err != nil {
		return nil, err
	}
	if err := v.inTime(c); err != nil {
		return nil, err
	}
	return c, v.checkKeyID(c.keyID)
}

// ours reports whether the request was made to one of our hosts, and all that names a host in it agrees.
func (v *Verifier) ours(r *Request) bool {
	if h := r.values("Host"); len(h) > 1 || len(h) == 1 && !strings.EqualFold(strings.TrimSpace(h[0]), r.Host) {
		return false
	}
	if !strings.HasPrefix(r.Target, "/") { // absolute form (RFC 9112 §3.2.2) would name a host of its own
		return false
	}
	return slices.Contains(v.hosts, strings.ToLower(r.Host)) || slices.Contains(v.hosts, r.authority())
}

func (v *Verifier) inTime(c *claim) error {
	now := v.opt.Now()
	for _, t := range c.times {
		switch d := now.Sub(t); {
		case d > v.opt.Back:
			return refuse(Stale, "signed more than %s ago; our clock says %s", v.opt.Back, httpDate(now))
		case d < -v.opt.Ahead:
			return refuse(Future, "signed more than %s ahead; our clock says %s", v.opt.Ahead, httpDate(now))
		}
	}
	if !c.expires.IsZero() && now.After(c.expires) {
		return refuse(Expired, "our clock says %s", httpDate(now))
	}
	return nil
}

// checkKeyID demands an absolute https URL; acct: and urn: ids name no document of a key.
func (v *Verifier) checkKeyID(id string) error {
	u, err := url.Parse(id)
	if err != nil || len(id) > 2048 || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !v.opt.Plain) {
		return refuse(BadKeyID, "no https URL")
	}
	host := strings.ToLower(u.Host)
	if h, port, err := net.SplitHostPort(host); err == nil && port == "443" {
		host = h
	}
	if slices.Contains(v.hosts, host) {
		return refuse(BadKeyID, "a key of ours")
	}
	return nil
}

func (v *Verifier) key(ctx context.Context, c *claim, fresh bool) (PublicKey, error) {
	key, err := v.keys.PublicKey(ctx, c.keyID, fresh)
	if err != nil {
		if ReasonOf(err) != "" {
			return PublicKey{}, err
		}
		return PublicKey{}, &Error{Reason: NoKey, Err: err}
	}
	if key.ID != c.keyID || !sameHost(key.ID, key.Owner) {
		return PublicKey{}, refuse(KeyOwner, "key and owner are not of one host")
	}
	return key, nil
}

// sameHost reports whether two URLs have the same scheme and host, which makes key and owner one origin (AP-09).
func sameHost(a, b string) bool {
	u, err := url.Parse(a)
	w, err2 := url.Parse(b)
	return err == nil && err2 == nil && u.Host != "" && u.Scheme == w.Scheme && strings.EqualFold(u.Host, w.Host)
}

func same(a, b crypto.PublicKey) bool {
	e, ok := a.(interface{ Equal(x crypto.PublicKey) bool })
	return ok && e.Equal(b)
}

// prove checks the signature with a key. The key's kind decides; a name that does not fit it is refused.
func (c *claim) prove(key crypto.PublicKey) error {
	check, err := c.algorithm(key)
	if err != nil {
		return err
	}
	for _, base := range c.bases {
		if check(base, c.sig) {
			return nil
		}
	}
	return refuse(BadSignature, "")
}

// algorithm picks how to check. Names: draft-cavage-12 §E.2 and what the fediverse uses of it; RFC 9421 §3.3.
func (c *claim) algorithm(key crypto.PublicKey) (func(base, sig []byte) bool, error) {
	name := c.alg
	switch k := key.(type) {
	case ed25519.PublicKey:
		if name == "" || name == "ed25519" || name == "hs2019" && c.form == Cavage {
			return func(base, sig []byte) bool { return ed25519.Verify(k, base, sig) }, nil
		}
	case *rsa.PublicKey:
		v15 := func(h crypto.Hash) func(base, sig []byte) bool {
			return func(base, sig []byte) bool { return rsa.VerifyPKCS1v15(k, h, sum(h, base), sig) == nil }
		}
		switch {
		case name == "", c.form == Cavage && (name == "rsa-sha256" || name == "hs2019"), c.form == RFC9421 && name == "rsa-v1_5-sha256":
			return v15(crypto.SHA256), nil // GoToSocial writes hs2019 and means this
		case c.form == Cavage && name == "rsa-sha512":
			return v15(crypto.SHA512), nil
		case c.form == RFC9421 && name == "rsa-pss-sha512":
			return func(base, sig []byte) bool {
				return rsa.VerifyPSS(k, crypto.SHA512, sum(crypto.SHA512, base), sig, &rsa.PSSOptions{SaltLength: 64}) == nil
			}, nil
		}
	}
	return nil, refuse(Algorithm, "it does not fit the key")
}

func sum(h crypto.Hash, b []byte) []byte {
	if h == crypto.SHA512 {
		s := sha512.Sum512(b)
		return s[:]
	}
	s := sha256.Sum256(b)
	return s[:]
}
