// Package page writes what people see of an actor and its posts in a browser or
// a feed reader: HTML without scripts, and Atom. It is pure. HTML that it is
// handed must be that of richtext, which holds no scripts, styles or foreign images.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"html/template"
	"time"
)

//go:embed page.html
var source string

//go:embed page.css
var css string

var pages = template.Must(template.New("page").Funcs(template.FuncMap{
	"css":  func() template.CSS { return template.CSS(css) },
	"day":  func(t time.Time) string { return t.UTC().Format("2 January 2006 15:04 MST") },
	"iso":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"html": func(s string) template.HTML { return template.HTML(s) }, //nolint:gosec // richtext wrote it
}).Parse(source))

// Policy is the Content-Security-Policy of the pages: no script, the one style
// sheet that is part of them, and images.
var Policy = func() string {
	sum := sha256.Sum256([]byte(css))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; img-src https: 'self'; media-src https: 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// Actor is an actor for people.
type Actor struct {
	Name, Handle, ID string
	Summary          string // HTML of richtext
	Icon, Feed       string
	Followers        int
	Posts            []Post // newest first
}

// Post is a post for people.
type Post struct {
	ID       string
	Title    string
	Warning  string
	Content  string // HTML of richtext
	Language string
	Files    []File
	Created  time.Time
	Updated  time.Time
}

// When gives the time of the last change.
func (p Post) When() time.Time {
	if p.Updated.After(p.Created) {
		return p.Updated
	}
	return p.Created
}

// File is something attached to a post.
type File struct {
	URL, Type, Alt string
	Image          bool
}

// WriteActor gives the page of an actor.
func WriteActor(a Actor) ([]byte, error) { return write("actor", a) }

// WritePost gives the page of a post by an actor.
func WritePost(a Actor, p Post) ([]byte, error) {
	a.Posts = []Post{p}
	return write("post", a)
}

func write(name string, a Actor) ([]byte, error) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, a); err != nil {
		return nil, fmt.Errorf("write page of %s: %w", a.ID, err)
	}
	return b.Bytes(), nil
}

type atomFeed struct {
	XMLName xml.Name    `xml:"http://www.w3.org/2005/Atom feed"`
	ID      string      `xml:"id"`
	Title   string      `xml:"title"`
	Updated string      `xml:"updated"`
	Author  atomAuthor  `xml:"author"`
	Links   []atomLink  `xml:"link"`
	Icon    string      `xml:"icon,omitempty"`
	Entries []atomEntry `xml:"entry"`
}

type atomAuthor struct {
	Name string `xml:"name"`
	URI  string `xml:"uri"`
}

type atomLink struct {
	Rel  string `xml:"rel,attr"`
	Type string `xml:"type,attr,omitempty"`
	Href string `xml:"href,attr"`
}

type atomEntry struct {
	ID        string     `xml:"id"`
	Title     string     `xml:"title"`
	Published string     `xml:"published"`
	Updated   string     `xml:"updated"`
	Links     []atomLink `xml:"link"`
	Summary   string     `xml:"summary,omitempty"`
	Content   atomText   `xml:"content"`
}

type atomText struct {
	Type string `xml:"type,attr"`
	Text string `xml:",chardata"`
}

// WriteFeed gives the Atom feed of an actor (RFC 4287).
func WriteFeed(a Actor) ([]byte, error) {
	f := atomFeed{ID: a.Feed, Title: a.Name, Icon: a.Icon, Author: atomAuthor{Name: a.Name, URI: a.ID},
		Links: []atomLink{{Rel: "self", Type: "application/atom+xml", Href: a.Feed}, {Rel: "alternate", Type: "text/html", Href: a.ID}}}
	newest := time.Unix(0, 0)
	for _, p := range a.Posts {
		if p.When().After(newest) {
			newest = p.When()
		}
		title := p.Title
		if title == "" {
			title = p.Created.UTC().Format("2006-01-02 15:04")
		}
		e := atomEntry{ID: p.ID, Title: title, Published: p.Created.UTC().Format(time.RFC3339), Updated: p.When().UTC().Format(time.RFC3339),
			Links: []atomLink{{Rel: "alternate", Type: "text/html", Href: p.ID}}, Summary: p.Warning, Content: atomText{Type: "html", Text: p.Content}}
		for _, file := range p.Files {
			e.Links = append(e.Links, atomLink{Rel: "enclosure", Type: file.Type, Href: file.URL})
		}
		f.Entries = append(f.Entries, e)
	}
	f.Updated = newest.UTC().Format(time.RFC3339)
	out, err := xml.MarshalIndent(f, "", " ")
	if err != nil {
		return nil, fmt.Errorf("write feed of %s: %w", a.ID, err)
	}
	return append([]byte(xml.Header), out...), nil
}
