package actor

import "testing"

var site = Site{Base: "https://b.example", Path: "/ap", Domain: "example.org"}

func TestSite(t *testing.T) {
	for id, want := range map[string]Ref{
		site.Actor("juliet"):                             {Name: "juliet"},
		site.Key("juliet"):                               {Name: "juliet"},
		site.Actor(InstanceName):                         {Name: InstanceName},
		site.Of("juliet", PartFollowers):                 {Name: "juliet", Part: PartFollowers},
		site.Named("juliet", PartObject, "a/b c"):        {Name: "juliet", Part: PartObject, ID: "a/b c"},
		site.Named(InstanceName, PartActivity, "flag-1"): {Name: InstanceName, Part: PartActivity, ID: "flag-1"},
		site.SharedInbox():                               {Part: PartSharedInbox},
		site.Of("juliet", PartOutbox) + "?page=1":        {Name: "juliet", Part: PartOutbox},
	} {
		if got, ok := site.Parse(id); !ok || got != want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", id, got, ok, want)
		}
	}
	for _, id := range []string{"", "https://b.example", "https://b.example.evil/ap/u/juliet", "https://b.example/ap/u/", "https://b.example/ap/u/j/o/",
		"https://b.example/ap/u/j/secret", "https://b.example/apu/j", "https://b.example/ap/u/%zz", "http://b.example/ap/u/juliet"} {
		if got, ok := site.Parse(id); ok {
			t.Errorf("Parse(%q) = %+v", id, got)
		}
	}
}

func TestWantsDocument(t *testing.T) {
	for accept, want := range map[string]bool{
		"application/activity+json": true, `application/ld+json; profile="https://www.w3.org/ns/activitystreams"`: true,
		"text/html,application/xhtml+xml;q=0.9,*/*;q=0.8": false, "": false, "*/*": false,
		"application/activity+json, application/ld+json": true, "text/html, application/activity+json": false,
	} {
		if got := WantsDocument(accept); got != want {
			t.Errorf("WantsDocument(%q) = %v", accept, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("u/juliet/o/1")
	f.Add("instance")
	f.Fuzz(func(t *testing.T, path string) {
		ref, ok := parsePath(path)
		if !ok || ref.ID == "" {
			return
		}
		if back, ok := site.Parse(site.Named(ref.Name, ref.Part, ref.ID)); ok && back.ID != ref.ID {
			t.Fatalf("%q reads as %+v, and back as %+v", path, ref, back)
		}
	})
}
