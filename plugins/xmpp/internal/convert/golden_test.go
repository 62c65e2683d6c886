package convert

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/sdk"
)

var update = flag.Bool("update", false, "write the golden files anew")

// now is the time at which golden files are read.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var ops = Room{JID: "ops@muc.example.org", StanzaIDs: true}

// decode reads a message as a component's stream would.
func decode(t testing.TB, b []byte) *packet.Message {
	t.Helper()
	s, err := packet.DecodeBytes(bytes.TrimSpace(b), packet.NSComponent)
	if err != nil {
		t.Fatal(err)
	}
	m, ok := s.(*packet.Message)
	if !ok {
		t.Fatalf("stanza is a %T", s)
	}
	return m
}

// TestGolden reads in.xml and compares what it says with item.json, and what is
// made of that for another room with out.xml. The note names the rule.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			arc, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			part := map[string]string{}
			for _, f := range arc.Files {
				part[f.Name] = string(f.Data)
			}
			if part["note"] == "" {
				t.Error("no note")
			}
			r := read(decode(t, []byte(part["in.xml"])))
			js, err := json.MarshalIndent(trim(r), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{"item.json": string(js) + "\n", "out.xml": out(r) + "\n"}
			for _, name := range []string{"item.json", "out.xml"} {
				if !*update && part[name] != got[name] {
					t.Errorf("%s is\n%s\nwant\n%s", name, got[name], part[name])
				}
			}
			if *update {
				write(t, file, part, got)
			}
		})
	}
}

// read reads a message as what it is.
func read(m *packet.Message) Reading {
	if m.Type == "groupchat" || Bare(m.From) == ops.JID {
		return FromGroupchat(m, ops, now)
	}
	return FromChat(m, now)
}

// trim drops what is empty, so that a golden file shows what there is.
func trim(r Reading) map[string]any {
	b, _ := json.Marshal(r)
	var m map[string]any
	_ = json.Unmarshal(b, &m)
	return prune(m).(map[string]any)
}

func prune(v any) any {
	if list, ok := v.([]any); ok {
		for i := range list {
			list[i] = prune(list[i])
		}
		return list
	}
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	for k, e := range m {
		switch x := prune(e).(type) {
		case nil:
			delete(m, k)
		case string:
			if x == "" || x == "0001-01-01T00:00:00Z" {
				delete(m, k)
			}
		case float64:
			if x == 0 {
				delete(m, k)
			}
		case bool:
			if !x {
				delete(m, k)
			}
		case map[string]any:
			if len(x) == 0 {
				delete(m, k)
			}
		}
	}
	return m
}

// out writes what was read for another room or, from a chat, for another person.
func out(r Reading) string {
	env := Envelope{Prefix: MessagePrefix("groupchat", "p@bridge.example.org/b", "dev@muc.example.net"), ID: MessageID("bh001122-", "d1")}
	style := Style{Room: true}
	if r.ID.Room != ops.JID {
		env.Prefix = MessagePrefix("chat", "p@bridge.example.org/b", "bob@chat.example.net")
		style = Style{Parts: MaxParts, Mention: func(m sdk.Mention) string { return string(m.Actor.ID) }}
	}
	switch r.Kind {
	case Text, Correct, Sealed:
		if r.Kind == Correct {
			env.Replace = "bh001122-d0"
		}
		if r.ReplyTo != "" {
			env.ReplyTo = "there-" + r.ReplyTo
		}
		messages, losses := AppendItem(&r.Item, env, style)
		var lines []string
		for _, m := range messages {
			lines = append(lines, string(m.Data))
		}
		for _, l := range losses {
			lines = append(lines, "<!-- loss "+string(l.Kind)+": "+l.Detail+" -->")
		}
		return strings.Join(lines, "\n")
	case Retract, Moderate:
		return string(AppendRetraction(nil, env, "there-"+r.Target))
	case React:
		return string(AppendReactions(nil, env, "there-"+r.Target, r.Reactions))
	case Invited:
		return string(AppendInvite(nil, env, *r.Invite))
	}
	return ""
}

func write(t *testing.T, file string, part, got map[string]string) {
	t.Helper()
	arc := &txtar.Archive{}
	for _, name := range []string{"note", "in.xml", "item.json", "out.xml"} {
		data := part[name]
		if g, ok := got[name]; ok {
			data = g
		}
		arc.Files = append(arc.Files, txtar.File{Name: name, Data: []byte(data)})
	}
	if err := os.WriteFile(file, txtar.Format(arc), 0o644); err != nil {
		t.Fatal(err)
	}
}
