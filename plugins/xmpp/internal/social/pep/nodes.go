package pep

import (
	"strings"

	"bridgehost/plugins/xmpp/internal/social/attach"
	"bridgehost/plugins/xmpp/internal/social/pubsub"
)

// CommentsNode gives the name of the node with the answers to a post. Answers to
// an answer stand in the same node: clients show them as one list.
func CommentsNode(node, id string) string {
	if strings.HasPrefix(node, pubsub.CommentsPrefix) {
		return node
	}
	return pubsub.CommentsPrefix + id
}

// dependents are the nodes that exist only beside an item.
func dependents(owner, node, id string) []string {
	list := []string{attach.Node(pubsub.Address{Service: owner, Node: node, Item: id})}
	if node == pubsub.NSMicroblog {
		list = append(list, pubsub.CommentsPrefix+id)
	}
	return list
}

// kind says what a node of a virtual address is.
type kind uint8

const (
	kindNone kind = iota
	kindPosts
	kindComments
	kindAttachments
	kindSummary
	kindSubscribers
	kindFollowing
)

// classify gives the kind of a node, and what it is beside: the post of comments,
// the item of attachments, the node of a summary or of subscribers.
func classify(owner, node string) (kind, pubsub.Address) {
	switch {
	case node == pubsub.NSMicroblog:
		return kindPosts, pubsub.Address{}
	case node == pubsub.NodeFollowing:
		return kindFollowing, pubsub.Address{}
	case strings.HasPrefix(node, pubsub.CommentsPrefix):
		return kindComments, pubsub.Address{Service: owner, Node: pubsub.NSMicroblog, Item: node[len(pubsub.CommentsPrefix):]}
	case strings.HasPrefix(node, pubsub.AttachPrefix):
		target, ok := attach.Target(node)
		if k := known(target.Node); ok && target.Service == owner && k {
			return kindAttachments, target
		}
	case strings.HasPrefix(node, pubsub.SummaryPrefix):
		if n := node[len(pubsub.SummaryPrefix):]; known(n) {
			return kindSummary, pubsub.Address{Service: owner, Node: n}
		}
	case strings.HasPrefix(node, pubsub.SubscriberPrefix):
		if n := node[len(pubsub.SubscriberPrefix):]; known(n) {
			return kindSubscribers, pubsub.Address{Service: owner, Node: n}
		}
	}
	return kindNone, pubsub.Address{}
}

// known reports whether a node holds posts or comments.
func known(node string) bool {
	return node == pubsub.NSMicroblog || strings.HasPrefix(node, pubsub.CommentsPrefix)
}
