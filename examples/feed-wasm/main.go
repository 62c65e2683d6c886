// Command feed is a whole link as a module: it reads RSS and Atom feeds over
// HTTP, and publishes new entries as items. It needs the abilities http, timer,
// kv, emit and log, and no socket. Build it with build.sh.
package main

import (
	"errors"
	"sort"
	"strconv"
	"strings"
	"time"

	"bridgehost/sdk/guest"
)

func init() {
	guest.Register(guest.Handlers{Open: open, Run: run, Timer: timer})
}

func main() {}

// sources are the feeds, in order of their names; the index is the timer's id.
var sources []*source

// open reads the configuration. It is called once, before all else, also by
// bridgehost check: it asks the host for nothing.
func open(c guest.Config) error {
	list, err := configure(c.JSON())
	if err != nil {
		return err
	}
	sources = list
	used := map[string]bool{}
	c.Places(func(id string, source, _ bool) { used[id] = source })
	for _, s := range sources {
		s.used = used[s.place]
		delete(used, s.place)
	}
	if len(used) > 0 {
		var names []string
		for id := range used {
			names = append(names, strconv.Quote(id))
		}
		sort.Strings(names)
		return fault("feed", "a route names the place "+strings.Join(names, ", ")+", and there is no such feed", "add [link."+c.Link()+".config.feed.PLACE] with a url")
	}
	return nil
}

// run starts the link: every feed that a route reads gets a timer, a second
// after the other, so that they do not all come at once.
func run() error {
	after := time.Second
	for i, s := range sources {
		if !s.used {
			continue
		}
		if err := guest.SetTimer(uint32(i), after); err != nil {
			return err
		}
		after += time.Second
	}
	return nil
}

// timer reads one feed and sets its timer anew. A feed that cannot be read is a
// state of its place, and no error of the link.
func timer(id uint32) error {
	if int(id) >= len(sources) {
		return nil
	}
	s := sources[id]
	// First of all the next time: a document on which this call dies, for want of
	// time or memory, shall not be the last one that is read.
	if err := guest.SetTimer(id, s.next(0)); err != nil {
		return err
	}
	wait, err := s.poll()
	var gone *goneError
	switch {
	case errors.As(err, &gone):
		if err := guest.SetTimer(id, 0); err != nil { // the feed says that it will not come back
			return err
		}
		return guest.Report(s.place, 4, err.Error())
	case err != nil:
		s.fails++
		if err := guest.Report(s.place, 3, err.Error()); err != nil {
			return err
		}
	default:
		if s.fails > 0 || !s.up {
			if err := guest.Report(s.place, 1, ""); err != nil {
				return err
			}
		}
		s.fails, s.up = 0, true
	}
	return guest.SetTimer(id, s.next(wait))
}

// maxWait bounds the pause between two tries.
const maxWait = 24 * time.Hour

// next tells when to read the feed again: after its interval, after a growing
// pause when it failed, and never before the server wants it.
func (s *source) next(asked time.Duration) time.Duration {
	wait := s.interval
	for range min(s.fails, 16) {
		wait = min(2*wait, maxWait)
	}
	return max(wait, min(asked, maxWait))
}
