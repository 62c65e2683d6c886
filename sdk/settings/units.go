package settings

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written "64MiB" or as a plain number.
type Size int64

var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"kB", 1e3}, {"B", 1},
}

// String gives the size as [ParseSize] reads it, in the largest binary unit that
// divides it.
func (s Size) String() string {
	for _, u := range sizeUnits[:4] {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// ParseSize reads a size such as "64MiB", "1.5GB" or "4096"; KiB and its like
// count by 1024, KB by 1000. It is not negative.
func ParseSize(text string) (Size, error) {
	number, unit := strings.TrimSpace(text), int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil {
		if n < 0 || n > math.MaxInt64/unit {
			return 0, fmt.Errorf("size %q is out of range", text)
		}
		return Size(n * unit), nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || strings.ContainsAny(number, "xXpP_") {
		return 0, fmt.Errorf("%q is no size", text)
	}
	if f *= float64(unit); !(f >= 0 && f < math.MaxInt64) {
		return 0, fmt.Errorf("size %q is out of range", text)
	}
	return Size(f), nil
}

// errDuration is the cause of every fault of ParseDuration.
var errDuration = errors.New("is no duration")

// ParseDuration reads a duration such as "100ms", "1h30m" or "3d"; a day has 24
// hours and is written first.
func ParseDuration(text string) (time.Duration, error) {
	days, rest, ok := strings.Cut(text, "d")
	if !ok {
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, fmt.Errorf("%q %w", text, errDuration)
		}
		return d, nil
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q %w", text, errDuration)
	}
	total := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return total, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || total > math.MaxInt64-d {
		return 0, fmt.Errorf("%q %w", text, errDuration)
	}
	return total + d, nil
}
