package sign

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"time"

	"bridgehost/plugins/activitypub/internal/keys"
)

// The one kind of proof that is made and verified (FEP-8b32; Data Integrity EdDSA Cryptosuites §3.3).
const (
	proofType    = "DataIntegrityProof"
	proofSuite   = "eddsa-jcs-2022"
	proofPurpose = "assertionMethod"
	maxProofs    = 8
)

// Proof is a verified proof inside a document.
type Proof struct {
	Method string // id of the key
	Owner  string // who made it: the actor of an activity, an author of an object, or the actor that the document is
	Made   time.Time
}

// VerifyProof checks the integrity proof of a document (FEP-8b32 §verification) and that its key belongs to whom the document names as
// actor, author, or itself. A linked-data signature beside it is left out of what is hashed and never evaluated (AP-10). Every error is
// an *Error; NoProof says that there is none of a kind known here.
func VerifyProof(ctx context.Context, doc []byte, src KeySource, now time.Time) (Proof, error) {
	v, err := decode(doc)
	m, ok := v.(map[string]any)
	if err != nil || !ok {
		return Proof{}, refuse(Malformed, "document is no JSON object")
	}
	proof := pickProof(m["proof"])
	if proof == nil {
		return Proof{}, refuse(NoProof, "")
	}
	out, value, err := readProof(proof, now)
	if err != nil {
		return Proof{}, err
	}
	hash, err := proofHash(m, proof)
	if err != nil {
		return Proof{}, err
	}
	owners := ownersOf(m)
	for _, fresh := range []bool{false, true} {
		key, err := src.PublicKey(ctx, out.Method, fresh)
		if err != nil {
			if ReasonOf(err) != "" {
				return Proof{}, err
			}
			return Proof{}, &Error{Reason: NoKey, Err: err}
		}
		if key.ID != out.Method || !sameHost(key.ID, key.Owner) {
			return Proof{}, refuse(KeyOwner, "key and owner are not of one host")
		}
		if !owners[key.Owner] {
			return Proof{}, refuse(ActorMismatch, "the key belongs to another actor")
		}
		pub, ok := key.Key.(ed25519.PublicKey)
		if !ok {
			return Proof{}, refuse(Algorithm, "the key is not Ed25519")
		}
		if ed25519.Verify(pub, hash, value) {
			out.Owner = key.Owner
			return out, nil
		}
	}
	return Proof{}, refuse(BadSignature, "proof")
}

// pickProof gives the first proof of the known kind; a document may have several.
func pickProof(v any) map[string]any {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for i, e := range list {
		if i == maxProofs {
			break
		}
		if p, ok := e.(map[string]any); ok && p["type"] == proofType && p["cryptosuite"] == proofSuite {
			return p
		}
	}
	return nil
}

func readProof(p map[string]any, now time.Time) (out Proof, value []byte, err error) {
	out.Method, _ = p["verificationMethod"].(string)
	if out.Method == "" {
		return out, nil, refuse(BadKeyID, "no verificationMethod")
	}
	if p["proofPurpose"] != proofPurpose {
		return out, nil, refuse(Malformed, "proofPurpose")
	}
	text, _ := p["proofValue"].(string)
	if value, err = keys.DecodeMultibase(text); err != nil || len(value) != ed25519.SignatureSize {
		return out, nil, refuse(Malformed, "proofValue")
	}
	for _, name := range []string{"created", "expires"} {
		v, given := p[name]
		if !given {
			continue
		}
		s, _ := v.(string)
		t, err := time.Parse(time.RFC3339, s)
		switch {
		case err != nil:
			return out, nil, refuse(Malformed, "%s of the proof", name)
		case name == "expires" && now.After(t):
			return out, nil, refuse(Expired, "proof")
		case name == "created" && t.After(now.Add(5*time.Minute)):
			return out, nil, refuse(Future, "proof")
		case name == "created":
			out.Made = t
		}
	}
	return out, value, nil
}

// proofHash is what is signed: the hash of the proof without its value, then that of the document without proof (vc-di-eddsa §3.3.4).
func proofHash(doc, proof map[string]any) ([]byte, error) {
	bare := maps.Clone(doc)
	delete(bare, "proof")
	delete(bare, "signature") // FEP-8b32: a linked-data signature is removed first
	options := maps.Clone(proof)
	delete(options, "proofValue")
	if c, ok := options["@context"]; ok {
		// vc-di-eddsa §3.3.2: the document's context must begin with that of the proof, which then stands for it.
		if !contextPrefix(bare["@context"], c) {
			return nil, refuse(Malformed, "context of the proof")
		}
		bare["@context"] = c
	}
	var out []byte
	for _, v := range []any{options, bare} {
		b, err := appendCanonical(nil, v)
		if err != nil {
			return nil, refuse(Malformed, "document is no I-JSON")
		}
		h := sha256.Sum256(b)
		out = append(out, h[:]...)
	}
	return out, nil
}

func contextPrefix(doc, proof any) bool {
	d, p := asList(doc), asList(proof)
	return len(p) <= len(d) && reflect.DeepEqual(d[:len(p)], p)
}

func asList(v any) []any {
	if l, ok := v.([]any); ok {
		return l
	}
	if v == nil {
		return nil
	}
	return []any{v}
}

// ownersOf gives the ids of those whose proof counts: the actor of an activity, else the authors, else the document itself.
func ownersOf(m map[string]any) map[string]bool {
	out := map[string]bool{}
	for _, name := range []string{"actor", "attributedTo", "id"} {
		for _, v := range asList(m[name]) {
			if o, ok := v.(map[string]any); ok {
				v = o["id"]
			}
			if s, ok := v.(string); ok && s != "" {
				out[s] = true
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return out
}

// AddProof puts an integrity proof into a document, which must have none: the bytes that are there stay as they are. id is that of the
// key, as the actor's assertionMethod lists it.
func AddProof(doc []byte, id string, key ed25519.PrivateKey, now time.Time) ([]byte, error) {
	v, err := decode(doc)
	if err != nil {
		return nil, fmt.Errorf("add proof: %w", err)
	}
	m, ok := v.(map[string]any)
	if _, has := m["proof"]; !ok || has || len(m) == 0 {
		return nil, fmt.Errorf("add proof: document is no object without a proof")
	}
	proof := map[string]any{"type": proofType, "cryptosuite": proofSuite, "verificationMethod": id,
		"proofPurpose": proofPurpose, "created": now.UTC().Format(time.RFC3339)}
	if c, ok := m["@context"]; ok {
		proof["@context"] = c
	}
	hash, err := proofHash(m, proof)
	if err != nil {
		return nil, fmt.Errorf("add proof: %w", err)
	}
	proof["proofValue"] = keys.EncodeMultibase(ed25519.Sign(key, hash))
	raw, err := json.Marshal(proof)
	if err != nil {
		return nil, fmt.Errorf("add proof: %w", err)
	}
	end := bytes.LastIndexByte(doc, '}')
	out := append(make([]byte, 0, len(doc)+len(raw)+16), doc[:end]...)
	out = append(bytes.TrimRight(out, " \t\r\n"), `,"proof":`...)
	return append(append(out, raw...), '}'), nil
}
