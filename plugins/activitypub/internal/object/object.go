package object

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Object is a document or a part of one. The zero value is not usable; Parse, New and the accessors make them. An Object that was
// parsed is safe for concurrent readers.
type Object struct {
	m   map[string]any
	raw []byte // as it came; nil for parts and for what was made here
}

// bounds on what single properties hold, where less than Limits.List is enough for anything honest.
const (
	maxRefs = 256     // actor, object, type, attributedTo
	maxName = 1 << 16 // bytes of name and preferredUsername
	maxID   = 4096    // bytes of an id
)

// Parse reads a document with the default limits. The error is an *Error.
func Parse(raw []byte) (*Object, error) { return ParseWithin(raw, Limits{}) }

// ParseWithin reads a document. The bytes are kept, not copied: they must not change. The error is an *Error.
func ParseWithin(raw []byte, lim Limits) (*Object, error) {
	v, err := parseJSON(raw, lim.filled())
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, &Error{Reason: NotObject}
	}
	if err := check(m, ""); err != nil {
		return nil, err
	}
	return &Object{m: m, raw: raw}, nil
}

// check refuses what two readers would understand differently, at any depth.
func check(m map[string]any, where string) error {
	for _, k := range []string{"id", "type"} {
		if m[k] != nil && m["@"+k] != nil {
			return &Error{Reason: TwoIDs, Where: where}
		}
	}
	for _, k := range []string{"@graph", "@included", "@reverse"} {
		if _, has := m[k]; has {
			return &Error{Reason: GraphForm, Where: where}
		}
	}
	for _, k := range []string{"type", "@type", "actor", "object", "attributedTo"} {
		if l, ok := m[k].([]any); ok && len(l) > maxRefs {
			return &Error{Reason: ListTooLong, Where: where + "/" + k}
		}
	}
	for _, k := range []string{"name", "preferredUsername"} {
		if s, ok := m[k].(string); ok && len(s) > maxName {
			return &Error{Reason: TextTooLong, Where: where + "/" + k}
		}
	}
	if id, ok := m["id"].(string); ok && len(id) > maxID {
		return &Error{Reason: TextTooLong, Where: where + "/id"}
	}
	if contradict(typesOf(m)) {
		return &Error{Reason: TwoTypes, Where: where + "/type"}
	}
	for k, v := range m {
		if freeNames(k) {
			continue
		}
		if err := checkValue(v, where+"/"+pointer.Replace(k)); err != nil {
			return err
		}
	}
	return nil
}

