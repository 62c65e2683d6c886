package host

import (
	"slices"
	"testing"

	"bridgehost/host/config"
	"bridgehost/host/internal/supervise"
	"bridgehost/sdk"
)

// TestUnready covers links that a reload is just removing: the supervisor still
// shows them and the configuration no longer does.
func TestUnready(t *testing.T) {
	cfg := &config.Config{Links: map[string]*config.Link{"home": {}, "up": {}, "spare": {Optional: true}}}
	got := unready(cfg, []supervise.Status{
		{Link: "home", State: sdk.StateDown}, {Link: "up", State: sdk.StateUp},
		{Link: "spare", State: sdk.StateDown}, {Link: "gone", State: sdk.StateDown},
	})
	if want := []string{"link home is down"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
