package pubsub

import (
	"strings"

	"bridgehost/plugins/xmpp/internal/xmltok"
)

// Form is a data form (XEP-0004) without its texts: the values of its fields.
type Form struct {
	Type   string // FORM_TYPE (XEP-0068)
	Fields []Field
}

// Field is a field of a form.
type Field struct {
	Var, Label, Kind string // Kind is the type attribute, such as list-single; may be empty
	Values           []string
}

// maxFields bounds the fields of a form.
const maxFields = 64

// Get gives the first value of a field, "" if there is none.
func (f Form) Get(name string) string {
	for _, field := range f.Fields {
		if field.Var == name && len(field.Values) > 0 {
			return strings.TrimSpace(field.Values[0])
		}
	}
	return ""
}

// Set adds a field with one value.
func (f *Form) Set(name, value string) {
	f.Fields = append(f.Fields, Field{Var: name, Values: []string{value}})
}

// ParseForm reads a form.
func ParseForm(x xmltok.Element) Form {
	var f Form
	for c := range x.Children() {
		if !c.Is(NSData, "field") || len(f.Fields) >= maxFields {
			continue
		}
		field := Field{Var: c.Get("var"), Label: c.Get("label"), Kind: c.Get("type")}
		for v := range c.Children() {
			if v.Is(NSData, "value") && len(field.Values) < maxFields {
				field.Values = append(field.Values, v.Text())
			}
		}
		if field.Var == "FORM_TYPE" && len(field.Values) > 0 {
			f.Type = field.Values[0]
			continue
		}
		f.Fields = append(f.Fields, field)
	}
	return f
}

// FormIn reads the first form among the children of e that has the type given.
func FormIn(e xmltok.Element, formType string) (Form, bool) {
	for c := range e.Children() {
		if c.Is(NSData, "x") {
			if f := ParseForm(c); f.Type == formType {
				return f, true
			}
		}
	}
	return Form{}, false
}

// write appends the form; kind is form, submit or result.
func (f Form) write(w *xmltok.Writer, kind string) {
	w.Start(NSData, "x", xmltok.A("type", kind))
	w.Start(NSData, "field", xmltok.A("var", "FORM_TYPE"), xmltok.A("type", "hidden"))
	w.Start(NSData, "value").Text(f.Type).End().End()
	for _, field := range f.Fields {
		attrs := []string{"var", field.Var, "type", field.Kind, "label", field.Label}
		w.Start(NSData, "field", given(attrs...)...)
		for _, v := range field.Values {
			w.Start(NSData, "value").Text(v).End()
		}
		w.End()
	}
	w.End()
}

// Element gives the form as an element; kind is form, submit or result.
func (f Form) Element(kind string) xmltok.Element {
	var w xmltok.Writer
	f.write(&w, kind)
	return must(&w)
}
