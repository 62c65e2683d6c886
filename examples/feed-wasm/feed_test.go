package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// text writes a feed in the form of testdata/*.txt.
func (f *feed) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s | %s\n", f.title, f.page)
	for _, e := range f.entries {
		when := "-"
		if !e.when.IsZero() {
			when = e.when.Format(time.RFC3339)
		}
		fmt.Fprintf(&b, "%s | %s | %s | %s | %v | %s\n", e.id, e.title, e.page, strings.ReplaceAll(e.summary, "\n", `\n`), e.tags, when)
	}
	return b.String()
}

func TestParse(t *testing.T) {
	files, err := filepath.Glob("testdata/*.xml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		in, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(strings.TrimSuffix(file, ".xml") + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		f, err := parse(in)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if got := f.text(); got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"empty":    {"", "empty"},
		"HTML":     {"<html><body>404</body></html>", "neither RSS nor Atom"},
		"deep":     {"<rss><channel><item>" + strings.Repeat("<a>", 100), "inside each other"},
		"deep two": {"<rss><channel><item><title>" + strings.Repeat("<a>", 100), "inside each other"},
		"charset":  {`<?xml version="1.0" encoding="koi8-r"?><rss/>`, "koi8-r"},
	} {
		if f, err := parse([]byte(c.in)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %+v, %v, want an error with %q", name, f, err, c.want)
		}
	}
}

func TestBounds(t *testing.T) {
	f, err := parse([]byte("<rss><channel>" + strings.Repeat("<item><title>"+strings.Repeat("é ", maxField)+"</title></item>", maxEntries+10) + "</channel></rss>"))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.entries) != maxEntries || len(f.entries[0].title) > maxField || !utf8.ValidString(f.entries[0].title) {
		t.Errorf("%d entries with titles of %d bytes, want %d and at most %d", len(f.entries), len(f.entries[0].title), maxEntries, maxField)
	}
}

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "",
		"a<br>b<BR/>c":                    "a\nb\nc",
		"<script>x</a></SCRIPT>y":         "y",
		"x<style>":                        "x",
		"<!-- > --> 1 < 2 &lt;b&gt;":      "1 < 2 <b>",
		"\x1b[2J\u00a0x":                  "[2J x",
		strings.Repeat("<script></a>", 9): "",
		strings.Repeat("<script></script>", 50_000) + "end": "end",
	} {
		if got := plain(in); got != want {
			t.Errorf("plain(%.40q): got %q, want %q", in, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.xml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		in, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := parse(in)
		if err != nil {
			return
		}
		for _, e := range out.entries {
			if e.page != "" && !strings.HasPrefix(e.page, "http") || strings.ContainsAny(e.summary, "\r\t\x00") || len(e.summary) > maxField {
				t.Errorf("entry %+v", e)
			}
		}
	})
}
