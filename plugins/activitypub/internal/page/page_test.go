package page

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"strings"
	"testing"
	"time"
)

var juliet = Actor{Name: `<script>alert(1)</script>`, Handle: "juliet@example.org", ID: "https://b.example/ap/u/juliet", Feed: "https://b.example/ap/u/juliet/feed.atom",
	Posts: []Post{{ID: "https://b.example/ap/u/juliet/o/1", Title: `"T" & <b>`, Content: "<p>Hello</p>", Warning: "spoiler", Created: time.Unix(1e9, 0),
		Files: []File{{URL: "javascript:alert(1)", Alt: `"><script>`, Image: true}}}}}

func TestPages(t *testing.T) {
	for name, write := range map[string]func() ([]byte, error){
		"actor": func() ([]byte, error) { return WriteActor(juliet) },
		"post":  func() ([]byte, error) { return WritePost(juliet, juliet.Posts[0]) },
	} {
		b, err := write()
		if err != nil {
			t.Fatal(err)
		}
		got := string(b)
		for _, bad := range []string{"<script", "javascript:alert", `alt=""><`} {
			if strings.Contains(got, bad) {
				t.Errorf("%s holds %q:\n%s", name, bad, got)
			}
		}
		for _, good := range []string{"<p>Hello</p>", "@juliet@example.org", "<summary>spoiler</summary>", "&lt;script&gt;"} {
			if !strings.Contains(got, good) {
				t.Errorf("%s lacks %q:\n%s", name, good, got)
			}
		}
		// The browser hashes what stands between the tags; nothing may be added there.
		_, style, _ := strings.Cut(got, "<style>")
		style, _, _ = strings.Cut(style, "</style>")
		sum := sha256.Sum256([]byte(style))
		if !strings.Contains(Policy, base64.StdEncoding.EncodeToString(sum[:])) {
			t.Errorf("the policy does not allow the style of %s", name)
		}
	}
}

func TestFeed(t *testing.T) {
	b, err := WriteFeed(juliet)
	if err != nil {
		t.Fatal(err)
	}
	var f atomFeed
	if err := xml.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Entries) != 1 || f.Entries[0].Content.Text != "<p>Hello</p>" || f.Updated != "2001-09-09T01:46:40Z" {
		t.Errorf("feed = %+v", f)
	}
}
