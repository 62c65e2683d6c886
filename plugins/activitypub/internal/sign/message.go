package sign

import (
	"slices"
	"strings"
	"time"
)

// read9421 reads a signature by RFC 9421 and demands that it covers what it must.
func read9421(r *Request) (*claim, error) {
	in, sigs := r.values("Signature-Input"), r.values("Signature")
	if len(in) > 1 || len(sigs) > 1 {
		return nil, refuse(ManySignatures, "several Signature or Signature-Input headers")
	}
	if len(sigs) == 0 {
		return nil, refuse(NoSignature, "Signature-Input without Signature")
	}
	inputs, err := parseDictionary(in[0])
	if err != nil {
		return nil, refuse(Malformed, "Signature-Input header")
	}
	values, err := parseDictionary(sigs[0])
	if err != nil {
		return nil, refuse(Malformed, "Signature header")
	}
	if len(inputs) != 1 || len(values) != 1 {
		return nil, refuse(ManySignatures, "one is taken")
	}
	sig, ok := values[0].value.([]byte)
	covered, isList := inputs[0].value.([]component)
	if !ok || !isList || len(sig) == 0 || values[0].name != inputs[0].name || len(covered) > maxCovered {
		return nil, refuse(Malformed, "Signature does not fit Signature-Input")
	}
	c := &claim{form: RFC9421, sig: sig}
	if err := c.params9421(inputs[0].params); err != nil {
		return nil, err
	}
	if err := covered9421(r, covered); err != nil {
		return nil, err
	}
	base, err := base9421(r, covered, inputs[0].raw)
	if err != nil {
		return nil, err
	}
	c.bases = [][]byte{base}
	return c, nil
}

// params9421 reads the parameters of a signature (RFC 9421 §2.3). created and keyid are demanded.
func (c *claim) params9421(params []param) error {
	for _, p := range params {
		ok := true
		switch p.name {
		case "created", "expires":
			var n int64
			if n, ok = p.value.(int64); ok && p.name == "created" {
				c.times = append(c.times, time.Unix(n, 0))
			} else if ok {
				c.expires = time.Unix(n, 0)
			}
		case "keyid":
			c.keyID, ok = p.value.(string)
		case "alg":
			if c.alg, ok = p.value.(string); ok && c.alg == "" {
				ok = false
			}
		}
		if !ok {
			return refuse(Malformed, "parameter %s", p.name)
		}
	}
	if len(c.times) == 0 {
		return refuse(Uncovered, "created")
	}
	if c.keyID == "" {
		return refuse(BadKeyID, "no keyid")
	}
	return nil
}

// covered9421 demands the method, the whole target with its host, and for bodies a digest that is that of the body.
func covered9421(r *Request, covered []component) error {
	names := make([]string, 0, len(covered))
	for _, c := range covered {
		// Parameters select parts of a component (RFC 9421 §2.1, §2.2.8); nobody in the fediverse uses them, and a part proves less.
		if len(c.params) > 0 {
			return refuse(Malformed, "component with parameters")
		}
		if slices.Contains(names, c.name) {
			return refuse(Malformed, "a component covered twice")
		}
		names = append(names, c.name)
	}
	has := func(n string) bool { return slices.Contains(names, n) }
	if !has("@method") {
		return refuse(Uncovered, "@method")
	}
	whole := has("@target-uri") || (has("@authority") || has("host")) &&
		(has("@request-target") || has("@path") && (has("@query") || !strings.Contains(r.Target, "?")))
	if !whole {
		return refuse(Uncovered, "@target-uri, or @authority and @path")
	}
	return checkBody(r, false, has("content-digest")) // RFC 9530 alone: Digest is obsolete here
}

// base9421 builds the signature base (RFC 9421 §2.5).
func base9421(r *Request, covered []component, params string) ([]byte, error) {
	var b strings.Builder
	for _, c := range covered {
		v, ok := component9421(r, c.name)
		if !ok {
			return nil, refuse(Uncovered, "a covered component is missing")
		}
		b.WriteString(`"` + c.name + `": ` + v + "\n")
	}
	b.WriteString(`"@signature-params": ` + params)
	return []byte(b.String()), nil
}

// component9421 gives the value of a component of a request (RFC 9421 §2.1, §2.2).
func component9421(r *Request, name string) (string, bool) {
	path, query, _ := strings.Cut(r.Target, "?")
	switch name {
	case "@method":
		return r.Method, true
	case "@target-uri":
		return r.scheme() + "://" + r.authority() + r.Target, true
	case "@authority":
		return r.authority(), true
	case "@scheme":
		return r.scheme(), true
	case "@request-target":
		return r.Target, true
	case "@path":
		return path, true
	case "@query":
		return "?" + query, true
	}
	if name == "" || name[0] == '@' || name != strings.ToLower(name) || strings.ContainsAny(name, "\"\\ ") {
		return "", false
	}
	return r.field(name)
}
