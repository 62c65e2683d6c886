package codec

import (
	"net/netip"

	"bridgehost/sdk/web"
)

// header is one name of an HTTP header or query.
type header struct {
	name   string
	values []string
}

func (c *coder) header(h *header) {
	c.string(1, &h.name)
	stringList(c, 2, &h.values)
}

// headers visits a header map, written in order of names.
func (c *coder) headers(num fieldNumber, p *map[string][]string) {
	if c.enc {
		for _, name := range sortedKeys(*p) {
			h := header{name, (*p)[name]}
			for f := c.enter(num, true); c.step(&f); {
				c.header(&h)
			}
		}
		return
	}
	for c.num == num && c.element() {
		var h header
		f := c.enter(num, true)
		f.single = true
		for c.step(&f) {
			c.header(&h)
		}
		if *p == nil {
			*p = make(map[string][]string)
		}
		(*p)[h.name] = append((*p)[h.name], h.values...)
	}
}

// digest visits a SHA-256 digest; the zero one is absent, and one of another
// length is read as zero, which matches no secret.
func (c *coder) digest(num fieldNumber, p *[32]byte) {
	var b []byte
	if c.enc && *p != [32]byte{} {
		b = p[:]
	}
	if c.bytes(num, &b); !c.enc && len(b) == len(p) {
		copy(p[:], b)
	}
}

// addr visits an IP address; the invalid one is absent.
func (c *coder) addr(num fieldNumber, p *netip.Addr) {
	var b []byte
	if c.enc {
		b, _ = p.MarshalBinary() // never fails
	}
	if c.bytes(num, &b); !c.enc && b != nil {
		if err := p.UnmarshalBinary(b); err != nil {
			*p = netip.Addr{}
		}
	}
}

func (c *coder) webRoute(r *web.Route) {
	c.string(1, &r.Prefix)
	stringList(c, 2, &r.Methods)
	c.int64(3, &r.MaxBody)
	c.tokens(4, &r.Tokens)
	c.int(5, &r.PerMinute)
}

// tokens visits a list of digests. A digest of the wrong length stays in the
// list as zero: dropping it could leave a route without any token.
func (c *coder) tokens(num fieldNumber, p *[][32]byte) {
	if c.enc {
		for _, t := range *p {
			b := t[:]
			c.bytes(num, &b)
		}
		return
	}
	for c.num == num && c.element() {
		var t [32]byte
		if b := c.takeBytes(); len(b) == len(t) {
			copy(t[:], b)
		}
		*p = append(*p, t)
	}
}

func (c *coder) webRequest(r *web.Request) {
	c.string(1, &r.Method)
	c.string(2, &r.Path)
	c.string(3, &r.Prefix)
	c.headers(4, &r.Query)
	c.headers(5, &r.Header)
	c.bytes(6, &r.Body)
	c.addr(7, &r.Client)
	c.digest(8, &r.Token)
	c.string(9, &r.Target)
	c.string(10, &r.Host)
}

func (c *coder) webResponse(r *web.Response) {
	c.int(1, &r.Status)
	c.headers(2, &r.Header)
	c.bytes(3, &r.Body)
}

// AppendWebRequest appends message WebRequest to dst.
func AppendWebRequest(dst []byte, r *web.Request) []byte { return write(dst, r, (*coder).webRequest) }

// DecodeWebRequest reads message WebRequest.
func DecodeWebRequest(b []byte) (web.Request, error) {
	return read("web request", b, (*coder).webRequest)
}

// AppendWebResponse appends message WebResponse to dst.
func AppendWebResponse(dst []byte, r *web.Response) []byte {
	return write(dst, r, (*coder).webResponse)
}

// DecodeWebResponse reads message WebResponse.
func DecodeWebResponse(b []byte) (web.Response, error) {
	return read("web response", b, (*coder).webResponse)
}

// AppendWebRoute appends message WebRoute to dst.
func AppendWebRoute(dst []byte, r *web.Route) []byte { return write(dst, r, (*coder).webRoute) }

// DecodeWebRoute reads message WebRoute.
func DecodeWebRoute(b []byte) (web.Route, error) { return read("web route", b, (*coder).webRoute) }
