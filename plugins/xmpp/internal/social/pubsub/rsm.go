package pubsub

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"bridgehost/plugins/xmpp/internal/xmltok"
)

// Set is what a requester asks of a page (XEP-0059 §2).
type Set struct {
	Max       int // at most so many; -1 = not said; 0 = only the count (§2.7)
	After     string
	Before    string
	HasBefore bool // an empty <before/> asks for the last page (§2.5)
	Index     int  // -1 = not said (§2.6)
}

// ParseSet reads the set among the children of e; nil if there is none.
func ParseSet(e xmltok.Element) *Set {
	set, ok := e.Child(NSRSM, "set")
	if !ok {
		return nil
	}
	s := &Set{Max: -1, Index: -1}
	for c := range set.Children() {
		text := strings.TrimSpace(c.Text())
		switch {
		case c.Is(NSRSM, "max"):
			s.Max = natural(text)
		case c.Is(NSRSM, "index"):
			s.Index = natural(text)
		case c.Is(NSRSM, "after"):
			s.After = text
		case c.Is(NSRSM, "before"):
			s.Before, s.HasBefore = text, true
		}
	}
	return s
}

// natural reads a number from 0 on, -1 for anything else.
func natural(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// positive writes a number above 0, "" for others.
func positive(n int) string {
	if n <= 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// Page describes the part of a result that is given (XEP-0059 §2).
type Page struct {
	First, Last  string
	Index, Count int // Index is that of First
}

func (p *Page) write(w *xmltok.Writer) {
	w.Start(NSRSM, "set")
	if p.First != "" {
		w.Start(NSRSM, "first", xmltok.A("index", strconv.Itoa(p.Index))).Text(p.First).End()
		w.Start(NSRSM, "last").Text(p.Last).End()
	}
	w.Start(NSRSM, "count").Text(strconv.Itoa(p.Count)).End().End()
}

// Cut gives the bounds of the page that set asks for in a list of ids, at most
// limit long, and its description. It reports false where the id that the page
// begins after or ends before is not in the list (XEP-0059 §2.2: item-not-found).
func Cut(ids []string, set *Set, limit int) (from, to int, page *Page, ok bool) {
	size := limit
	if set.Max >= 0 {
		size = min(size, set.Max)
	}
	from, to = 0, len(ids)
	if set.Index >= 0 {
		from = min(set.Index, len(ids))
	}
	if set.After != "" {
		i := slices.Index(ids, set.After)
		if i < 0 {
			return 0, 0, nil, false
		}
		from = i + 1
	}
	if set.Before != "" {
		i := slices.Index(ids, set.Before)
		if i < 0 {
			return 0, 0, nil, false
		}
		to = max(from, i)
	}
	if set.HasBefore {
		from = max(from, to-size)
	} else {
		to = min(to, from+size)
	}
	page = &Page{Count: len(ids), Index: from}
	if from < to {
		page.First, page.Last = ids[from], ids[to-1]
	}
	return from, to, page, true
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
