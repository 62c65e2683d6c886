package fetch

import (
	"context"
	"crypto"
	"errors"
	"sync"
	"time"

	"bridgehost/plugins/activitypub/internal/keys"
	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/plugins/activitypub/internal/sign"
	"bridgehost/sdk"
)

// KeyOptions bound the memory of keys. Zero values mean the defaults.
type KeyOptions struct {
	Entries int           // keys in memory; default 10,000
	Keep    time.Duration // how long a key is used without asking; default 24 h
	Again   time.Duration // how soon a key that failed a signature may be read again; default 5 min
}

// Keys reads the public keys of other actors. It is the sign.KeySource of a Verifier and of proofs.
type Keys struct {
	c   *Client
	opt KeyOptions

	mu sync.Mutex
	m  *lru[string, knownKey]
}

type knownKey struct {
	key sign.PublicKey
	err error
	at  time.Time
}

var _ sign.KeySource = (*Keys)(nil)

// NewKeys makes a source of keys that reads by c.
func NewKeys(c *Client, opt KeyOptions) *Keys {
	if opt.Entries <= 0 {
		opt.Entries = 10_000
	}
	if opt.Keep <= 0 {
		opt.Keep = 24 * time.Hour
	}
	if opt.Again <= 0 {
		opt.Again = 5 * time.Minute
	}
	return &Keys{c: c, opt: opt, m: newLRU[string, knownKey](opt.Entries, 0)}
}

// PublicKey gives a key with its owner, which lists the key in its own document. With fresh set the documents are read again, but not
// more often than each Options.Again. Failures are remembered as long as the client's (AP-18).
func (k *Keys) PublicKey(ctx context.Context, id string, fresh bool) (sign.PublicKey, error) {
	now := k.c.opt.Now()
	k.mu.Lock()
	e, ok := k.m.get(id)
	k.mu.Unlock()
	if age := now.Sub(e.at); ok {
		switch {
		case e.err != nil && age < k.c.keepFailure(e.err), e.err == nil && !fresh && age < k.opt.Keep, e.err == nil && fresh && age < k.opt.Again:
			return e.key, e.err
		}
	}
	key, err := k.load(ctx, id, fresh || ok)
	if r := ReasonOf(err); err != nil && (ctx.Err() != nil || r == Budget || r == Cancelled || r == "" && sign.ReasonOf(err) == "") {
		return key, err
	}
	k.mu.Lock()
	k.m.put(id, knownKey{key, err, now}, 1)
	k.mu.Unlock()
	return key, err
}

// Forget drops a key, such as after an Update of its owner.
func (k *Keys) Forget(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.m.drop(id)
}

// load reads the address of a key: a whole actor, a part of one, or the key alone. Key and owner are of one origin, and the owner's own
// document has the key (AP-09).
func (k *Keys) load(ctx context.Context, id string, fresh bool) (sign.PublicKey, error) {
	e, err := k.c.read(ctx, id, fresh)
	if err != nil {
		return sign.PublicKey{}, err
	}
	found, ok := findKey(e.obj, id)
	if !ok && e.obj.ID() == id {
		found, ok = e.obj.Key(), true
	}
	if !ok {
		return sign.PublicKey{}, ownerError("no such key at its address")
	}
	owner := found.Owner
	if owner == "" && e.obj.Class() == object.ClassActor {
		owner = e.obj.ID()
	}
	if !object.SameOrigin(owner, id) || !object.SameOrigin(e.url, id) {
		return sign.PublicKey{}, ownerError("key and owner are not of one origin")
	}
	actor := e.obj
	if owner != e.obj.ID() || !sameAddress(owner, e.url) {
		if actor, err = k.c.document(ctx, owner, fresh); err != nil {
			return sign.PublicKey{}, err
		}
	}
	if err := actor.CheckKeys(); err != nil || actor.ID() != owner {
		return sign.PublicKey{}, ownerError("the owner's document is not the owner's")
	}
	listed, ok := findKey(actor, id)
	if !ok {
		return sign.PublicKey{}, ownerError("the owner does not list the key")
	}
	if listed.PEM == "" && listed.Multibase == "" {
		listed = found // the owner names the key, which stands at its own address
	}
	pub, err := parseKey(listed)
	if err != nil {
		return sign.PublicKey{}, fail(sdk.Invalid, "key of "+hostOf(id), Malformed, err)
	}
	return sign.PublicKey{ID: id, Owner: owner, Key: pub}, nil
}

func ownerError(detail string) error { return &sign.Error{Reason: sign.KeyOwner, Detail: detail} }

// findKey gives the key with an id out of an actor's lists.
func findKey(o *object.Object, id string) (object.Key, bool) {
	for _, k := range append(o.PublicKeys(), o.AssertionMethods()...) {
		if k.ID == id {
			return k, true
		}
	}
	return object.Key{}, false
}

func parseKey(k object.Key) (crypto.PublicKey, error) {
	switch {
	case k.PEM != "":
		return keys.ParsePublicPEM(k.PEM)
	case k.Multibase != "":
		return keys.ParseMultikey(k.Multibase)
	default:
		return nil, errors.New("a key without content")
	}
}
