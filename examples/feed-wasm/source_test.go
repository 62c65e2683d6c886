package main

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// entries makes entries with these ids, the newest on top.
func entries(ids ...int) []entry {
	var out []entry
	for _, id := range ids {
		out = append(out, entry{id: fmt.Sprint(id)})
	}
	return out
}

func ids(list []entry) (out []string) {
	for _, e := range list {
		out = append(out, e.id)
	}
	return out
}

func TestTake(t *testing.T) {
	st := &state{}
	for i, c := range []struct {
		feed    []entry
		backlog int
		want    []string
	}{
		{entries(3, 2, 1), 2, []string{"2", "3"}}, // the first reading: only the newest
		{entries(3, 2, 1), 2, nil},
		{entries(5, 4, 3, 2), 0, []string{"4", "5"}}, // the oldest first
		{entries(1), 0, nil},                         // an old one that comes back is no news
		{nil, 0, nil},
	} {
		if got := ids(st.take(c.feed, c.backlog)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("reading %d: got %v, want %v", i+1, got, c.want)
		}
	}
}

func TestTakeAfterEmptyFeed(t *testing.T) {
	st := &state{}
	st.take(nil, 0)
	if got := ids(st.take(entries(1), 0)); len(got) != 1 {
		t.Errorf("got %v, want the entry that came after the first reading", got)
	}
}

func TestTakeByDate(t *testing.T) {
	list := entries(1, 2)
	list[0].when, list[1].when = time.Unix(10, 0), time.Unix(20, 0) // the oldest on top
	st := &state{Seen: []string{}}
	if got := ids(st.take(list, 0)); !reflect.DeepEqual(got, []string{"1", "2"}) {
		t.Errorf("got %v, want the older one first", got)
	}
}

func TestForget(t *testing.T) {
	st := &state{Seen: []string{}}
	for i := range maxSeen + 100 {
		st.take(entries(i), 0)
	}
	if len(st.Seen) != maxSeen {
		t.Errorf("%d keys, want %d", len(st.Seen), maxSeen)
	}
	last := maxSeen + 99
	if got := st.take(entries(last), 0); len(got) != 0 {
		t.Errorf("the newest entry was forgotten")
	}
}

func TestNext(t *testing.T) {
	for _, c := range []struct {
		fails       int
		asked, want time.Duration
	}{
		{0, 0, time.Minute},
		{2, 0, 4 * time.Minute},
		{100, 0, maxWait},
		{1, time.Hour, time.Hour},
		{0, 100 * time.Hour, maxWait},
	} {
		s := &source{interval: time.Minute, fails: c.fails}
		if got := s.next(c.asked); got != c.want {
			t.Errorf("%d fails, asked %v: got %v, want %v", c.fails, c.asked, got, c.want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Duration{
		"": 0, "120": 2 * time.Minute, "-5": 0, "9999999": maxWait, "soon": 0,
		"Mon, 01 Jan 2024 00:01:00 GMT": time.Minute, "Sun, 31 Dec 2023 00:00:00 GMT": 0,
	} {
		if got := retryAfter(in, now); got != want {
			t.Errorf("%q: got %v, want %v", in, got, want)
		}
	}
}

func TestConfigure(t *testing.T) {
	list, err := configure([]byte(`{"interval":"5m","feed":{"b":{"url":"https://example.org/b"},"a":{"url":"http://example.org/a","interval":"1h","summary":10}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[0].place != "a" || list[0].interval != time.Hour || list[0].summary != 10 || list[1].interval != 5*time.Minute {
		t.Errorf("got %+v, %+v", list[0], list[1])
	}
	for in, want := range map[string]string{
		`{}`:                                "0 feeds",
		`{"feed":{"a":{"url":"file:///"}}}`: "feed.a.url",
		`{"feed":{"a":{"url":"https://example.org/","interval":"1ms"}}}`: "feed.a.interval",
		`{"feed":{"a":{"url":"https://example.org/","backlog":-1}}}`:     "feed.a.backlog",
		`{"feed":{"a":{"url":"https://example.org/","summary":99999}}}`:  "feed.a.summary",
		`{"feed":{"a":{"uri":""}}}`:                                      "uri",
	} {
		if _, err := configure([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", in, err, want)
		}
	}
}
