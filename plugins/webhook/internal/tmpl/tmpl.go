// Package tmpl turns the payload of a hook into a message by a template of the
// operator's, or a ready one. Templates are those of text/template; what a
// sender posts is data and is never read as a template.
package tmpl

import (
	"embed"
	"errors"
	"fmt"
	"path"
	"sort"
	"strings"
	"text/template"
	"text/template/parse"

	"bridgehost/plugins/webhook/internal/jsonval"
	"bridgehost/plugins/webhook/internal/render"
)

// MaxOutput bounds what a template writes, in bytes.
const MaxOutput = 64 << 10

// maxGeneric bounds the generic form of a payload that no template knows.
const maxGeneric = 4 << 10

//go:embed ready/*.tmpl
var readyFiles embed.FS

// Names gives the names of the ready templates, in order.
func Names() []string {
	entries, err := readyFiles.ReadDir("ready")
	if err != nil {
		return nil // the folder is embedded
	}
	var out []string
	for _, e := range entries {
		out = append(out, strings.TrimSuffix(e.Name(), ".tmpl"))
	}
	sort.Strings(out)
	return out
}

// Source gives the text of a ready template, to copy and change.
func Source(name string) (string, bool) {
	b, err := readyFiles.ReadFile(path.Join("ready", name+".tmpl"))
	return string(b), err == nil
}

// Template is a parsed template. It is safe for use by many goroutines.
type Template struct{ t *template.Template }

// Input is what a template may use. The members of an object are at the top
// (.title); beside them are ._event, ._hook and ._body.
type Input struct {
	Body  jsonval.Value
	Event string // what the sender calls the event: X-GitHub-Event and the like
	Hook  string // the hook's display name
}

// ErrSkip says that the template wants no message for this payload.
var ErrSkip = errors.New("the template skips this payload")

var errOutput = errors.New("the template writes too much")

// New parses a template.
func New(name, text string) (*Template, error) {
	t, err := template.New(name).Funcs(functions).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("parse template: %w", err)
	}
	for _, part := range t.Templates() {
		if part.Tree != nil {
			showAll(part.Tree, part.Root)
		}
	}
	return &Template{t: t}, nil
}

// Ready parses a ready template.
func Ready(name string) (*Template, error) {
	text, ok := Source(name)
	if !ok {
		return nil, fmt.Errorf("template %q: there is none; ready are %s", name, strings.Join(Names(), ", "))
	}
	return New(name, text)
}

// Execute gives the message. A payload that the template cannot handle, or for
// which it writes nothing, is shown in a generic form, so that no message is
// empty; fallback then says why. ErrSkip is the template's own wish.
func (t *Template) Execute(in Input) (text string, fallback error, err error) {
	root, ok := in.Body.Data().(map[string]any)
	if !ok {
		root = map[string]any{}
	}
	root["_event"], root["_hook"], root["_body"] = in.Event, in.Hook, in.Body.Data()
	w := &writer{}
	fallback = t.t.Execute(w, root)
	switch {
	case errors.Is(fallback, ErrSkip):
		return "", nil, ErrSkip
	case fallback == nil:
		if text = tidy(w.b.String()); text != "" {
			return text, nil, nil
		}
		fallback = errors.New("the template wrote nothing")
	}
	text, err = Generic(in.Body)
	return text, fallback, err
}

// Generic shows any payload: YAML, cut after maxGeneric bytes with a mark.
func Generic(v jsonval.Value) (string, error) {
	text, err := render.YAML(v, render.NoLimit)
	if err != nil {
		return "", err
	}
	if len(text) > maxGeneric {
		cut := strings.LastIndexByte(text[:maxGeneric], '\n')
		if cut < maxGeneric/2 {
			cut = maxGeneric
		}
		text = strings.ToValidUTF8(text[:cut], "") + "\n… (shortened)"
	}
	return text, nil
}

// tidy trims lines at their end and keeps at most one blank line in a row.
func tidy(s string) string {
	var out []string
	for line := range strings.SplitSeq(render.Clean(s), "\n") {
		line = strings.TrimRight(line, " \t")
		if line == "" && (len(out) == 0 || out[len(out)-1] == "") {
			continue
		}
		out = append(out, line)
	}
	return strings.TrimRight(strings.Join(out, "\n"), "\n")
}

type writer struct{ b strings.Builder }

// Write implements io.Writer up to MaxOutput.
func (w *writer) Write(p []byte) (int, error) {
	if w.b.Len()+len(p) > MaxOutput {
		return 0, errOutput
	}
	return w.b.Write(p)
}

// showAll lets every pipeline that prints end in the function show, as
// html/template does with its escapers: what is missing prints as nothing
// instead of <no value>, and a list or an object as JSON.
func showAll(tree *parse.Tree, n parse.Node) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, child := range n.Nodes {
			showAll(tree, child)
		}
	case *parse.ActionNode:
		if len(n.Pipe.Decl) == 0 {
			show := parse.NewIdentifier("show").SetTree(tree).SetPos(n.Pos)
			n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Pos: n.Pos, Args: []parse.Node{show}})
		}
	case *parse.IfNode:
		showAll(tree, n.List)
		showAll(tree, n.ElseList)
	case *parse.RangeNode:
		showAll(tree, n.List)
		showAll(tree, n.ElseList)
	case *parse.WithNode:
		showAll(tree, n.List)
		showAll(tree, n.ElseList)
	}
}
