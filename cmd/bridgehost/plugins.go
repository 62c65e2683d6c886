package main

import (
	"bridgehost/plugins/activitypub"
	"bridgehost/plugins/webhook"
	"bridgehost/plugins/xmpp"
	"bridgehost/sdk"
)

// builtins lists the plugins that are part of this program.
func builtins() map[string]sdk.Plugin {
	return map[string]sdk.Plugin{
		"activitypub": activitypub.New(activitypub.Options{}),
		"webhook":     webhook.New(webhook.Options{}),
		"xmpp":        xmpp.New(),
	}
}
