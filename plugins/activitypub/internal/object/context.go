package object

// The contexts that stand as addresses in what is written; nobody loads them.
const (
	ContextStreams  = "https://www.w3.org/ns/activitystreams"
	ContextSecurity = "https://w3id.org/security/v1"
	contextMultikey = "https://w3id.org/security/multikey/v1"
	contextProof    = "https://w3id.org/security/data-integrity/v1"
)

// prefixes are the namespaces of terms.
var prefixes = map[string]string{
	"toot": "http://joinmastodon.org/ns#", "schema": "http://schema.org#", "misskey": "https://misskey-hub.net/ns#",
	"fedibird": "http://fedibird.com/ns#", "litepub": "http://litepub.social/ns#", "pt": "https://joinpeertube.org/ns#",
	"mz": "https://joinmobilizon.org/ns#", "ical": "http://www.w3.org/2002/12/cal/ical#", "ostatus": "http://ostatus.org#",
	"gts": "https://gotosocial.org/ns#", "sec": "https://w3id.org/security#",
}

// term says what a name means: its prefix, or a definition of its own.
type term struct {
	prefix string
	def    any // string or map[string]any
}

func id(prefix, name string) term {
	return term{prefix, map[string]any{"@id": prefix + ":" + name, "@type": "@id"}}
}

func plain(prefix, name string) term { return term{prefix, prefix + ":" + name} }

// terms are the names beyond the vocabulary that this software writes, members and types.
var terms = map[string]term{
	"sensitive": {"", "as:sensitive"}, "Hashtag": {"", "as:Hashtag"}, "quoteUrl": {"", "as:quoteUrl"},
	"manuallyApprovesFollowers": {"", "as:manuallyApprovesFollowers"}, "movedTo": {"", map[string]any{"@id": "as:movedTo", "@type": "@id"}},
	"alsoKnownAs": {"", map[string]any{"@id": "as:alsoKnownAs", "@type": "@id"}},
	"Emoji":       plain("toot", "Emoji"), "blurhash": plain("toot", "blurhash"), "votersCount": plain("toot", "votersCount"),
	"discoverable": plain("toot", "discoverable"), "indexable": plain("toot", "indexable"), "featured": id("toot", "featured"),
	"focalPoint": {"toot", map[string]any{"@id": "toot:focalPoint", "@container": "@list"}},
	"quoteUri":   plain("fedibird", "quoteUri"), "_misskey_quote": plain("misskey", "_misskey_quote"),
	"_misskey_reaction": plain("misskey", "_misskey_reaction"), "_misskey_content": plain("misskey", "_misskey_content"),
	"EmojiReact": plain("litepub", "EmojiReact"), "ChatMessage": plain("litepub", "ChatMessage"),
	"conversation": plain("ostatus", "conversation"), "PropertyValue": plain("schema", "PropertyValue"), "value": plain("schema", "value"),
	"webfinger":          {"", map[string]any{"@id": "https://purl.archive.org/socialweb/webfinger#webfinger", "@type": "http://www.w3.org/2001/XMLSchema#string"}},
	"commentsEnabled":    plain("pt", "commentsEnabled"),
	"quote":              {"", map[string]any{"@id": "https://w3id.org/fep/044f#quote", "@type": "@id"}},
	"quoteAuthorization": {"", map[string]any{"@id": "https://w3id.org/fep/044f#quoteAuthorization", "@type": "@id"}},
	"QuoteRequest":       {"", "https://w3id.org/fep/044f#QuoteRequest"},
	"QuoteAuthorization": {"", "https://w3id.org/fep/044f#QuoteAuthorization"},
	"interactionPolicy":  id("gts", "interactionPolicy"), "canQuote": id("gts", "canQuote"), "canReply": id("gts", "canReply"),
	"canLike": id("gts", "canLike"), "canAnnounce": id("gts", "canAnnounce"), "automaticApproval": id("gts", "automaticApproval"),
	"manualApproval": id("gts", "manualApproval"), "interactingObject": id("gts", "interactingObject"),
	"interactionTarget": id("gts", "interactionTarget"),
	"joinMode":          {"mz", map[string]any{"@id": "mz:joinMode", "@type": "mz:joinModeType"}}, "timezone": plain("mz", "timezone"),
	"isOnline": plain("mz", "isOnline"), "participantCount": plain("mz", "participantCount"),
	"externalParticipationUrl":      plain("mz", "externalParticipationUrl"),
	"anonymousParticipationEnabled": plain("mz", "anonymousParticipationEnabled"),
	"repliesModerationOption":       plain("mz", "repliesModerationOption"),
	"maximumAttendeeCapacity":       plain("schema", "maximumAttendeeCapacity"),
	"remainingAttendeeCapacity":     plain("schema", "remainingAttendeeCapacity"), "category": plain("schema", "category"),
	"eventStatus": plain("schema", "eventStatus"), "inLanguage": plain("schema", "inLanguage"), "PostalAddress": plain("schema", "PostalAddress"),
	"address": plain("schema", "address"), "streetAddress": plain("schema", "streetAddress"), "postalCode": plain("schema", "postalCode"),
	"addressLocality": plain("schema", "addressLocality"), "addressRegion": plain("schema", "addressRegion"),
	"addressCountry": plain("schema", "addressCountry"), "status": {"ical", map[string]any{"@id": "ical:status"}},
	"uuid": plain("schema", "identifier"), "VirtualLocation": plain("schema", "VirtualLocation"),
}

// contextOf gives the context of the names that a document uses: the vocabulary, the security contexts where keys or proofs are, and
// an object with the rest.
func contextOf(m map[string]any) any {
	used := map[string]bool{}
	collect(m, used)
	out := []any{ContextStreams}
	if used["publicKey"] || used["publicKeyPem"] {
		out = append(out, ContextSecurity)
	}
	if used["assertionMethod"] || used["Multikey"] {
		out = append(out, contextMultikey)
	}
	if used["proof"] {
		out = append(out, contextProof)
	}
	own := map[string]any{}
	for name := range used {
		t, known := terms[name]
		if !known {
			if ns, prefixed := prefixes[name]; prefixed {
				own[name] = ns
			}
			continue
		}
		own[name] = t.def
		if t.prefix != "" {
			own[t.prefix] = prefixes[t.prefix]
		}
	}
	if len(own) > 0 {
		out = append(out, own)
	}
	if len(out) == 1 {
		return ContextStreams
	}
	return out
}

// collect gathers the names of members and types, and the prefixes of those that have one.
func collect(v any, used map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			used[k] = true
			for i := range k {
				if k[i] == ':' {
					used[k[:i]] = true
					break
				}
			}
			if !freeNames(k) {
				collect(e, used)
			}
		}
		for _, t := range typesOf(v) {
			used[t] = true
		}
	case []any:
		for _, e := range v {
			collect(e, used)
		}
	}
}
