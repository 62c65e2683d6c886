package config

import (
	"fmt"
	"sort"
	"strings"
)

// Error is one fault of a configuration.
type Error struct {
	Position
	Key     string `json:"key,omitempty"`
	Problem string `json:"problem"`
	Remedy  string `json:"remedy,omitempty"`
	Excerpt string `json:"excerpt,omitempty"` // the line, and below it what is meant
}

// Error gives the fault as operators read it.
func (e Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Position, e.Problem)
	if e.Excerpt != "" {
		fmt.Fprintf(&b, "\n%s", e.Excerpt)
	}
	if e.Remedy != "" {
		fmt.Fprintf(&b, "\n  remedy: %s", e.Remedy)
	}
	return b.String()
}

// Errors are all faults of a configuration.
type Errors struct {
	List []Error
}

// Error lists the faults and says how many there are.
func (e *Errors) Error() string {
	var b strings.Builder
	for _, f := range e.List {
		b.WriteString(f.Error())
		b.WriteString("\n\n")
	}
	if n := len(e.List); n == 1 {
		b.WriteString("1 fault in the configuration")
	} else {
		fmt.Fprintf(&b, "%d faults in the configuration", n)
	}
	return b.String()
}

// add notes a fault. Excerpts never show a line with a secret's value: see
// excerpt.
func (e *Errors) add(pos Position, text []byte, key, problem, remedy string) {
	e.List = append(e.List, Error{Position: pos, Key: key, Problem: problem, Remedy: remedy, Excerpt: excerpt(text, pos)})
}

// sorted puts the faults in the order of the files, and drops repeats.
func (e *Errors) sorted() {
	sort.SliceStable(e.List, func(i, j int) bool {
		a, b := e.List[i], e.List[j]
		if a.File != b.File {
			return a.File < b.File
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Col < b.Col
	})
	out := e.List[:0]
	for i, f := range e.List {
		if i == 0 || f.Position != out[len(out)-1].Position || f.Problem != out[len(out)-1].Problem {
			out = append(out, f)
		}
	}
	e.List = out
}

// err gives e as an error, nil when there is no fault.
func (e *Errors) err() error {
	if len(e.List) == 0 {
		return nil
	}
	e.sorted()
	return e
}

// secretWords mark lines whose values are not repeated in an excerpt.
var secretWords = []string{"secret", "password", "token", "passwd"}

// excerpt gives the line of a position with what is meant underlined. The value
// of a line that may hold a secret is left out.
func excerpt(text []byte, pos Position) string {
	lines := strings.Split(string(text), "\n")
	if pos.Line < 1 || pos.Line > len(lines) {
		return ""
	}
	line := strings.TrimRight(lines[pos.Line-1], "\r")
	lower := strings.ToLower(line)
	for _, w := range secretWords {
		if strings.Contains(lower, w) {
			if i := strings.IndexByte(line, '='); i >= 0 {
				line = line[:i+1] + " …"
			}
			break
		}
	}
	start := min(max(pos.Col-1, 0), len(line))
	end := min(start+max(pos.Len, 1), len(line))
	if end <= start {
		return fmt.Sprintf("  %4d | %s", pos.Line, line)
	}
	under := strings.Map(func(r rune) rune {
		if r == '\t' {
			return '\t'
		}
		return ' '
	}, line[:start]) + strings.Repeat("~", len([]rune(line[start:end])))
	return fmt.Sprintf("  %4d | %s\n       | %s", pos.Line, line, under)
}

// Nearest gives the word of list that is most like word, empty when none is
// near: at most a third of its letters differ.
func Nearest(word string, list []string) string {
	best, limit := "", max(1, len(word)/3)+1
	for _, w := range list {
		if d := distance(strings.ToLower(word), strings.ToLower(w)); d < limit {
			best, limit = w, d
		}
	}
	return best
}

// distance counts the insertions, deletions, changes and swaps of neighbours
// between two words (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := [3][]int{make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(x); i++ {
		before, last, row := rows[(i+2)%3], rows[i%3], rows[(i+1)%3]
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return rows[(len(x)+1)%3][len(y)]
}
