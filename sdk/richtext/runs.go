package richtext

import "sort"

// Run says that Len bytes at Src of one text are those at Dst of another.
type Run struct{ Src, Dst, Len int }

// Runs tells where the parts of one text are in another, in ascending order of both.
type Runs []Run

// add appends a run, or makes the last one longer.
func (r Runs) add(src, dst, n int) Runs {
	if n <= 0 {
		return r
	}
	if len(r) > 0 {
		if l := &r[len(r)-1]; l.Src+l.Len == src && l.Dst+l.Len == dst {
			l.Len += n
			return r
		}
	}
	return append(r, Run{src, dst, n})
}

// Range gives where the bytes [start,end) of the first text are in the second. It reports false when none of them is there.
func (r Runs) Range(start, end int) (from, to int, ok bool) {
	i := sort.Search(len(r), func(i int) bool { return r[i].Src+r[i].Len > start })
	j := sort.Search(len(r), func(j int) bool { return r[j].Src >= end }) - 1
	if i >= len(r) || j < i {
		return 0, 0, false
	}
	from = r[i].Dst + max(0, start-r[i].Src)
	to = r[j].Dst + min(end-r[j].Src, r[j].Len)
	return from, to, from < to
}

// Invert gives the runs in the other direction.
func (r Runs) Invert() Runs {
	out := make(Runs, len(r))
	for i, run := range r {
		out[i] = Run{run.Dst, run.Src, run.Len}
	}
	return out
}

// Then gives where parts of the first text of r are in the second text of next, whose first text is the second of r.
func (r Runs) Then(next Runs) Runs {
	var out Runs
	for i, j := 0, 0; i < len(r) && j < len(next); {
		from := max(r[i].Dst, next[j].Src)
		to := min(r[i].Dst+r[i].Len, next[j].Src+next[j].Len)
		if from < to {
			out = out.add(r[i].Src+from-r[i].Dst, next[j].Dst+from-next[j].Src, to-from)
		}
		if r[i].Dst+r[i].Len < next[j].Src+next[j].Len {
			i++
		} else {
			j++
		}
	}
	return out
}
