package route_test

import (
	"slices"
	"testing"

	"bridgehost/host/internal/route"
	"bridgehost/sdk"
)

func TestGateway(t *testing.T) {
	gate := route.Gate{ID: "gateway a-b", Links: [2]sdk.LinkID{"a", "b"}, Filters: []route.FilterUse{{Link: "guard"}}}
	table := route.NewTable([]route.Rule{{ID: "r", From: ref("a:room"), To: []sdk.Ref{ref("b:room")}}}, gate)
	at := func(place string, change sdk.Change) *sdk.Event {
		return &sdk.Event{Place: ref(place), Via: []sdk.LinkID{ref(place).Link}, Change: change}
	}
	item := func(v sdk.Visibility) sdk.Change { return sdk.ItemCreated{Item: sdk.Item{Visibility: v}} }
	cases := []struct {
		name string
		ev   *sdk.Event
		want []string
	}{
		{"a chat is mirrored", at("a:romeo@x juliet@y", item(sdk.VisibilityPlace)), []string{"b:juliet@y romeo@x"}},
		{"and back", at("b:juliet@y romeo@x", item(sdk.VisibilityDirect)), []string{"a:romeo@x juliet@y"}},
		{"a feed is mirrored", at("a:romeo@x *", item(sdk.VisibilityFollowers)), []string{"b:* romeo@x"}},
		{"a direct item never is in a feed", at("a:romeo@x *", item(sdk.VisibilityDirect)), nil},
		{"a follow crosses", at("a:romeo@x juliet@y", sdk.FollowAsked{}), []string{"b:juliet@y romeo@x"}},
		{"a block crosses", at("a:romeo@x juliet@y", sdk.Blocked{}), []string{"b:juliet@y romeo@x"}},
		{"nothing for everybody by everybody", at("a:* *", item(0)), nil},
		{"a room is no place of the gateway", at("a:room", item(0)), []string{"b:room"}},
		{"a follow crosses by no route", at("a:room", sdk.FollowAsked{}), nil},
		{"an unknown room", at("a:other", item(0)), nil},
	}
	for _, c := range cases {
		if got := names(route.Route(c.ev, table.Ways(c.ev.Place), nil)); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	if w := table.Ways(ref("a:romeo@x juliet@y")); len(w) != 1 || w[0].Rule != gate.ID || !slices.Equal(w[0].Filters, gate.Filters) {
		t.Errorf("ways %+v", w)
	}
	one, two := table.Conversation(ref("a:romeo@x juliet@y")), table.Conversation(ref("b:juliet@y romeo@x"))
	if one == "" || one != two {
		t.Errorf("conversations %q and %q of the same places", one, two)
	}
	if other := table.Conversation(ref("a:romeo@x nurse@y")); other == one {
		t.Error("two conversations have one name")
	}
}
