// Package xmpp is the plugin that links XMPP: as a component (XEP-0114) of a
// server, or as the client of an account. Places are rooms (XEP-0045); authors
// from elsewhere appear in them as occupants of their own where the link is a
// component, else by name in the text.
package xmpp

import (
	_ "embed"

	"bridgehost/sdk"
	"bridgehost/sdk/settings"
)

//go:embed sample.toml
var sample string

// Version is the version of the plugin.
const Version = "0.1.0"

type plugin struct{}

// New gives the plugin.
func New() sdk.Plugin { return plugin{} }

// Describe implements sdk.Plugin.
func (plugin) Describe() sdk.Manifest {
	schema, err := settings.Schema(defaults())
	if err != nil {
		schema = nil // a test holds that the table has a schema
	}
	kinds := []sdk.ChangeKind{
		sdk.KindItemCreated, sdk.KindItemUpdated, sdk.KindItemRetracted, sdk.KindReactionsSet, sdk.KindShared, sdk.KindUnshared,
		sdk.KindFollowAsked, sdk.KindFollowAnswered, sdk.KindUnfollowed, sdk.KindActorUpdated, sdk.KindActorMoved, sdk.KindActorGone,
		sdk.KindMemberChanged, sdk.KindConversationUpdated, sdk.KindBlocked, sdk.KindUnblocked, sdk.KindReported, sdk.KindSignal,
	}
	return sdk.Manifest{
		ID: "xmpp", Version: Version,
		Description: "XMPP rooms, chats, contacts and pubsub nodes, by a component or by an account",
		ContractMin: sdk.ContractVersionMin, ContractMax: sdk.ContractVersion,
		Takes:  kinds,
		Gives:  kinds,
		Facets: []string{"deliverer", "placer", "informed", "resolver"},
		Schema: schema, Sample: sample,
		BatchMax: 1024,
		Reports:  true,
	}
}

// Open implements sdk.Plugin.
func (plugin) Open(cfg sdk.Config, h sdk.Host) (sdk.Link, error) {
	s, err := parse(cfg)
	if err != nil {
		return nil, err
	}
	return newLink(cfg, s, h)
}
