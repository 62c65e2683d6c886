package sign

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"strings"
)

// digestOf gives the sum of a body by a lower-case algorithm name; nil for names that prove nothing (md5, sha, unixsum …) or are unknown.
func digestOf(name string, body []byte) []byte {
	switch name {
	case "sha-256":
		s := sha256.Sum256(body)
		return s[:]
	case "sha-512":
		s := sha512.Sum512(body)
		return s[:]
	}
	return nil
}

// checkDigest compares a Digest header (RFC 3230 §4.3.2: SHA-256=BASE64) with the body as it came. There must be one header, each
// algorithm once, and one that proves something.
func checkDigest(values []string, body []byte) error {
	if len(values) == 0 {
		return refuse(NoDigest, "no Digest header")
	}
	if len(values) > 1 {
		return refuse(ManyDigests, "several Digest headers")
	}
	seen, good := map[string]bool{}, false
	for part := range strings.SplitSeq(values[0], ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			return refuse(Malformed, "Digest header")
		}
		name = strings.ToLower(name)
		if seen[name] {
			return refuse(ManyDigests, "an algorithm twice in Digest")
		}
		seen[name] = true
		want := digestOf(name, body)
		if want == nil {
			continue
		}
		got, err := base64.StdEncoding.DecodeString(value)
		if err != nil || subtle.ConstantTimeCompare(got, want) != 1 {
			return refuse(DigestMismatch, "Digest is not that of the body")
		}
		good = true
	}
	if !good {
		return refuse(NoDigest, "no SHA-256 or SHA-512 in Digest")
	}
	return nil
}

// checkContentDigest compares a Content-Digest header (RFC 9530 §2: sha-256=:BASE64:) with the body.
func checkContentDigest(values []string, body []byte) error {
	if len(values) == 0 {
		return refuse(NoDigest, "no Content-Digest header")
	}
	if len(values) > 1 {
		return refuse(ManyDigests, "several Content-Digest headers")
	}
	dict, err := parseDictionary(values[0])
	if err != nil {
		return refuse(Malformed, "Content-Digest header")
	}
	good := false
	for _, m := range dict {
		want := digestOf(m.name, body)
		if want == nil {
			continue
		}
		got, ok := m.value.([]byte)
		if !ok || subtle.ConstantTimeCompare(got, want) != 1 {
			return refuse(DigestMismatch, "Content-Digest is not that of the body")
		}
		good = true
	}
	if !good {
		return refuse(NoDigest, "no sha-256 or sha-512 in Content-Digest")
	}
	return nil
}

// Digest writes the value of a Digest header with SHA-256.
func Digest(body []byte) string {
	return "SHA-256=" + base64.StdEncoding.EncodeToString(digestOf("sha-256", body))
}

// ContentDigest writes the value of a Content-Digest header with sha-256.
func ContentDigest(body []byte) string {
	return "sha-256=:" + base64.StdEncoding.EncodeToString(digestOf("sha-256", body)) + ":"
}
