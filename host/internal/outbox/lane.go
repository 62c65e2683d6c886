package outbox

import (
	"context"
	"strings"
	"time"

	"bridgehost/sdk"
)

// Defaults of AttachOptions.
const (
	defaultBatch       = 256
	defaultConcurrency = 64
)

// laneState says where a lane is.
type laneState uint8

const (
	laneIdle    laneState = iota // nothing to do, or the link is not there
	laneQueued                   // may run when its link has room
	laneRunning                  // has a worker
	laneParked                   // waits for a moment
)

// lane is the ordered queue of one place. Guarded by Outbox.mu, but for what
// belongs to its worker while it runs (settling).
type lane struct {
	id    int64
	place sdk.Ref
	link  *link
	host  string

	state  laneState
	wakeAt time.Time // monotonic: a set clock neither stops nor rushes it
	heap   int       // index in the heap of parked lanes

	depth    int64     // deliveries on disk, in flight or not
	inFlight int       // of those: taken by the worker, receipt not committed
	window   []pending // the next ones, in memory
	cursor   int64     // highest seq that was taken into memory
	last     int64     // highest seq that exists
	oldest   time.Time // when the oldest was written, about

	fails       int
	why         string    // the last failure, for operators; empty when there was none
	unsureCount int       // so many of the next deliveries may have been sent before,
	found       int64     // when they are not above this seq, the last at start
	unsureUpto  int64     // and all up to this seq
	revived     bool      // seqs no longer grow: no settling by range
	reload      bool      // start again from the disk
	amnesty     time.Time // when dead letters were revived: the age of what is
	pardoned    int64     // not above this seq counts from then
	suspects    []int64   // without a receipt when the link was last lost
	lostAt      time.Time // when that was
	crashes     map[int64]suspicion
	blank       bool   // nothing is known of deliveries before it came into memory
	idleAt      uint64 // order in which lanes became idle
}

// suspicion counts how often the plugin died with a delivery in flight.
type suspicion struct{ total, alone int }

// pending is a delivery in memory.
type pending struct {
	seq     int64
	created time.Time
	rule    sdk.RouteID
	ev      *sdk.Event // shared between lanes: never changed
	actor   int64
	item    int64
	size    int64
	broken  string // why it cannot be delivered at all
}

// laneHeap orders parked lanes by their moment.
type laneHeap []*lane

func (h laneHeap) Len() int           { return len(h) }
func (h laneHeap) Less(i, j int) bool { return h[i].wakeAt.Before(h[j].wakeAt) }
func (h laneHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heap, h[j].heap = i, j
}

// Push implements heap.Interface.
func (h *laneHeap) Push(x any) {
	if l, ok := x.(*lane); ok { // only lanes are pushed
		l.heap = len(*h)
		*h = append(*h, l)
	}
}

// Pop implements heap.Interface.
func (h *laneHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	l.heap = -1
	return l
}

// fifo is a queue of lanes.
type fifo struct {
	list []*lane
	head int
}

func (q *fifo) empty() bool { return q.head == len(q.list) }

func (q *fifo) push(l *lane) { q.list = append(q.list, l) }

func (q *fifo) pop() *lane {
	l := q.list[q.head]
	q.list[q.head] = nil
	q.head++
	switch {
	case q.head == len(q.list):
		q.list, q.head = q.list[:0], 0
	case q.head > 1024 && q.head > len(q.list)/2:
		q.list = append(q.list[:0], q.list[q.head:]...)
		q.head = 0
	}
	return l
}

// link is the lanes of one link. Guarded by Outbox.mu.
type link struct {
	id        sdk.LinkID
	to        sdk.Deliverer // nil while detached
	opts      AttachOptions
	lanes     map[*lane]struct{}
	queue     fifo
	running   int
	cancels   map[*lane]context.CancelFunc // of batches in flight
	hosts     map[string]*hostState
	careful   int // lanes with suspects, which are tried one by one
	careUntil time.Time

	delivered, failed, dead uint64
}

func newLink(id sdk.LinkID) *link {
	return &link{
		id: id, lanes: map[*lane]struct{}{}, cancels: map[*lane]context.CancelFunc{}, hosts: map[string]*hostState{},
		opts: AttachOptions{BatchMax: defaultBatch, Concurrency: defaultConcurrency},
	}
}

