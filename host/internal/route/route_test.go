package route_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"bridgehost/host/internal/route"
	"bridgehost/sdk"
)

func ref(s string) sdk.Ref {
	r, _ := sdk.ParseRef(s)
	return r
}

// kinds tells kinds of places.
type kinds map[sdk.Ref]sdk.ConversationKind

func (k kinds) Place(r sdk.Ref) (sdk.Place, bool) {
	kind, ok := k[r]
	return sdk.Place{Ref: r, Kind: kind}, ok
}

func message(place sdk.Ref, vis sdk.Visibility, via ...sdk.LinkID) *sdk.Event {
	return &sdk.Event{Place: place, Via: via, Change: sdk.ItemCreated{Item: sdk.Item{Visibility: vis}}}
}

func names(ts []route.Target) []string {
	var out []string
	for _, t := range ts {
		out = append(out, t.Place.String())
	}
	slices.Sort(out)
	return out
}

func TestRoute(t *testing.T) {
	rules := []route.Rule{
		{ID: "one", From: ref("a:1"), To: []sdk.Ref{ref("b:1"), ref("b:1"), ref("a:1"), ref("a:2")}},
		{ID: "mesh", From: ref("a:3"), To: []sdk.Ref{ref("b:3"), ref("c:3")}, BothWays: true},
		{ID: "again", From: ref("a:1"), To: []sdk.Ref{ref("b:1"), ref("c:1")}},
	}
	table := route.NewTable(rules)
	cases := []struct {
		name string
		ev   *sdk.Event
		want []string
	}{
		{"each place once, never itself", message(ref("a:1"), 0, "a"), []string{"a:2", "b:1", "c:1"}},
		{"one way is no way back", message(ref("b:1"), 0, "b"), nil},
		{"all places of a rule are kept in step", message(ref("c:3"), 0, "c"), []string{"a:3", "b:3"}},
		{"not where it came through", message(ref("a:3"), 0, "b", "a"), []string{"c:3"}},
		{"for followers: nowhere", message(ref("a:3"), sdk.VisibilityFollowers, "a"), nil},
		{"notice", &sdk.Event{Place: ref("a:3"), Notice: true, Change: sdk.ItemCreated{}}, nil},
		{"block", &sdk.Event{Place: ref("a:3"), Change: sdk.Blocked{}}, nil},
		{"unknown place", message(ref("z:1"), 0), nil},
	}
	for _, c := range cases {
		if got := names(route.Route(c.ev, table.Ways(c.ev.Place), nil)); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	if a, b := table.Conversation(ref("a:3")), table.Conversation(ref("c:3")); a != b || a == "" || a == table.Conversation(ref("a:1")) {
		t.Errorf("conversations %q, %q", a, b)
	}
	want := []sdk.PlaceUse{{ID: "1", Target: true}, {ID: "3", Source: true, Target: true}}
	if got := table.Places("b"); !slices.Equal(got, want) {
		t.Errorf("places of b = %+v, want %+v", got, want)
	}
}

func TestKindsOfPlacesCount(t *testing.T) {
	table := route.NewTable([]route.Rule{{ID: "r", From: ref("a:dm"), To: []sdk.Ref{ref("b:dm"), ref("b:room")}}})
	known := kinds{ref("a:dm"): sdk.ConversationDirect, ref("b:dm"): sdk.ConversationDirect}
	got := names(route.Route(message(ref("a:dm"), sdk.VisibilityDirect, "a"), table.Ways(ref("a:dm")), known))
	if !slices.Equal(got, []string{"b:dm"}) {
		t.Errorf("a private message goes to %v", got)
	}
}

func TestVisibilityOnlyNarrows(t *testing.T) {
	const room, direct, feed, hook = sdk.ConversationRoom, sdk.ConversationDirect, sdk.ConversationFeed, sdk.ConversationHook
	cases := []struct {
		vis      sdk.Visibility
		from, to sdk.ConversationKind
		want     bool
	}{
		{sdk.VisibilityPlace, room, room, true}, {sdk.VisibilityPlace, room, feed, true}, {sdk.VisibilityPlace, hook, room, true},
		{sdk.VisibilityPlace, direct, room, false}, {sdk.VisibilityPlace, direct, feed, false}, {sdk.VisibilityPlace, direct, direct, true},
		{sdk.VisibilityPublic, feed, room, true}, {sdk.VisibilityUnlisted, feed, room, true}, {sdk.VisibilityPublic, feed, direct, true},
		{sdk.VisibilityFollowers, feed, room, false}, {sdk.VisibilityFollowers, feed, feed, false}, {sdk.VisibilityFollowers, direct, direct, false},
		{sdk.VisibilityDirect, direct, direct, true}, {sdk.VisibilityDirect, room, direct, false}, {sdk.VisibilityDirect, direct, room, false},
		{sdk.Visibility(77), room, room, false},
	}
	for _, c := range cases {
		if got := route.Allowed(c.vis, c.from, c.to); got != c.want {
			t.Errorf("Allowed(%d, %d -> %d) = %v, want %v", c.vis, c.from, c.to, got, c.want)
		}
	}
}

// TestRandomGraph is BR-04: in a random graph of 20 rooms what goes out is
// exactly what the rules say, and a copy that comes back with its trail goes
// nowhere that it has been.
func TestRandomGraph(t *testing.T) {
	rooms := make([]sdk.Ref, 20)
	for i := range rooms {
		rooms[i] = ref(fmt.Sprintf("l%d:r%d", i%6, i))
	}
	rapid.Check(t, func(t *rapid.T) {
		var rules []route.Rule
		want := map[sdk.Ref]map[sdk.Ref]bool{}
		edge := func(a, b sdk.Ref) {
			if a != b {
				if want[a] == nil {
					want[a] = map[sdk.Ref]bool{}
				}
				want[a][b] = true
			}
		}
		for i := range rapid.IntRange(0, 25).Draw(t, "rules") {
			places := rapid.SliceOfN(rapid.SampledFrom(rooms), 2, 5).Draw(t, "places")
			both := rapid.Bool().Draw(t, "both ways")
			rules = append(rules, route.Rule{ID: sdk.RouteID(fmt.Sprint("r", i)), From: places[0], To: places[1:], BothWays: both})
			for _, to := range places[1:] {
				edge(places[0], to)
			}
			for _, from := range places[1:] {
				for _, to := range places {
					if both {
						edge(from, to)
					}
				}
			}
		}
		table := route.NewTable(rules)
		for range 50 {
			from := rapid.SampledFrom(rooms).Draw(t, "from")
			got := route.Route(message(from, 0, from.Link), table.Ways(from), nil)
			seen := map[sdk.Ref]bool{}
			for _, target := range got {
				if seen[target.Place] {
					t.Fatalf("%v goes to %v twice", from, target.Place)
				}
				seen[target.Place] = true
			}
			if !maps.Equal(seen, want[from]) && len(seen)+len(want[from]) > 0 {
				t.Fatalf("from %v: got %v, want %v", from, seen, want[from])
			}
			for _, target := range got {
				for _, back := range route.Route(message(target.Place, 0, from.Link, target.Place.Link), table.Ways(target.Place), nil) {
					if back.Place.Link == from.Link || back.Place.Link == target.Place.Link {
						t.Fatalf("%v came back to %v by way of %v", from, back.Place, target.Place)
					}
				}
			}
		}
	})
}
