package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"bridgehost/plugins/xmpp/internal/convert"
	"bridgehost/plugins/xmpp/internal/mam"
	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
)

// catchUp fills the hole and lets the live messages go on that wait for it. A
// hole that cannot be read does not hold them up for ever: it is read later, and
// until then our position stays before it. Called with filling set.
func (a *Account) catchUp(ctx context.Context) {
	a.mu.Lock()
	epoch := a.epoch
	first := a.at.At.IsZero()
	look := len(a.looks) > 0 && !a.hole
	if look {
		a.looks = a.looks[1:]
	}
	a.mu.Unlock()
	began := a.o.Now()
	if look {
		a.lookThrough(ctx)
		a.release(ctx, epoch, false)
		return
	}
	for {
		err := a.fillInTries(ctx, epoch)
		if !a.same(epoch) || ctx.Err() != nil {
			return // what waits goes on waiting for the stream that is up now
		}
		a.filled(err)
		if first {
			a.dropOlder(began)
		}
		if again := a.release(ctx, epoch, err == nil); !again {
			return
		}
	}
}

// lookThrough reads the last hole once more. What has been taken already is taken
// no second time by the host.
func (a *Account) lookThrough(ctx context.Context) {
	a.mu.Lock()
	question := a.since
	a.mu.Unlock()
	for range a.o.MaxCount/mam.PageSize + 1 {
		list, page, err := a.page(ctx, question)
		if err != nil {
			a.o.Log.Debug("hole not looked through again", "error", err)
			return
		}
		for _, m := range list {
			a.mu.Lock()
			known := a.known[m.StanzaID(a.o.JID)]
			a.mu.Unlock()
			if !known {
				a.take(ctx, m)
			}
		}
		if page.Complete || page.Last == "" || page.Last == question.After {
			return
		}
		question = mam.Question{After: page.Last}
	}
}

// lookLater plans to look through the hole that begins with a question once more.
func (a *Account) lookLater(begin mam.Question) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.since, a.looks, a.known = begin, a.looks[:0], map[string]bool{}
	for _, d := range lookAgain {
		a.looks = append(a.looks, a.o.Now().Add(d))
	}
}

// note keeps that a message was taken, while there are looks. Called with mu held.
func (a *Account) note(id string) {
	if id != "" && len(a.looks) > 0 && len(a.known) < maxKnown {
		a.known[id] = true
	}
}

// maxKnown bounds the ids that are kept; the host knows the others as well.
const maxKnown = 20_000