// slots is how many lanes may be in flight: one while suspects are tried, so
// that it is known which delivery kills the plugin.
func (k *link) slots() int {
	if k.careful > 0 && time.Now().Before(k.careUntil) {
		return 1
	}
	return k.opts.Concurrency
}

func (k *link) cancelAll() {
	for l, cancel := range k.cancels {
		cancel()
		delete(k.cancels, l)
	}
}

func (k *link) hostOf(place sdk.RemoteID) string {
	if k.opts.HostOf != nil {
		return k.opts.HostOf(place)
	}
	return domain(string(place))
}

// domain takes the remote host out of an address or a URL; other names stand
// for themselves.
func domain(s string) string {
	if _, rest, ok := strings.Cut(s, "://"); ok {
		host, _, _ := strings.Cut(rest, "/")
		return host
	}
	if _, rest, ok := strings.Cut(s, "@"); ok {
		s = rest
	}
	host, _, _ := strings.Cut(s, "/")
	return host
}

// lost is how recently a batch must have lost its link to be suspected of
// having killed it.
const lost = 5 * time.Second

// careTime bounds how long suspects slow a link down.
const careTime = 10 * time.Minute

// crashed suspects what was in flight: every delivery without a receipt counts
// the death of the plugin. Whether it was the only one makes the difference
// between an accident and a poison event.
func (k *link) crashed(now time.Time) {
	var lanes []*lane
	for l := range k.lanes {
		if len(l.suspects) > 0 && (l.state == laneRunning || now.Sub(l.lostAt) <= lost) {
			lanes = append(lanes, l)
		}
	}
	for _, l := range lanes {
		if l.crashes == nil {
			l.crashes = map[int64]suspicion{}
		}
		for _, seq := range l.suspects {
			s := l.crashes[seq]
			s.total++
			if len(lanes) == 1 && len(l.suspects) == 1 {
				s.alone++
			}
			l.crashes[seq] = s
		}
		l.suspects = nil
	}
	k.careUntil = now.Add(careTime)
	k.count()
}

// count recounts the lanes with suspects.
func (k *link) count() {
	k.careful = 0
	for l := range k.lanes {
		if len(l.crashes) > 0 {
			k.careful++
		}
	}
}

// cleared takes the suspicion from a delivery.
func (l *lane) cleared(seq int64) {
	if len(l.crashes) == 0 {
		return
	}
	if delete(l.crashes, seq); len(l.crashes) == 0 {
		l.link.count()
	}
}

// poisoned reports whether the plugin died of a delivery often enough.
func (l *lane) poisoned(seq int64, after int) bool {
	s := l.crashes[seq]
	return s.total >= after && s.alone >= min(2, after-1)
}

// hostState is the breaker of one remote host.
type hostState struct {
	failing map[*lane]struct{} // lanes whose last batch failed
	open    time.Time
	fails   int
	probing *lane
}

// admit says how long a lane has to wait for the breaker of its host; 0 lets it
// run, as the one probe when the breaker is open.
func (k *link) admit(l *lane) time.Duration {
	h := k.hosts[l.host]
	switch {
	case h == nil || h.open.IsZero():
		return 0
	case time.Until(h.open) > 0:
		return time.Until(h.open)
	case h.probing != nil && h.probing != l:
		return time.Second
	default:
		h.probing = l
		return 0
	}
}

// worked closes the breaker of a lane's host, and reports whether it was open.
func (k *link) worked(l *lane) bool {
	h := k.hosts[l.host]
	if h == nil {
		return false
	}
	delete(k.hosts, l.host)
	return !h.open.IsZero()
}

// failedHost counts a temporary failure. When several lanes of a host fail in a
// row the host is taken to be down, and is asked by one lane at a time.
func (k *link) failedHost(l *lane, trip int, backoff func(int) time.Duration) {
	h := k.hosts[l.host]
	if h == nil {
		h = &hostState{failing: map[*lane]struct{}{}}
		k.hosts[l.host] = h
	}
	h.failing[l] = struct{}{}
	if h.probing == l {
		h.probing = nil
	}
	if len(h.failing) >= trip {
		h.open = time.Now().Add(backoff(h.fails))
		h.fails++
	}
}
