package actor

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"bridgehost/plugins/activitypub/internal/object"
	"bridgehost/plugins/activitypub/internal/page"
	"bridgehost/plugins/activitypub/internal/store"
	"bridgehost/sdk"
	"bridgehost/sdk/richtext"
	"bridgehost/sdk/web"
)

// pageSize is how many members stand on a page of a collection, pageSizePeople on a page for people.
const (
	pageSize       = 20
	pageSizePeople = 40
)

// list gives a collection that shows all its members.
func list(id string, members []any) *object.Object {
	if members == nil {
		members = []any{}
	}
	return object.New("OrderedCollection").Set("id", id).Set("totalItems", len(members)).Set("orderedItems", members)
}

// counted gives a collection that says how many members it has and nothing of who they are.
func counted(id string, n int) *object.Object {
	return object.New("OrderedCollection").Set("id", id).Set("totalItems", n)
}

func (s *Server) collection(p Person, ref Ref, r *web.Request) *web.Response {
	id := s.o.Site.Of(p.Name, ref.Part)
	switch ref.Part {
	case PartFeatured, PartLiked:
		return document(list(id, nil))
	case PartFollowers, PartFollowing:
		n, err := s.people(p.Name, ref.Part)
		if err != nil {
			return RefuseError(err)
		}
		return document(counted(id, n))
	}
	return s.outbox(p, id, r)
}

// people counts who follows or is followed; who they are is nobody's business but theirs.
func (s *Server) people(name string, part Part) (int, error) {
	n := 0
	if part == PartFollowing {
		all, err := store.All[Following](s.o.Store, name, KindFollowing)
		for _, f := range all {
			if f.Accepted {
				n++
			}
		}
		return n, err
	}
	all, err := store.All[Follower](s.o.Store, name, KindFollower)
	for _, f := range all {
		if f.Accepted {
			n++
		}
	}
	return n, err
}

// listed gives the listed posts of an actor, newest first.
func (s *Server) listed(name string) ([]Post, error) {
	all, err := store.All[Post](s.o.Store, name, KindPost)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(p Post) bool { return !p.Listed() })
	slices.SortStableFunc(all, func(a, b Post) int { return b.Created.Compare(a.Created) })
	return all, nil
}

func (s *Server) outbox(p Person, id string, r *web.Request) *web.Response {
	posts, err := s.listed(p.Name)
	if err != nil {
		return RefuseError(err)
	}
	n, paged := pageNumber(r)
	if !paged {
		return document(counted(id, len(posts)).Set("first", pageURL(id, 1)))
	}
	o := object.New("OrderedCollectionPage").Set("id", pageURL(id, n)).Set("partOf", id).Set("totalItems", len(posts))
	items := []*object.Object{}
	for i := (n - 1) * pageSize; i < len(posts) && len(items) < pageSize; i++ {
		note, err := object.Parse(posts[i].Object)
		if err != nil {
			continue // written by an older version; its own address says so
		}
		create := object.New("Create").Set("id", posts[i].ID+"#create").Set("actor", s.o.Site.Actor(p.Name)).Set("object", note)
		create.Set("to", note.To()).Set("cc", note.Cc()).SetTime("published", posts[i].Created)
		items = append(items, create)
	}
	if n*pageSize < len(posts) {
		o.Set("next", pageURL(id, n+1))
	}
	return document(o.Set("orderedItems", items))
}

// replies gives the known public answers to a post.
func (s *Server) replies(p Person, ref Ref) *web.Response {
	all, err := s.o.Store.List(p.Name, KindReply)
	if err != nil {
		return RefuseError(err)
	}
	members := []any{}
	for _, r := range all {
		var id string
		if strings.HasPrefix(r.Key, ref.ID+" ") && json.Unmarshal(r.Value, &id) == nil && len(members) < 100 {
			members = append(members, id)
		}
	}
	return document(object.New("Collection").Set("id", s.o.Site.Named(p.Name, PartReplies, ref.ID)).Set("totalItems", len(members)).Set("items", members))
}