// fillInTries fills the hole, and tries that again where it may help.
func (a *Account) fillInTries(ctx context.Context, epoch int) error {
	for try := 1; ; try++ {
		err := a.fill(ctx)
		if err == nil || try == tries || refused(err) || !a.same(epoch) {
			return err
		}
		timer := time.NewTimer(time.Second << try)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// same reports whether the stream is still the one of the epoch.
func (a *Account) same(epoch int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.epoch == epoch
}

// refused reports whether asking again cannot help: the server has no archive.
func refused(err error) bool {
	var refusal *packet.Error
	return errors.As(err, &refusal) && !refusal.Temporary()
}

// filled notes how a catch-up ended.
func (a *Account) filled(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hole = err != nil && !refused(err)
	switch {
	case a.hole:
		a.again = a.o.Now().Add(tryAgain)
		a.o.Log.Warn("what was said while we were away cannot be read from the account's archive yet", "retry", tryAgain, "error", err)
	case err != nil:
		a.o.Log.Warn("the account's server has no archive for us: what was said while we were away is missing unless the server has kept it", "error", err)
		if a.at.At.IsZero() {
			a.at.At = a.o.Now()
		}
	}
}

// dropOlder leaves out of the live messages that wait those that the server has
// kept since a time before the first start: they were said to nobody's bridge.
func (a *Account) dropOlder(than time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held = slices.DeleteFunc(a.held, func(m *packet.Message) bool {
		d, late := m.Delay()
		return late && d.Stamp.Before(than.Add(-overlap))
	})
}

// release hands over the live messages that waited, and lets the next ones go
// on. It reports true where some must be read from the archive after all.
func (a *Account) release(ctx context.Context, epoch int, archive bool) (again bool) {
	for {
		a.mu.Lock()
		list := a.held
		a.held = nil
		if len(list) == 0 {
			defer a.mu.Unlock()
			if again, a.lost = a.lost && archive, false; again {
				return true
			}
			// Where the archive is not read, nothing can be done for what held had no place for.
			if a.epoch == epoch {
				a.filling, a.taken = false, map[string]bool{}
			}
			return false
		}
		hole := a.hole
		a.mu.Unlock()
		for _, m := range list {
			id := a.archiveID(m)
			if id != "" && a.taken[id] {
				continue
			}
			a.mu.Lock()
			a.note(id)
			a.mu.Unlock()
			a.o.Take(ctx, m)
			if id != "" && !hole {
				a.heard(ctx, position{ID: id, At: a.o.Now()})
			}
		}
	}
}

// fill hands over what the archive has since our position. Without a position
// nothing has been missed: the archive is asked where it ends.
func (a *Account) fill(ctx context.Context) error {
	if a.o.MaxAge < 0 {
		return nil
	}
	at, question := a.from()
	if at.At.IsZero() {
		return a.toEnd(ctx)
	}
	a.lookLater(question)
	for count, stepped := 0, false; ; {
		list, page, err := a.page(ctx, question)
		var refusal *packet.Error
		if !stepped && question.After != "" && errors.As(err, &refusal) && refusal.Condition == "item-not-found" {
			stepped = true
			question = mam.Question{Start: at.At.Add(-overlap)} // where we stood has expired (XEP-0059 §2.2)
			continue
		}
		if err != nil {
			return err
		}
		for _, m := range list {
			a.take(ctx, m)
		}
		if page.Last != "" {
			at = position{ID: page.Last, At: stamp(list, at.At)}
			a.heard(ctx, at)
		}
		if page.Complete || page.Last == "" || page.Last == question.After {
			return nil
		}
		if count += len(list); count >= a.o.MaxCount {
			a.o.Log.Warn("more was said while we were away than may be caught up; the rest is left out", "max_count", a.o.MaxCount)
			return a.toEnd(ctx)
		}
		question.After = page.Last
	}
}

// from says where the hole begins.
func (a *Account) from() (position, mam.Question) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch oldest := a.o.Now().Add(-a.o.MaxAge); {
	case a.at.At.Before(oldest):
		return a.at, mam.Question{Start: oldest}
	case a.at.ID != "":
		return a.at, mam.Question{After: a.at.ID}
	default: // the archive was empty then, and its clock may be another
		return a.at, mam.Question{Start: a.at.At.Add(-overlap)}
	}
}

// toEnd moves our position to the end of the archive.
func (a *Account) toEnd(ctx context.Context) error {
	_, end, err := a.page(ctx, mam.Question{Back: true, Max: 1})
	if err != nil {
		return err
	}
	a.heard(ctx, position{ID: end.Last, At: a.o.Now()})
	return nil
}

// stamp gives when the archive took the last of a page's messages, or at.
func stamp(list []*packet.Message, at time.Time) time.Time {
	for _, m := range slices.Backward(list) {
		if d, ok := m.Delay(); ok && d.Stamp.After(at) {
			return d.Stamp
		}
	}
	return at
}

// take hands over a message of the archive, unless our account itself has sent it.
func (a *Account) take(ctx context.Context, m *packet.Message) {
	id := m.StanzaID(a.o.JID)
	if packet.SameJID(convert.Bare(m.From), a.o.JID) || a.taken[id] {
		return
	}
	a.taken[id] = true
	a.mu.Lock()
	a.note(id)
	a.mu.Unlock()
	a.o.Take(ctx, m)
}

// page asks for a page. Results come before the answer on the stream, but the
// answer overtakes what waits for the handler, so the page ends when the result
// that it names as the last has been handled.
func (a *Account) page(ctx context.Context, ask mam.Question) ([]*packet.Message, mam.Page, error) {
	a.mu.Lock()
	a.queries++
	query := "bh" + strconv.FormatInt(a.o.Now().UnixNano(), 36) + "-" + strconv.Itoa(a.queries)
	a.query, a.results, a.last = query, nil, ""
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.query, a.results = "", nil
		a.mu.Unlock()
	}()
	payload, err := ask.Payload(query)
	if err != nil {
		return nil, mam.Page{}, fmt.Errorf("ask archive: %w", err)
	}
	answer, err := a.ask(ctx, &packet.IQ{Attrs: packet.Attrs{Type: "set"}, Payload: payload})
	if err != nil {
		return nil, mam.Page{}, fmt.Errorf("ask archive: %w", err)
	}
	page := mam.ReadPage(answer.Payload)
	timer := time.NewTimer(a.o.Timeout)
	defer timer.Stop()
	for {
		a.mu.Lock()
		list, handled := a.results, page.Last == "" || a.last == page.Last
		a.mu.Unlock()
		if handled {
			return list, page, nil
		}
		select {
		case <-a.more:
		case <-timer.C: // a result over the stream's limits was skipped: it must not hold up the others
			a.o.Log.Warn("a message of the archive could not be read", "id", page.Last)
			return list, page, nil
		case <-ctx.Done():
			return nil, mam.Page{}, fmt.Errorf("read archive: %w", ctx.Err())
		}
	}
}

// maxResults bounds what is taken for one page, whatever a server sends.
const maxResults = 4 * mam.PageSize

// result keeps a result of the question that is under way. Only our own
// account's archive counts, which answers without an address or with our own.
func (a *Account) result(m *packet.Message, result xmltok.Element) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.query == "" || result.Get("queryid") != a.query || m.From != "" && !packet.SameJID(m.From, a.o.JID) {
		return false
	}
	inner, kind := convert.Unwrap(m)
	a.last = result.Get("id")
	if kind == convert.Archived && inner != nil && a.last != "" && len(a.results) < maxResults {
		forwarded, _ := result.Child(convert.NSForward, "forwarded")
		a.results = append(a.results, asHeard(inner, a.o.JID, a.last, forwarded))
	}
	select {
	case a.more <- struct{}{}:
	default:
	}
	return true
}

// asHeard gives a message of the archive the marks that the live one has: the
// archive's id in place of what the archive holds (XEP-0313 §4.1.1), and when
// the archive took it.
func asHeard(m *packet.Message, by, id string, forwarded xmltok.Element) *packet.Message {
	m.Extensions = slices.DeleteFunc(m.Extensions, func(e xmltok.Element) bool {
		return e.Is(packet.NSStanzaID, "stanza-id") && packet.SameJID(e.Get("by"), by)
	})
	m.Extensions = append(m.Extensions, xmltok.New(packet.NSStanzaID, "stanza-id", "", xmltok.A("by", by), xmltok.A("id", id)))
	if delay, ok := forwarded.Child(packet.NSDelay, "delay"); ok {
		m.Extensions = append(m.Extensions, delay)
	}
	return m
}
