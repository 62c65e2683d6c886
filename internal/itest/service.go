package itest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// Info is the answer to a disco#info request. XEP-0030 §3.
type Info struct {
	Identities []Identity `json:"identities"`
	Features   []string   `json:"features"`
	Forms      []Form     `json:"forms"` // XEP-0128
}

// Identity says what an entity is.
type Identity struct {
	Category string `json:"category"`
	Type     string `json:"type"`
	Name     string `json:"name"`
}

// Has reports whether the entity has all the features.
func (i Info) Has(features ...string) bool {
	for _, f := range features {
		if !slices.Contains(i.Features, f) {
			return false
		}
	}
	return true
}

// Form is a data form. XEP-0004.
type Form struct {
	Type         string              `json:"type"`
	Title        string              `json:"title"`
	Instructions string              `json:"instructions"`
	Fields       []Field             `json:"fields"`
	Rows         []map[string]string `json:"rows"` // items of a result
}

// Field is a field of a form.
type Field struct {
	Var      string   `json:"var"`
	Type     string   `json:"type"`
	Label    string   `json:"label"`
	Required bool     `json:"required"`
	Values   []string `json:"values"`
	Options  []string `json:"options"` // values of the options
}

// Field returns a field of the form by its name.
func (f *Form) Field(name string) (Field, bool) {
	if f == nil {
		return Field{}, false
	}
	for _, field := range f.Fields {
		if field.Var == name {
			return field, true
		}
	}
	return Field{}, false
}

// Value returns the first value of a field, or "".
func (f *Form) Value(name string) string {
	field, _ := f.Field(name)
	if len(field.Values) == 0 {
		return ""
	}
	return field.Values[0]
}

// Info asks an entity what it is and can; node may be empty.
func (c *Client) Info(jid, node string) (Info, error) {
	c.t.Helper()
	var info Info
	err := c.call("disco_info", args{"to": jid, "node": node}, &info)
	return info, err
}

// Entry is an item of an entity. XEP-0030 §4.
type Entry struct {
	JID  string `json:"jid"`
	Node string `json:"node"`
	Name string `json:"name"`
}

// Entries asks an entity for its items; node may be empty.
func (c *Client) Entries(jid, node string) ([]Entry, error) {
	c.t.Helper()
	var list []Entry
	err := c.call("disco_items", args{"to": jid, "node": node}, &list)
	return list, err
}

// Version is the answer to jabber:iq:version. XEP-0092.
type Version struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	OS      string `json:"os"`
}

// Version asks an entity for its software.
func (c *Client) Version(jid string) (Version, error) {
	c.t.Helper()
	var v Version
	err := c.call("version", args{"to": jid}, &v)
	return v, err
}

// Ping returns how long an answer took (XEP-0199).
func (c *Client) Ping(jid string) (time.Duration, error) {
	c.t.Helper()
	var seconds float64
	err := c.call("ping", args{"to": jid}, &seconds)
	return time.Duration(seconds * float64(time.Second)), err
}

// Step is a step of an ad-hoc command. XEP-0050.
type Step struct {
	Node    string   `json:"node"`
	Session string   `json:"session"`
	Status  string   `json:"status"` // "executing", "completed" or "canceled"
	Actions []string `json:"actions"`
	Notes   []Note   `json:"notes"`
	Form    *Form    `json:"form"`
}

// Note is what a command says of its result.
type Note struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// Execute starts a command of an entity.
func (c *Client) Execute(jid, node string) (Step, error) {
	c.t.Helper()
	var s Step
	err := c.call("command", args{"to": jid, "node": node}, &s)
	return s, err
}

// Continue goes on with a command: action is "complete", "next", "prev", "cancel" or "" for the default. Values are a string
// or a list of strings.
func (c *Client) Continue(jid string, s Step, action string, fields map[string]any) (Step, error) {
	c.t.Helper()
	var next Step
	a := args{"to": jid, "node": s.Node, "session": s.Session, "action": action}
	if fields != nil {
		a["fields"] = fields
	}
	err := c.call("command", a, &next)
	return next, err
}

// Fields are what a service asks for, and what it answers. XEP-0077, 0055, 0100.
type Fields struct {
	Fields map[string]string   `json:"fields"`
	Form   *Form               `json:"form"`
	Rows   []map[string]string `json:"rows"` // results of a search
}

// Namespaces of services that ask for fields.
const (
	Register = "jabber:iq:register" // XEP-0077
	Search   = "jabber:iq:search"   // XEP-0055
	Prompt   = "jabber:iq:gateway"  // XEP-0100 §6
)

// AskFields asks a service for the fields it wants.
func (c *Client) AskFields(jid, namespace string) (Fields, error) {
	c.t.Helper()
	var f Fields
	err := c.call("fields_get", args{"to": jid, "namespace": namespace}, &f)
	return f, err
}

// SubmitFields hands a service its fields, as elements of the namespace. Registration is ended by the field "remove".
func (c *Client) SubmitFields(jid, namespace string, fields map[string]string) (Fields, error) {
	c.t.Helper()
	var f Fields
	err := c.call("fields_set", args{"to": jid, "namespace": namespace, "fields": fields}, &f)
	return f, err
}

// SubmitForm is SubmitFields with a data form; values are a string or a list of strings.
func (c *Client) SubmitForm(jid, namespace string, fields map[string]any) (Fields, error) {
	c.t.Helper()
	var f Fields
	err := c.call("fields_set", args{"to": jid, "namespace": namespace, "fields": fields, "form": true}, &f)
	return f, err
}

// Slot is where to put a file and where to get it. XEP-0363.
type Slot struct {
	Put     string            `json:"put"`
	Get     string            `json:"get"`
	Headers map[string]string `json:"headers"`
}

// RequestSlot asks an upload service for a slot.
func (c *Client) RequestSlot(service, name, mediaType string, size int) (Slot, error) {
	c.t.Helper()
	var s Slot
	err := c.call("slot", args{"to": service, "name": name, "type": mediaType, "size": size}, &s)
	return s, err
}

// Upload stores a file at an upload service (XEP-0363) and returns its address.
func (c *Client) Upload(service, name, mediaType string, data []byte) string {
	c.t.Helper()
	slot, err := c.RequestSlot(service, name, mediaType, len(data))
	if err == nil {
		err = put(c.t.Context(), slot, mediaType, data)
	}
	c.must("upload "+name, err)
	return slot.Get
}

func put(ctx context.Context, slot Slot, mediaType string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, WaitTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, slot.Put, bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("make request to %s: %w", slot.Put, err)
	}
	req.Header.Set("Content-Type", mediaType)
	for name, value := range slot.Headers {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("put %s: %w", slot.Put, err)
	}
	defer func() { _ = resp.Body.Close() }() // nothing of it is needed
	if resp.StatusCode != http.StatusCreated && resp.StatusCode != http.StatusOK {
		return fmt.Errorf("put %s: status %s", slot.Put, resp.Status)
	}
	return nil
}

// Download fetches the address of a file that a client was sent.
func Download(t TB, url string) (data []byte, mediaType string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), WaitTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatalf("download %s: %v", url, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("download %s: %v", url, err)
	}
	defer func() { _ = resp.Body.Close() }() // read below
	data, err = io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("download %s: %s: %v", url, resp.Status, err)
	}
	return data, resp.Header.Get("Content-Type")
}
