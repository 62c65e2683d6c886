package pep

import (
	"fmt"
	"slices"
	"sync"

	"bridgehost/plugins/xmpp/internal/social/pubsub"
)

// Access is the access model of an item (XEP-0060 §4.5).
type Access uint8

// Access models.
const (
	Open     Access = iota // everybody
	Presence               // who follows the actor
)

// String gives the name of XEP-0060.
func (a Access) String() string {
	if a == Open {
		return "open"
	}
	return "presence"
}

// Item is an item of a virtual node.
type Item struct {
	ID        string
	Publisher string // bare JID
	Access    Access
	Origin    string // URI by which the host knows the item; empty = that of the item itself
	XML       string // payload
}

// Limits bound what the store keeps. Zero values mean the default named at each field.
type Limits struct {
	Items  int   // of one node; default 500
	Bytes  int64 // of one actor; default 4 MiB
	Item   int   // bytes of one payload; default 256 KiB
	Actors int   // with a file; default 20,000
	Disk   int64 // bytes of all files together; default 2 GiB
	Memory int64 // bytes of actors held in memory; default 64 MiB
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&l.Items, 500)
	set(&l.Item, 256<<10)
	set(&l.Actors, 20_000)
	if l.Bytes == 0 {
		l.Bytes = 4 << 20
	}
	if l.Disk == 0 {
		l.Disk = 2 << 30
	}
	if l.Memory == 0 {
		l.Memory = 64 << 20
	}
	return l
}

// ErrTooLarge is returned for a payload that is over the limit.
var ErrTooLarge = fmt.Errorf("item is too large")

// Store keeps the items of virtual nodes. It is safe for concurrent use.
type Store struct {
	dir    string
	limits Limits

	mu     sync.Mutex
	actors map[string]*actor
	used   []string // addresses of actors, longest unused first
	memory int64
	files  int   // -1 = not counted yet
	size   int64 // of all files, as far as is known; what rewriting saves is found when it is counted anew
}

// NewStore makes a store in a folder, which need not exist; without one it keeps
// all in memory. No I/O.
func NewStore(dir string, limits Limits) *Store {
	return &Store{dir: dir, limits: limits.withDefaults(), actors: map[string]*actor{}, files: -1}
}

// actor is the nodes of one address, in memory as on disk.
type actor struct {
	owner, path string
	users       int // calls that hold it; guarded by Store.mu
	counted     int64

	mu     sync.Mutex
	loaded bool
	nodes  map[string][]Item // oldest first
	order  []key             // all items, oldest first
	live   int64             // bytes of items
	whole  int64             // bytes of the file that are in good order
}

type key struct{ node, id string }

// hold gives an actor, locked and read, and what ends the hold.
func (s *Store) hold(owner string) (*actor, func(), error) {
	s.mu.Lock()
	a := s.actors[owner]
	if a == nil {
		a = &actor{owner: owner, nodes: map[string][]Item{}}
		if s.dir != "" {
			a.path = fileName(s.dir, owner)
		}
		s.actors[owner] = a
	}
	a.users++
	if i := slices.Index(s.used, owner); i >= 0 {
		s.used = slices.Delete(s.used, i, i+1)
	}
	s.used = append(s.used, owner)
	s.mu.Unlock()
	a.mu.Lock()
	release := func() {
		size := a.live + 8<<10
		a.mu.Unlock()
		s.release(a, size)
	}
	if !a.loaded {
		if err := a.load(s.limits); err != nil {
			release()
			return nil, nil, err
		}
	}
	return a, release, nil
}

// release ends a hold, and forgets actors that nobody holds where memory is short.
func (s *Store) release(a *actor, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.users--
	s.memory += size - a.counted
	a.counted = size
	for i := 0; i < len(s.used) && s.memory > s.limits.Memory; {
		old := s.actors[s.used[i]]
		if old.users > 0 {
			i++
			continue
		}
		s.memory -= old.counted
		delete(s.actors, s.used[i])
		s.used = slices.Delete(s.used, i, i+1)
	}
}

func (a *actor) load(limits Limits) error {
	if a.path == "" {
		a.loaded = true
		return nil
	}
	whole, err := readLog(a.path, a.owner, func(l line) {
		switch {
		case l.Owner != "":
		case l.Gone:
			a.remove(l.Node, l.ID)
		default:
			a.put(l.Node, Item{ID: l.ID, Publisher: l.Publisher, Access: l.Access, Origin: l.Origin, XML: l.XML}, limits)
		}
	})
	if err != nil {
		return err
	}
	a.whole, a.loaded = whole, true
	return nil
}

func itemSize(node string, it Item) int64 {
	return int64(len(node) + len(it.ID) + len(it.Publisher) + len(it.Origin) + len(it.XML) + 64)
}

