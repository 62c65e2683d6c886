package service

import (
	"encoding/xml"

	"bridgehost/plugins/xmpp/internal/xmltok"
)

// Namespaces of this package.
const (
	nsItems    = "http://jabber.org/protocol/disco#items"
	nsCommands = "http://jabber.org/protocol/commands"
	nsForm     = "jabber:x:data"
	nsRegister = "jabber:iq:register"
	nsSearch   = "jabber:iq:search"
	nsGateway  = "jabber:iq:gateway"
	nsLast     = "jabber:iq:last"
	nsVCard    = "vcard-temp"
	nsRosterX  = "http://jabber.org/protocol/rosterx"
)

// field is one field of a form (XEP-0004 §3.2).
type field struct {
	name, kind, label string
	values            []string
	required          bool
}

// form writes a data form (XEP-0004).
type form struct {
	kind, title, instructions string // kind is form or result
	fields                    []field
	rows                      [][]string // of a result: values in the order of fields, which are its columns
}

func (f form) element() xmltok.Element {
	var w xmltok.Writer
	f.write(&w)
	e, _ := w.Element() // constant names: cannot go wrong
	return e
}

func (f form) write(w *xmltok.Writer) {
	w.Start(nsForm, "x", xmltok.A("type", f.kind))
	if f.title != "" {
		w.Start(nsForm, "title").Text(f.title).End()
	}
	if f.instructions != "" {
		w.Start(nsForm, "instructions").Text(f.instructions).End()
	}
	if f.rows != nil {
		w.Start(nsForm, "reported")
	}
	for _, fd := range f.fields {
		fd.write(w)
	}
	if f.rows != nil {
		w.End()
	}
	for _, row := range f.rows {
		w.Start(nsForm, "item")
		for i, value := range row {
			field{name: f.fields[i].name, values: []string{value}}.write(w)
		}
		w.End()
	}
	w.End()
}

func (fd field) write(w *xmltok.Writer) {
	attrs := []xml.Attr{xmltok.A("var", fd.name)}
	if fd.kind != "" {
		attrs = append(attrs, xmltok.A("type", fd.kind))
	}
	if fd.label != "" {
		attrs = append(attrs, xmltok.A("label", fd.label))
	}
	w.Start(nsForm, "field", attrs...)
	for _, v := range fd.values {
		w.Start(nsForm, "value").Text(v).End()
	}
	if fd.required {
		w.Start(nsForm, "required").End()
	}
	w.End()
}

// formType is the hidden field that names a form (XEP-0068).
func formType(name string) field {
	return field{name: "FORM_TYPE", kind: "hidden", values: []string{name}}
}

// submitted reads a form that came in as a child of e: its type, and the first value of each field. ok is false without a form.
func submitted(e xmltok.Element) (kind string, values map[string]string, ok bool) {
	x, ok := e.Child(nsForm, "x")
	if !ok {
		return "", nil, false
	}
	values = map[string]string{}
	for f := range x.Children() {
		if name := f.Get("var"); f.Is(nsForm, "field") && name != "" {
			if _, twice := values[name]; !twice {
				values[name] = f.ChildText(nsForm, "value")
			}
		}
	}
	return x.Get("type"), values, true
}

// yes reads a boolean field (XEP-0004 §3.3).
func yes(s string) bool { return s == "1" || s == "true" }
