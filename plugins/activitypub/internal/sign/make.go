package sign

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// Sign signs a request with key at now, and sets the headers that belong to it: Date, Digest or Content-Digest, Signature, and
// Signature-Input. Headers of an earlier try are replaced, so that each try is signed anew. The Host header is not set: who sends the
// request must send Request.Host.
func Sign(r *Request, form Form, key Key, now time.Time) error {
	if key.Signer == nil {
		return fmt.Errorf("sign request with %s: no private key", key.ID)
	}
	if r.Header == nil {
		r.Header = map[string][]string{}
	}
	for _, name := range []string{"Signature", "Signature-Input", "Digest", "Content-Digest"} {
		delete(r.Header, name)
	}
	if strings.ContainsAny(key.ID, "\"\\\r\n") {
		return fmt.Errorf("sign request: key id %q cannot be written", key.ID)
	}
	r.set("Date", httpDate(now))
	var err error
	if form == RFC9421 {
		err = sign9421(r, key, now)
	} else {
		err = signCavage(r, key)
	}
	if err != nil {
		return fmt.Errorf("sign request with %s: %w", key.ID, err)
	}
	return nil
}

// signCavage covers (request-target), host and date, and the digest of a body (draft-cavage-12 §2.3).
func signCavage(r *Request, key Key) error {
	covered := []string{"(request-target)", "host", "date"}
	if r.hasBody() {
		r.set("Digest", Digest(r.Body))
		covered = append(covered, "digest")
	}
	base, err := cavageBase(r, covered, r.Target, nil)
	if err != nil {
		return err
	}
	name := "rsa-sha256"
	if _, ok := key.Signer.Public().(ed25519.PublicKey); ok {
		name = "hs2019" // the draft has no other name for Ed25519
	}
	sig, err := signBytes(key.Signer, base)
	if err != nil {
		return err
	}
	r.set("Signature", fmt.Sprintf(`keyId="%s",algorithm="%s",headers="%s",signature="%s"`,
		key.ID, name, strings.Join(covered, " "), base64.StdEncoding.EncodeToString(sig)))
	return nil
}

// sign9421 covers what Mastodon asks for: @method and @target-uri, and the digest of a body (RFC 9421 §3.1).
func sign9421(r *Request, key Key, now time.Time) error {
	covered := []component{{name: "@method"}, {name: "@target-uri"}}
	list := `("@method" "@target-uri"`
	if r.hasBody() {
		r.set("Content-Digest", ContentDigest(r.Body))
		covered = append(covered, component{name: "content-digest"})
		list += ` "content-digest"`
	}
	alg := "rsa-v1_5-sha256"
	if _, ok := key.Signer.Public().(ed25519.PublicKey); ok {
		alg = "ed25519"
	}
	params := fmt.Sprintf(`%s);created=%d;keyid="%s";alg="%s"`, list, now.Unix(), key.ID, alg)
	base, err := base9421(r, covered, params)
	if err != nil {
		return err
	}
	sig, err := signBytes(key.Signer, base)
	if err != nil {
		return err
	}
	r.set("Signature-Input", "sig1="+params)
	r.set("Signature", "sig1=:"+base64.StdEncoding.EncodeToString(sig)+":")
	return nil
}

// signBytes signs with RSASSA-PKCS1-v1_5 and SHA-256, or Ed25519.
func signBytes(s crypto.Signer, base []byte) ([]byte, error) {
	switch s.Public().(type) {
	case *rsa.PublicKey:
		sum := sha256.Sum256(base)
		return s.Sign(rand.Reader, sum[:], crypto.SHA256)
	case ed25519.PublicKey:
		return s.Sign(rand.Reader, base, crypto.Hash(0))
	default:
		return nil, fmt.Errorf("key of kind %T", s.Public())
	}
}