// put puts an item in memory, and drops the oldest beyond the limits. An item that
// was there is replaced, and then the newest (XEP-0060 §12.14).
func (a *actor) put(node string, it Item, limits Limits) (replaced bool) {
	replaced = a.remove(node, it.ID)
	a.nodes[node] = append(a.nodes[node], it)
	a.order = append(a.order, key{node, it.ID})
	a.live += itemSize(node, it)
	if list := a.nodes[node]; len(list) > limits.Items {
		a.drop(node, list[0].ID)
	}
	for a.live > limits.Bytes && len(a.order) > 1 {
		a.drop(a.order[0].node, a.order[0].id)
	}
	return replaced
}

// drop removes an item with the comments on it and its attachments.
func (a *actor) drop(node, id string) {
	a.remove(node, id)
	for _, n := range dependents(a.owner, node, id) {
		for _, it := range slices.Clone(a.nodes[n]) {
			a.drop(n, it.ID)
		}
	}
}

// remove takes an item out of memory.
func (a *actor) remove(node, id string) bool {
	list := a.nodes[node]
	i := slices.IndexFunc(list, func(it Item) bool { return it.ID == id })
	if i < 0 {
		return false
	}
	a.live -= itemSize(node, list[i])
	if list = slices.Delete(list, i, i+1); len(list) == 0 {
		delete(a.nodes, node)
	} else {
		a.nodes[node] = list
	}
	if i := slices.Index(a.order, key{node, id}); i >= 0 {
		a.order = slices.Delete(a.order, i, i+1)
	}
	return true
}

// write appends lines to the file, or writes it anew when more than half of it
// is of no use.
func (a *actor) write(lines ...line) error {
	if a.path == "" {
		return nil
	}
	var b []byte
	var err error
	if a.whole == 0 {
		lines = append([]line{{Owner: a.owner}}, lines...)
	}
	for _, l := range lines {
		if b, err = l.encode(b); err != nil {
			return err
		}
	}
	if total := a.whole + int64(len(b)); total > 64<<10 && total > 2*a.live {
		return a.rewrite()
	}
	if err := appendLog(a.path, a.whole, b); err != nil {
		return err
	}
	a.whole += int64(len(b))
	return nil
}

func (a *actor) rewrite() error {
	b, err := line{Owner: a.owner}.encode(nil)
	if err != nil {
		return err
	}
	for _, k := range a.order {
		it, _ := a.get(k.node, k.id)
		if b, err = asLine(k.node, it).encode(b); err != nil {
			return err
		}
	}
	if err := replaceLog(a.path, b); err != nil {
		return err
	}
	a.whole = int64(len(b))
	return nil
}

func asLine(node string, it Item) line {
	return line{Node: node, ID: it.ID, Publisher: it.Publisher, Access: it.Access, Origin: it.Origin, XML: it.XML}
}

func (a *actor) get(node, id string) (Item, bool) {
	for _, it := range a.nodes[node] {
		if it.ID == id {
			return it, true
		}
	}
	return Item{}, false
}

// Put keeps an item, and reports whether there was one with its id. It is on
// disk when Put returns without an error.
func (s *Store) Put(at pubsub.Address, it Item) (replaced bool, err error) {
	it.ID = at.Item
	if len(it.XML) > s.limits.Item {
		return false, fmt.Errorf("keep item of %d bytes: %w", len(it.XML), ErrTooLarge)
	}
	a, release, err := s.hold(at.Service)
	if err != nil {
		return false, err
	}
	defer release()
	if a.path != "" {
		if err := s.makeRoom(a.whole == 0, itemSize(at.Node, it)); err != nil {
			return false, err
		}
	}
	replaced = a.put(at.Node, it, s.limits)
	if err := a.write(asLine(at.Node, it)); err != nil {
		a.forget()
		return false, err
	}
	return replaced, nil
}

// forget makes the next user read the file again: after a write that went wrong,
// memory may be ahead of it.
func (a *actor) forget() {
	a.loaded, a.nodes, a.order, a.live, a.whole = false, map[string][]Item{}, nil, 0, 0
}

// Delete removes an item with the comments on it and its attachments, and
// reports whether it was there.
func (s *Store) Delete(at pubsub.Address) (bool, error) {
	a, release, err := s.hold(at.Service)
	if err != nil {
		return false, err
	}
	defer release()
	before := slices.Clone(a.order)
	if _, ok := a.get(at.Node, at.Item); !ok {
		return false, nil
	}
	a.drop(at.Node, at.Item)
	var lines []line
	for _, k := range before {
		if _, ok := a.get(k.node, k.id); !ok {
			lines = append(lines, line{Node: k.node, ID: k.id, Gone: true})
		}
	}
	if err := a.write(lines...); err != nil {
		a.forget()
		return false, err
	}
	return true, nil
}

// Get gives one item.
func (s *Store) Get(at pubsub.Address) (Item, bool, error) {
	a, release, err := s.hold(at.Service)
	if err != nil {
		return Item{}, false, err
	}
	defer release()
	it, ok := a.get(at.Node, at.Item)
	return it, ok, nil
}

// Items gives the items of a node, newest first.
func (s *Store) Items(at pubsub.Address) ([]Item, error) {
	a, release, err := s.hold(at.Service)
	if err != nil {
		return nil, err
	}
	defer release()
	list := slices.Clone(a.nodes[at.Node])
	slices.Reverse(list)
	return list, nil
}
