package sign

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// claim is what a signature says of itself, read but not yet proved.
type claim struct {
	form    Form
	keyID   string
	alg     string
	sig     []byte
	times   []time.Time // created and Date, those that are signed
	expires time.Time   // zero = not said
	bases   [][]byte    // the strings that may have been signed, best first
}

// maxCovered bounds the list of covered headers.
const maxCovered = 64

// readCavage reads a signature by draft-cavage-12 and demands that it covers what it must.
func readCavage(r *Request) (*claim, error) {
	values := r.values("Signature")
	if len(values) > 1 {
		return nil, refuse(ManySignatures, "several Signature headers")
	}
	if len(values) == 0 || strings.TrimSpace(values[0]) == "" {
		return nil, refuse(NoSignature, "")
	}
	params, err := parseCavage(values[0])
	if err != nil {
		return nil, refuse(Malformed, "Signature header")
	}
	c := &claim{form: Cavage, keyID: params["keyId"], alg: strings.ToLower(params["algorithm"])}
	if c.sig, err = base64.StdEncoding.DecodeString(params["signature"]); err != nil || len(c.sig) == 0 || c.keyID == "" {
		return nil, refuse(Malformed, "keyId or signature")
	}
	covered := strings.Fields(strings.ToLower(params["headers"]))
	if err := coveredCavage(r, covered); err != nil {
		return nil, err
	}
	if err := c.timesCavage(r, params, covered); err != nil {
		return nil, err
	}
	targets := []string{r.Target}
	if path, _, ok := strings.Cut(r.Target, "?"); ok && r.Method == http.MethodGet {
		targets = append(targets, path) // some servers sign the path alone; the query names no other resource of ours
	}
	for _, t := range targets {
		base, err := cavageBase(r, covered, t, params)
		if err != nil {
			return nil, err
		}
		c.bases = append(c.bases, base)
	}
	return c, nil
}

// coveredCavage demands the target, the host, a time, and for bodies a digest that is that of the body.
func coveredCavage(r *Request, covered []string) error {
	if len(covered) > maxCovered {
		return refuse(Malformed, "too many headers covered")
	}
	for i, h := range covered {
		if slices.Contains(covered[:i], h) {
			return refuse(Malformed, "a header covered twice")
		}
	}
	for _, h := range []string{"(request-target)", "host"} {
		if !slices.Contains(covered, h) {
			return refuse(Uncovered, "%s", h)
		}
	}
	if !slices.Contains(covered, "date") && !slices.Contains(covered, "(created)") {
		return refuse(Uncovered, "date or (created)")
	}
	return checkBody(r, slices.Contains(covered, "digest"), slices.Contains(covered, "content-digest"))
}

// checkBody compares every digest that there is with the body, signed or not, and demands a signed one for a body.
func checkBody(r *Request, digest, content bool) error {
	if v := r.values("Digest"); digest || len(v) > 0 {
		if err := checkDigest(v, r.Body); err != nil {
			return err
		}
	}
	if v := r.values("Content-Digest"); content || len(v) > 0 {
		if err := checkContentDigest(v, r.Body); err != nil {
			return err
		}
	}
	if r.hasBody() && !digest && !content {
		if len(r.values("Digest"))+len(r.values("Content-Digest")) == 0 {
			return refuse(NoDigest, "a body needs a digest")
		}
		return refuse(Uncovered, "digest")
	}
	return nil
}

// timesCavage reads the signed times. (created) and (expires) belong to hs2019 alone (draft-cavage-12 §2.3).
func (c *claim) timesCavage(r *Request, params map[string]string, covered []string) error {
	if slices.Contains(covered, "date") {
		v := r.values("Date")
		if len(v) != 1 {
			return refuse(Malformed, "Date header")
		}
		t, err := http.ParseTime(strings.TrimSpace(v[0]))
		if err != nil {
			return refuse(Malformed, "Date header")
		}
		c.times = append(c.times, t)
	}
	for _, name := range []string{"created", "expires"} {
		signed := slices.Contains(covered, "("+name+")")
		s, given := params[name]
		if !given {
			if signed {
				return refuse(Malformed, "%s is missing", name)
			}
			continue
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n <= 0 || n > 1<<40 {
			return refuse(Malformed, "%s", name)
		}
		if signed && c.alg != "" && c.alg != "hs2019" {
			return refuse(Algorithm, "(%s) needs hs2019", name)
		}
		switch {
		case name == "expires": // a limit is kept even if it is not signed
			c.expires = time.Unix(n, 0)
		case signed:
			c.times = append(c.times, time.Unix(n, 0))
		}
	}
	return nil
}

// cavageBase builds the string to sign (draft-cavage-12 §2.3).
func cavageBase(r *Request, covered []string, target string, params map[string]string) ([]byte, error) {
	var b strings.Builder
	for i, h := range covered {
		if i > 0 {
			b.WriteByte('\n')
		}
		var v string
		switch h {
		case "(request-target)":
			v = strings.ToLower(r.Method) + " " + target
		case "(created)":
			v = params["created"]
		case "(expires)":
			v = params["expires"]
		default:
			var ok bool
			if v, ok = r.field(h); !ok {
				return nil, refuse(Uncovered, "a covered header is missing")
			}
		}
		b.WriteString(h)
		b.WriteString(": ")
		b.WriteString(v)
	}
	return []byte(b.String()), nil
}
