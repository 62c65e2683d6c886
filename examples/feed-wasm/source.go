package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"bridgehost/sdk/guest"
)

// source is one feed: a place of the link.
type source struct {
	place    string
	url      string
	interval time.Duration
	backlog  int // entries of the first reading that are published
	summary  int // bytes of the summary; 0 = none
	used     bool
	fails    int
	up       bool
}

// Bounds of the configuration.
const (
	minInterval     = time.Second
	defaultInterval = 15 * time.Minute
	maxSources      = 60 // a link has 64 timers
	maxBacklog      = 50
	maxSummary      = 4096
)

// fault makes an error of the configuration.
func fault(key, problem, remedy string) error {
	return &guest.Error{Faults: []guest.Fault{{Key: key, Problem: problem, Remedy: remedy}}}
}

// configure reads the link's config table.
func configure(text []byte) ([]*source, error) {
	var c struct {
		Interval string `json:"interval"`
		Feed     map[string]struct {
			URL      string `json:"url"`
			Interval string `json:"interval"`
			Backlog  int    `json:"backlog"`
			Summary  int    `json:"summary"`
		} `json:"feed"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return nil, err
	}
	if len(c.Feed) == 0 || len(c.Feed) > maxSources {
		return nil, fault("feed", fmt.Sprintf("there are %d feeds", len(c.Feed)), fmt.Sprintf("write 1 to %d tables [link.NAME.config.feed.PLACE] with a url", maxSources))
	}
	var list []*source
	for name, f := range c.Feed {
		s := &source{place: name, url: f.URL, backlog: f.Backlog, summary: f.Summary}
		var err error
		if s.interval, err = interval(f.Interval, c.Interval); err != nil {
			return nil, fault("feed."+name+".interval", err.Error(), "write something from 1s to 24h, such as 15m")
		}
		u, err := url.Parse(f.URL)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
			return nil, fault("feed."+name+".url", fmt.Sprintf("%q is no URL of a feed", f.URL), `write url = "https://example.org/feed.xml"`)
		case f.Backlog < 0 || f.Backlog > maxBacklog:
			return nil, fault("feed."+name+".backlog", "is out of range", fmt.Sprintf("write 0 to %d", maxBacklog))
		case f.Summary < 0 || f.Summary > maxSummary:
			return nil, fault("feed."+name+".summary", "is out of range", fmt.Sprintf("write 0 to %d bytes", maxSummary))
		}
		list = append(list, s)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].place < list[j].place })
	return list, nil
}

// interval reads the first of the texts that is there.
func interval(texts ...string) (time.Duration, error) {
	for _, s := range texts {
		if s == "" {
			continue
		}
		d, err := time.ParseDuration(s)
		if err != nil || d < minInterval || d > maxWait {
			return 0, fmt.Errorf("%q is no interval", s)
		}
		return d, nil
	}
	return defaultInterval, nil
}

// state is what the link keeps of a feed, under "feed/" and its place.
type state struct {
	URL      string   `json:"url"`
	ETag     string   `json:"etag,omitempty"`
	Modified string   `json:"modified,omitempty"`
	Seen     []string `json:"seen"` // keys of entries, the oldest first
}

// maxSeen bounds the entries that are remembered, beside those that the feed
// has at the moment: the state must stay below 64 KiB.
const maxSeen = 2000

// goneError says that the feed was removed for good.
type goneError struct{}

func (*goneError) Error() string {
	return "the feed is gone (HTTP 410); remove it from the configuration"
}

// poll reads the feed once, publishes what is new, and returns how long the
// server wants to be left alone.
func (s *source) poll() (time.Duration, error) {
	st, err := s.load()
	if err != nil {
		return 0, err
	}
	header := map[string]string{"Accept": "application/atom+xml, application/rss+xml, application/rdf+xml, application/xml;q=0.9, text/xml;q=0.9"}
	if st.ETag != "" {
		header["If-None-Match"] = st.ETag
	}
	if st.Modified != "" {
		header["If-Modified-Since"] = st.Modified
	}
	resp, err := guest.Fetch(guest.HTTPRequest{URL: s.url, Header: header})
	if err != nil {
		return 0, err
	}
	switch {
	case resp.Status == 304:
		return 0, nil
	case resp.Status == 410:
		return 0, &goneError{}
	case resp.Status != 200:
		return retryAfter(resp.Header("Retry-After"), guest.Now()), fmt.Errorf("the server of the feed answers with status %d", resp.Status)
	}
	f, err := parse(resp.Body)
	if err != nil {
		return 0, fmt.Errorf("the feed cannot be read: %w", err)
	}
	fresh := st.take(f.entries, s.backlog)
	if err := s.publish(f, fresh); err != nil {
		return 0, err // the state stays as it was, so they come again
	}
	st.URL, st.ETag, st.Modified = s.url, shorten(resp.Header("Etag"), 512), shorten(resp.Header("Last-Modified"), 64)
	return 0, s.save(st)
}

// take remembers entries and returns the new ones, the oldest first. At the
// first reading only the newest ones, at most backlog, are new.
func (st *state) take(entries []entry, backlog int) []entry {
	first := st.Seen == nil
	known := make(map[string]bool, len(st.Seen))
	for _, k := range st.Seen {
		known[k] = true
	}
	var fresh []entry
	for i := len(entries) - 1; i >= 0; i-- { // feeds have the newest on top
		key := entries[i].key()
		if known[key] {
			continue
		}
		known[key] = true
		st.Seen = append(st.Seen, key)
		fresh = append(fresh, entries[i])
	}
	if st.Seen == nil {
		st.Seen = []string{} // an empty feed was read, too
	}
	// Dates decide where all have one; some feeds have the oldest on top.
	if !slices.ContainsFunc(fresh, func(e entry) bool { return e.when.IsZero() }) {
		sort.SliceStable(fresh, func(i, j int) bool { return fresh[i].when.Before(fresh[j].when) })
	}
	if first {
		fresh = fresh[max(0, len(fresh)-backlog):]
	}
	st.forget(entries)
	return fresh
}

// forget drops the oldest keys, but none of an entry that is still in the feed.
func (st *state) forget(entries []entry) {
	if len(st.Seen) <= maxSeen {
		return
	}
	now := make(map[string]bool, len(entries))
	for i := range entries {
		now[entries[i].key()] = true
	}
	extra := len(st.Seen) - maxSeen
	st.Seen = slices.DeleteFunc(st.Seen, func(k string) bool {
		drop := extra > 0 && !now[k]
		if drop {
			extra--
		}
		return drop
	})
}

// publish hands entries to the host, which returns when they are on disk.
func (s *source) publish(f feed, entries []entry) error {
	name := f.title
	if name == "" {
		name = s.place
	}
	for batch := range slices.Chunk(entries, 16) {
		var events []guest.NewEvent
		for _, e := range batch {
			events = append(events, s.event(f, name, e))
		}
		if err := guest.Publish(events...); err != nil {
			return err
		}
	}
	return nil
}

// event makes an item of an entry. Its key is that of the entry, so that an
// entry which is told again is still the same event.
func (s *source) event(f feed, name string, e entry) guest.NewEvent {
	now := guest.Now()
	if e.when.IsZero() || e.when.After(now) {
		e.when = now
	}
	text := e.page
	if s.summary > 0 && e.summary != "" {
		cut := shorten(e.summary, s.summary)
		if cut != e.summary {
			cut = strings.TrimSpace(cut) + " …"
		}
		text = strings.TrimSpace(cut + "\n" + e.page)
	}
	title := strings.ReplaceAll(e.title, "\n", " ")
	if title == "" && text == "" {
		text = e.summary
	}
	return guest.NewEvent{
		Place: s.place, Dedup: s.place + "/" + e.key(), ID: s.place + "/" + e.key(), Time: now, Created: e.when,
		Actor: guest.NewActor{ID: s.place, Name: shorten(name, 100), Profile: f.page, Bot: true},
		Title: shorten(title, 500), Text: text, URL: e.page, Tags: e.tags,
	}
}

// retryAfter reads Retry-After: seconds or a date (RFC 9110 §10.2.3).
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 {
		return min(time.Duration(min(n, 1<<20))*time.Second, maxWait)
	}
	if t, err := time.Parse(time.RFC1123, s); err == nil {
		return max(0, min(t.Sub(now), maxWait))
	}
	return 0
}

func (s *source) load() (*state, error) {
	text, err := guest.Get("feed/" + s.place)
	if err != nil || text == nil {
		return &state{}, err
	}
	st := &state{}
	if err := json.Unmarshal(text, st); err != nil {
		return nil, errors.Join(errors.New("what was kept of the feed cannot be read"), err)
	}
	if st.URL != s.url {
		st = &state{} // another feed: its entries are not news
	}
	return st, nil
}

func (s *source) save(st *state) error {
	text, err := json.Marshal(st)
	if err != nil {
		return err
	}
	return guest.Set("feed/"+s.place, text)
}
