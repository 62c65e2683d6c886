// Command goguest is a Go reactor on which metered and plain code are compared.
package main

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"regexp"
	"sort"
	"strings"
)

//go:wasmexport work
func work(n uint32) uint32 {
	words := strings.Fields(strings.Repeat("the quick brown fox jumps over the lazy dog ", int(n%16)+1))
	sort.Strings(words)
	count := map[string]int{}
	for _, w := range words {
		count[w]++
	}
	out, err := json.Marshal(count)
	if err != nil {
		panic(err)
	}
	re := regexp.MustCompile(`"(\w+)":(\d+)`)
	s := re.ReplaceAllString(string(out), "$2=$1") + fmt.Sprintf("%d %x %.3f", n, n, float64(n)/7)
	return crc32.ChecksumIEEE([]byte(s))
}

//go:wasmexport routines
func routines(n uint32) uint32 {
	ch := make(chan uint32)
	for i := range n%8 + 1 {
		go func() { ch <- i * n }()
	}
	sum := uint32(0)
	for range n%8 + 1 {
		sum += <-ch
	}
	return sum
}

//go:wasmexport recovers
func recovers(n uint32) (out uint32) {
	defer func() {
		if recover() != nil {
			out = n + 1
		}
	}()
	var s []uint32
	return s[n]
}

func main() {}
