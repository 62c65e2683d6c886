package social

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"bridgehost/plugins/xmpp/internal/social/pubsub"
	"bridgehost/sdk"
)

// source is a node that is read. Its fields are guarded by Social.mu.
type source struct {
	at    pubsub.Address
	place sdk.RemoteID // of a route; empty in a gateway
	// passive is a node that is only written to: it is looked at, not read.
	passive bool
	own     string         // gateway: whose microblog it is, or stands below
	by      []string       // gateway: foreign actors that follow it, at most maxBy
	more    int            // gateway: how many follow it beside these
	post    pubsub.Address // the item whose comments or attachments these are
	// parent is the node that post is in; nil for a node that is read for itself.
	parent *source

	due     time.Time // when it is to be looked at; zero = not by time
	loaded  bool      // what is stored was read
	changed bool      // something is to be stored
	leaving bool
	as      string // who subscribed
	ready   bool   // the access model was asked for since the stream is up
	model   string // access model, empty = not known
	proves  bool   // the service proves ids of attachments (XEP-0470 §4.5)
	seen    []seen // oldest first
}

// seen is an item that was read.
type seen struct {
	ID       string   `json:"id"`
	Hash     string   `json:"h"`           // of the payload
	Actor    string   `json:"a,omitempty"` // who published it, empty = the node
	Share    string   `json:"s,omitempty"` // the item that it repeats
	Comments []string `json:"c,omitempty"` // URIs of nodes
	Time     int64    `json:"t,omitempty"` // of the last change, Unix seconds
}

// maxSeen is how many items of a node are remembered.
const maxSeen = 100

func (src *source) find(id string) *seen {
	for i := range src.seen {
		if src.seen[i].ID == id {
			return &src.seen[i]
		}
	}
	return nil
}

func (src *source) remember(n seen) {
	src.forget(n.ID)
	src.seen = append(src.seen, n)
	if len(src.seen) > maxSeen {
		src.seen = slices.Delete(src.seen, 0, len(src.seen)-maxSeen)
	}
	src.changed = true
}

func (src *source) forget(id string) {
	src.seen = slices.DeleteFunc(src.seen, func(n seen) bool { return n.ID == id })
	src.changed = true
}

// maxBy bounds the followers that are remembered: they only say as whom the
// microblog can be subscribed to.
const maxBy = 50

func (src *source) follow(foreign string, now time.Time) {
	if slices.Contains(src.by, foreign) {
		return
	}
	if len(src.by) < maxBy {
		src.by = append(src.by, foreign)
	} else {
		src.more++
	}
	src.changed, src.leaving = true, false
	src.due = now
}

func (src *source) unfollow(foreign string, now time.Time) {
	switch i := slices.Index(src.by, foreign); {
	case i >= 0:
		src.by = slices.Delete(src.by, i, i+1)
	case src.more > 0:
		src.more--
	default:
		return
	}
	src.changed = true
	src.due = now
	src.leaving = len(src.by) == 0 && src.more == 0
}

// stored is how a source is kept.
type stored struct {
	URI  string   `json:"uri"`
	Own  string   `json:"own,omitempty"`
	By   []string `json:"by,omitempty"`
	More int      `json:"more,omitempty"`
	Seen []seen   `json:"seen,omitempty"`
}

const sourcePrefix = "social/src/"

func (src *source) key() string {
	sum := sha256.Sum256([]byte(src.at.URI()))
	return sourcePrefix + hex.EncodeToString(sum[:16])
}

// loadFeeds makes the sources of microblogs that foreign actors follow.
func (s *Social) loadFeeds(ctx context.Context) error {
	after := ""
	for {
		keys, err := s.host.Store().Keys(ctx, sourcePrefix, after)
		if err != nil {
			return fmt.Errorf("list followed feeds: %w", err)
		}
		if len(keys) == 0 {
			s.poke()
			return nil
		}
		for _, key := range keys {
			after = key
			b, err := s.host.Store().Get(ctx, key)
			if err != nil {
				return fmt.Errorf("read followed feed: %w", err)
			}
			var st stored
			if b == nil || json.Unmarshal(b, &st) != nil || st.Own == "" {
				continue
			}
			at, err := pubsub.ParseURI(st.URI)
			if err != nil {
				continue
			}
			s.mu.Lock()
			if s.sources[at] == nil {
				s.sources[at] = &source{at: at, own: st.Own, by: st.By, more: st.More, seen: st.Seen, loaded: true, due: s.o.Now()}
			}
			s.mu.Unlock()
		}
	}
}

// load reads what is kept of a source, once.
func (s *Social) load(ctx context.Context, src *source) error {
	if src.parent != nil || src.loaded {
		return nil
	}
	b, err := s.host.Store().Get(ctx, src.key())
	if err != nil {
		return fmt.Errorf("read what is known of %s: %w", src.at.URI(), err)
	}
	var st stored
	if b != nil && json.Unmarshal(b, &st) != nil {
		st = stored{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	src.seen, src.loaded = append(st.Seen, src.seen...), true
	if src.own != "" {
		src.more += st.More
	}
	for _, by := range st.By {
		if !slices.Contains(src.by, by) && src.own != "" {
			src.by = append(src.by, by)
		}
	}
	return nil
}

// maxStored is the largest value of the store, with room to spare.
const maxStored = 60 << 10

// save keeps what is known of a source, if that changed. Comments are not kept:
// the host knows what it had.
func (s *Social) save(ctx context.Context, src *source) error {
	s.mu.Lock()
	if src.parent != nil || !src.changed {
		s.mu.Unlock()
		return nil
	}
	src.changed = false
	st := stored{URI: src.at.URI(), Own: src.own, By: slices.Clone(src.by), More: src.more, Seen: slices.Clone(src.seen)}
	gone := src.leaving
	s.mu.Unlock()
	var value []byte
	for !gone {
		var err error
		if value, err = json.Marshal(st); err != nil {
			return fmt.Errorf("encode what is known of %s: %w", st.URI, err)
		}
		if len(value) <= maxStored || len(st.Seen) == 0 {
			break
		}
		st.Seen = st.Seen[(len(st.Seen)+1)/2:]
	}
	if err := s.host.Store().Set(ctx, src.key(), value); err != nil {
		s.mu.Lock()
		src.changed = true
		s.mu.Unlock()
		return fmt.Errorf("keep what is known of %s: %w", st.URI, err)
	}
	return nil
}
