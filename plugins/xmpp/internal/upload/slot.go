package upload

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"bridgehost/plugins/xmpp/internal/xmltok"
)

// NS is the namespace of XEP-0363.
const NS = "urn:xmpp:http:upload:0"

// maxHeader bounds one header of a slot in bytes.
const maxHeader = 8 << 10

// slot is permission to upload one file (XEP-0363 §4).
type slot struct {
	put, get *url.URL
	header   http.Header // Authorization, Cookie, Expires only
}

// parseSlot reads an answer to a request. The addresses are http or https and
// name a host; whether that host may be reached is for the caller. A header with
// a line end makes the whole slot bad (XEP-0363 §9.2); headers of other names
// than the three allowed are passed over.
func parseSlot(e xmltok.Element) (slot, error) {
	if !e.Is(NS, "slot") {
		return slot{}, fmt.Errorf("answer %q is no slot", e.Name.Local)
	}
	put, ok := e.Child(NS, "put")
	if !ok {
		return slot{}, errors.New("slot without address for the upload")
	}
	get, ok := e.Child(NS, "get")
	if !ok {
		return slot{}, errors.New("slot without address for readers")
	}
	s := slot{header: http.Header{}}
	var err error
	if s.put, err = slotURL(put.Get("url")); err != nil {
		return slot{}, fmt.Errorf("address for the upload: %w", err)
	}
	if s.get, err = slotURL(get.Get("url")); err != nil {
		return slot{}, fmt.Errorf("address for readers: %w", err)
	}
	for h := range put.Children() {
		if !h.Is(NS, "header") {
			continue
		}
		if err := s.addHeader(h.Get("name"), h.Text()); err != nil {
			return slot{}, err
		}
	}
	return s, nil
}

// addHeader takes one of the three headers of XEP-0363 §9.2.
func (s *slot) addHeader(name, value string) error {
	if strings.ContainsAny(name+value, "\r\n\x00") {
		return errors.New("header with a line end")
	}
	if len(value) > maxHeader {
		return fmt.Errorf("header of %d bytes", len(value))
	}
	switch key := http.CanonicalHeaderKey(strings.TrimSpace(name)); key {
	case "Authorization", "Cookie", "Expires":
		s.header.Add(key, strings.TrimSpace(value))
	}
	return nil
}

// slotURL reads an address of a slot. XEP-0363 §4 wants RFC 3986 addresses.
func slotURL(s string) (*url.URL, error) {
	if s == "" || len(s) > maxURL {
		return nil, fmt.Errorf("%d bytes are no URL", len(s))
	}
	for _, r := range s {
		if r <= ' ' || r == 0x7f {
			return nil, errors.New("blank or control character in the URL")
		}
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("not a URL") // the parser's own error repeats the address
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("scheme %q", u.Scheme)
	}
	if u.Hostname() == "" || u.User != nil {
		return nil, errors.New("no plain host in the URL")
	}
	return u, nil
}

// request is the question for a slot (XEP-0363 §4).
func request(name, mediaType string, size int64) (xmltok.Element, error) {
	var w xmltok.Writer
	return w.Start(NS, "request",
		xmltok.A("filename", name),
		xmltok.A("size", strconv.FormatInt(size, 10)),
		xmltok.A("content-type", mediaType)).Element()
}