func checkValue(v any, where string) error {
	switch v := v.(type) {
	case map[string]any:
		return check(v, where)
	case []any:
		for i, e := range v {
			switch e.(type) {
			case map[string]any, []any:
				if err := checkValue(e, where+"/"+strconv.Itoa(i)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// contradict reports two known types of which one excludes the other.
func contradict(types []string) bool {
	known := ""
	for _, t := range types {
		switch c := ClassOf(t); {
		case c == ClassUnknown || c == ClassPart || t == known:
		case known == "":
			known = t
		default:
			return true
		}
	}
	return false
}

// New makes an empty object of a type; an empty type makes one without.
func New(typ string) *Object {
	o := &Object{m: map[string]any{}}
	if typ != "" {
		o.m["type"] = typ
	}
	return o
}

// Raw gives the bytes that Parse was given, nil for parts and for what was made here. They must not be changed.
func (o *Object) Raw() []byte { return o.raw }

// Clone gives a copy of the top level, whose members can be set without changing o. Members below are shared.
func (o *Object) Clone() *Object {
	m := make(map[string]any, len(o.m))
	for k, v := range o.m {
		m[k] = v
	}
	return &Object{m: m}
}

// Keys gives the names of all members in alphabetical order.
func (o *Object) Keys() []string {
	keys := make([]string, 0, len(o.m))
	for k := range o.m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Set gives a member a value: string, bool, int, int64, json.Number, nil, *Object, []string, []*Object, []any, map[string]string or
// map[string]any. It returns o, so that calls can follow one another. What was parsed must not be set: Clone it first.
func (o *Object) Set(name string, v any) *Object {
	switch v := v.(type) {
	case *Object:
		o.m[name] = v.m
	case []string:
		l := make([]any, len(v))
		for i, s := range v {
			l[i] = s
		}
		o.m[name] = l
	case []*Object:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = e.m
		}
		o.m[name] = l
	case map[string]string:
		m := make(map[string]any, len(v))
		for k, s := range v {
			m[k] = s
		}
		o.m[name] = m
	case int:
		o.m[name] = json.Number(strconv.Itoa(v))
	case int64:
		o.m[name] = json.Number(strconv.FormatInt(v, 10))
	default:
		o.m[name] = v
	}
	return o
}

// SetTime gives a member a time in UTC, with fractions where there are any; the zero time sets nothing.
func (o *Object) SetTime(name string, t time.Time) *Object {
	if !t.IsZero() {
		o.m[name] = t.UTC().Format(time.RFC3339Nano)
	}
	return o
}

// Delete removes a member.
func (o *Object) Delete(name string) *Object {
	delete(o.m, name)
	return o
}

// Has reports whether there is a member that is not null.
func (o *Object) Has(name string) bool { return o.m[name] != nil }

// Value gives a member as it is in JSON: map[string]any, []any, string, json.Number, bool or nil. It must not be changed.
func (o *Object) Value(name string) any { return o.m[name] }

// list gives a member as a list, whether it is one or not; null is none.
func (o *Object) list(name string) []any {
	switch v := o.m[name].(type) {
	case nil:
		return nil
	case []any:
		return v
	default:
		return []any{v}
	}
}

// Text gives a member that is a string, or the first string of a list; empty otherwise.
func (o *Object) Text(name string) string {
	for _, v := range o.list(name) {
		if s, ok := v.(string); ok {
			return s
		}
	}
	return ""
}

// Texts gives all strings of a member.
func (o *Object) Texts(name string) []string {
	var out []string
	for _, v := range o.list(name) {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// Map gives a language map, such as contentMap. What is not a string in it is left out.
func (o *Object) Map(name string) map[string]string {
	m, ok := o.m[name].(map[string]any)
	if !ok || len(m) == 0 {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		if s, ok := v.(string); ok {
			out[k] = s
		}
	}
	return out
}

// Bool gives a member that is a boolean, or the word for one, as a few servers write.
func (o *Object) Bool(name string) bool {
	switch v := o.m[name].(type) {
	case bool:
		return v
	case string:
		return v == "true"
	default:
		return false
	}
}

// Int gives a member that is a number, without its fraction; 0 for anything else and for what is no int.
func (o *Object) Int(name string) int {
	n, ok := o.m[name].(json.Number)
	if !ok {
		return 0
	}
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
		return int(i)
	}
	if f, err := strconv.ParseFloat(string(n), 64); err == nil && f > -1e15 && f < 1e15 {
		return int(f)
	}
	return 0
}

// Number gives the spelling of a number, empty if the member is none.
func (o *Object) Number(name string) string {
	switch v := o.m[name].(type) {
	case json.Number:
		return string(v)
	case string:
		if _, err := strconv.ParseFloat(v, 64); err == nil && len(v) <= 64 {
			return v
		}
	}
	return ""
}

// Time gives a member that is a time; the zero time if it is none. Times without a zone are in UTC, and a date alone is its midnight.
func (o *Object) Time(name string) time.Time {
	s := strings.TrimSpace(o.Text(name))
	if len(s) < 10 || len(s) > 64 {
		return time.Time{}
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05.999999999Z0700",
		"2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	return time.Time{}
}

// Part gives a member that is an object, or the first one of a list; nil if there is none.
func (o *Object) Part(name string) *Object {
	for _, v := range o.list(name) {
		if m, ok := v.(map[string]any); ok {
			return &Object{m: m}
		}
	}
	return nil
}

// Parts gives all objects of a member. A string in the list becomes an object that has it as its id, so that nothing is passed over.
func (o *Object) Parts(name string) []*Object {
	var out []*Object
	for _, v := range o.list(name) {
		switch v := v.(type) {
		case map[string]any:
			out = append(out, &Object{m: v})
		case string:
			if v != "" {
				out = append(out, &Object{m: map[string]any{"id": v}})
			}
		}
	}
	return out
}

// Ref gives the id that a member names, whether it is given as an id, an embedded object, or a list of which the first counts.
func (o *Object) Ref(name string) string {
	for _, v := range o.list(name) {
		if id := idOf(v); id != "" {
			return id
		}
	}
	return ""
}

// Refs gives all ids that a member names.
func (o *Object) Refs(name string) []string {
	var out []string
	for _, v := range o.list(name) {
		if id := idOf(v); id != "" {
			out = append(out, id)
		}
	}
	return out
}

// idOf gives the id of a value: a string, an object with id, or a Link with href.
func idOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case map[string]any:
		for _, k := range []string{"id", "@id"} {
			if s, ok := v[k].(string); ok && s != "" {
				return s
			}
		}
		if s, ok := v["href"].(string); ok && ClassOf(firstType(v)) == ClassLink {
			return s
		}
	}
	return ""
}

// ID gives the id; empty if there is none.
func (o *Object) ID() string {
	if s, ok := o.m["id"].(string); ok {
		return s
	}
	s, _ := o.m["@id"].(string)
	return s
}

// Types gives the compact names of all types; "as:" and the namespace are cut.
func (o *Object) Types() []string { return typesOf(o.m) }

// Type gives the type: the one known type, else the first one.
func (o *Object) Type() string { return firstType(o.m) }

// Class gives the class of Type.
func (o *Object) Class() Class { return ClassOf(o.Type()) }

// Is reports whether Type is one of these.
func (o *Object) Is(types ...string) bool { return slices.Contains(types, o.Type()) }

func firstType(m map[string]any) string {
	all := typesOf(m)
	for _, t := range all {
		if ClassOf(t) != ClassUnknown {
			return t
		}
	}
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

func typesOf(m map[string]any) []string {
	v := m["type"]
	if v == nil {
		v = m["@type"]
	}
	var out []string
	add := func(v any) {
		if s, ok := v.(string); ok && s != "" {
			out = append(out, compact(s))
		}
	}
	if l, ok := v.([]any); ok {
		for _, e := range l {
			add(e)
		}
		return out
	}
	add(v)
	return out
}

// compact cuts the prefixes with which types of the vocabulary may be written.
func compact(s string) string {
	for _, prefix := range []string{"as:", "https://www.w3.org/ns/activitystreams#", "http://www.w3.org/ns/activitystreams#", "toot:", "litepub:"} {
		if rest, ok := strings.CutPrefix(s, prefix); ok && ClassOf(rest) != ClassUnknown {
			return rest
		}
	}
	return s
}

// IsPublic reports whether an address is the collection of everybody, in any of its three spellings.
func IsPublic(id string) bool {
	switch id {
	case Public, "as:Public", "Public", "http://www.w3.org/ns/activitystreams#Public":
		return true
	}
	return false
}

// Origin gives scheme, host and port of an id in lower case, without a default port (FEP-fe34); empty for what is no http or https URL.
func Origin(id string) string {
	u, err := url.Parse(id)
	if err != nil || u.Host == "" || u.User != nil || len(id) > maxID {
		return ""
	}
	scheme, host, port := strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port()
	if scheme != "https" && scheme != "http" || host == "" {
		return ""
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" && (scheme != "https" || port != "443") && (scheme != "http" || port != "80") {
		host += ":" + port
	}
	return scheme + "://" + host
}

// SameOrigin reports whether two ids are http or https URLs of one origin.
func SameOrigin(a, b string) bool {
	o := Origin(a)
	return o != "" && o == Origin(b)
}
