package convert

import "testing"

func TestRelayedKnowsOurIDs(t *testing.T) {
	for id, want := range map[string]bool{
		MessageID(Tag("home", "bridge.example.org"), "d1-2-3"):     true,
		MessageID(Tag("home", "bridge.example.org"), "strange id"): true,
		"bh00ff00-": true,
		"bh00ff0-x": false, "bh00FF00-x": false, "bhello-world": false, "": false, "bh": false, "bh123456": false,
	} {
		if got := Relayed("", id); got != want {
			t.Errorf("Relayed(%q) = %v, want %v", id, got, want)
		}
	}
}