// view gives an actor for people.
func (s *Server) view(p Person) page.Actor {
	a := page.Actor{Name: p.Actor.Name, Handle: s.o.Site.Handle(p.Name), ID: s.o.Site.Actor(p.Name), Summary: summary(p.Actor), Feed: s.o.Site.Of(p.Name, PartFeed)}
	if a.Name == "" {
		a.Name = p.Name
	}
	if o := s.o.Site.icon(p.Name, p.Actor.Avatar); o != nil {
		a.Icon = o.Text("url")
	}
	return a
}

// viewPost gives a post for people. What it says was written by richtext, and is
// read and written again so that nothing else can ever reach a browser.
func viewPost(post Post) (page.Post, error) {
	o, err := object.Parse(post.Object)
	if err != nil {
		return page.Post{}, err
	}
	html, lang := o.Content()
	title, _ := o.Name()
	warning, _ := o.Summary()
	text := richtext.ParseHTML(html, richtext.HTML{}).Text
	v := page.Post{ID: post.ID, Title: title, Content: richtext.PrintHTML(text, richtext.Print{Rel: "nofollow noopener noreferrer"}),
		Language: lang, Created: post.Created, Updated: post.Updated}
	if warning != "" {
		v.Warning = richtext.ParseHTML(warning, richtext.HTML{}).Text.Plain
	}
	for _, f := range o.Attachments() {
		for _, l := range f.Links("url")[:min(1, len(f.Links("url")))] {
			if object.Origin(l.Href) != "" {
				kind := f.Text("mediaType")
				v.Files = append(v.Files, page.File{URL: l.Href, Type: kind, Alt: f.Text("name"), Image: strings.HasPrefix(kind, "image/")})
			}
		}
	}
	return v, nil
}

func (s *Server) posts(name string) ([]page.Post, error) {
	posts, err := s.listed(name)
	if err != nil {
		return nil, err
	}
	var out []page.Post
	for _, post := range posts[:min(len(posts), pageSizePeople)] {
		if v, err := viewPost(post); err == nil {
			out = append(out, v)
		}
	}
	return out, nil
}

// page answers for a person with a browser.
func (s *Server) page(p Person, ref Ref) *web.Response {
	a := s.view(p)
	var body []byte
	var err error
	if ref.Part == PartActor {
		if a.Posts, err = s.posts(p.Name); err == nil {
			a.Followers, err = s.people(p.Name, PartFollowers)
		}
		if err == nil {
			body, err = page.WriteActor(a)
		}
	} else {
		var gone time.Time
		if was, err := s.o.Store.Get(p.Name, KindGone, ref.ID, &gone); err == nil && was {
			return Refuse(410, "the post was deleted", 0)
		}
		var post Post
		ok, err := s.o.Store.Get(p.Name, KindPost, ref.ID, &post)
		if err != nil || !ok || !post.Public() {
			return missing(err, "there is no such post")
		}
		v, err := viewPost(post)
		if err != nil {
			return RefuseError(sdk.Errorf(sdk.Internal, "show "+post.ID, "%w", err))
		}
		if body, err = page.WritePost(a, v); err != nil {
			return RefuseError(err)
		}
	}
	if err != nil {
		return RefuseError(err)
	}
	r := answer200(typeHTML, body)
	r.Header["Content-Security-Policy"] = []string{page.Policy}
	r.Header["Vary"] = []string{"Accept"}
	r.Header["Referrer-Policy"] = []string{"no-referrer"}
	return r
}

func (s *Server) feed(p Person) *web.Response {
	if s.o.Secure {
		return Refuse(404, "feeds are closed here", 0)
	}
	a := s.view(p)
	var err error
	if a.Posts, err = s.posts(p.Name); err != nil {
		return RefuseError(err)
	}
	body, err := page.WriteFeed(a)
	if err != nil {
		return RefuseError(err)
	}
	return answer200(typeAtom, body)
}
