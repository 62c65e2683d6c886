package identity_test

import (
	"testing"

	"bridgehost/host/internal/identity"
	"bridgehost/sdk"
)

func TestRefuses(t *testing.T) {
	cases := []struct {
		name  string
		actor sdk.Actor
		want  bool
	}{
		{"plain", sdk.Actor{Name: "Juliet"}, false},
		{"setting", sdk.Actor{Consent: sdk.ConsentRefused}, true},
		{"mark in summary", sdk.Actor{Summary: sdk.NewText("Poet. #NoBridge, please")}, true},
		{"mark in html text", sdk.Actor{Summary: sdk.NewText("<a>#nobot</a>")}, true},
		{"mark in name", sdk.Actor{Name: "Romeo #nobots"}, true},
		{"longer word", sdk.Actor{Summary: sdk.NewText("#nobridgetoofar")}, false},
		{"yes beats mark", sdk.Actor{Consent: sdk.ConsentGiven, Summary: sdk.NewText("#nobot")}, false},
	}
	for _, c := range cases {
		if got := identity.Refuses(&c.actor); got != c.want {
			t.Errorf("%s: Refuses = %v, want %v", c.name, got, c.want)
		}
	}
}
