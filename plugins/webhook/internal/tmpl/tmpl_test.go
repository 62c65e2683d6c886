package tmpl

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"

	"bridgehost/plugins/webhook/internal/jsonval"
	"bridgehost/plugins/webhook/internal/render"
)

var update = flag.Bool("update", false, "write what the templates give into the golden files")

func input(t testing.TB, doc, event string) Input {
	t.Helper()
	v, err := jsonval.Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return Input{Body: v, Event: event, Hook: "Hook"}
}

// section gives one file of a golden archive.
func section(a *txtar.Archive, name string) *txtar.File {
	for i := range a.Files {
		if a.Files[i].Name == name {
			return &a.Files[i]
		}
	}
	return &txtar.File{}
}

// TestGolden runs every ready template over payloads; a file is named
// TEMPLATE-CASE.txtar.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		base := strings.TrimSuffix(filepath.Base(file), ".txtar")
		for _, name := range Names() {
			if !strings.HasPrefix(base, name+"-") {
				continue
			}
			seen[name] = true
			tm, err := Ready(name)
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := tm.Execute(input(t, string(section(a, "in.json").Data), strings.TrimSpace(string(section(a, "event").Data))))
			if err != nil {
				t.Errorf("%s: %v", base, err)
				continue
			}
			got += "\n"
			if out := section(a, "out.txt"); *update {
				out.Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(out.Data) {
				t.Errorf("%s: got\n%s\nwant\n%s", base, got, out.Data)
			}
		}
	}
	if len(seen) != len(Names()) || len(seen) != 5 {
		t.Errorf("golden files for %v, templates %v", seen, Names())
	}
}

// TestWH05DataIsNotATemplate: what a sender writes is shown, not evaluated, and
// cannot begin a line of its own in a ready template.
func TestWH05DataIsNotATemplate(t *testing.T) {
	tm, err := New("own", `{{.title}} {{oneline .text}} {{short 8 .long}}`)
	if err != nil {
		t.Fatal(err)
	}
	got, fallback, err := tm.Execute(input(t, `{"title":"{{.text}} </body> *b* @all","text":"a\r\nadmin: hi\u001b[2J","long":"0123456789"}`, ""))
	if want := "{{.text}} </body> *b* @all a admin: hi\ufffd[2J 0123456…"; got != want || fallback != nil || err != nil {
		t.Errorf("got %q, %v, %v; want %q", got, fallback, err, want)
	}
}

func TestSafeWithAnything(t *testing.T) {
	for text, want := range map[string]string{
		`{{.a.b.c}}|{{index .l 0}}|{{.f}}|{{.n}}|{{.big}}|{{.o}}`:                                                                  `|1|2.5||123456789012345678901|{"x":[1]}`,
		`{{if .f}}f{{end}}{{if .zero}}z{{end}}{{with .l}}{{.}}{{end}}`:                                                             `f[1,"x"]`,
		`{{get . "l" 1}}{{get . "o" "x" 0}}{{get . "no" 1 "x"}}`:                                                                   `x1`,
		`{{first .no .s "d"}}/{{default "d" .no}}/{{default "d" .s}}`:                                                              `text/d/text`,
		`{{join ", " .l}};{{join " " .o}};{{join "" .s}}`:                                                                          `1, x;x=[1];text`,
		`{{count .l}}{{count .s}}{{plural 1 "bean"}}{{plural .f "bean"}}`:                                                          `201 bean2.5 beans`,
		`{{range limit 1 .l}}<{{.}}>{{end}}{{range limit 5 .s}}x{{end}}`:                                                           `<1>`,
		`{{date "2026-01-02T03:04:05+02:00"}};{{date .s}}`:                                                                         `2026-01-02 01:04 UTC;text`,
		`{{upper .s}}{{lower "X"}}{{title "a_b"}}{{title .no}}{{trim " x "}}{{words "a_b"}}`:                                       `TEXTxA bxa b`,
		`{{sha "0123456789"}} {{sha "01"}} {{branch "refs/heads/a/b"}} {{tag "refs/tags/1"}} {{last "/" "a/b/c"}} {{last "/" .s}}`: `0123456 01 a/b 1 c text`,
		`{{firstline .m}};{{oneline .m}};{{json .o}};{{prefix "te" .s}}`:                                                           `a;a b;{"x":[1]};true`,
		`{{._hook}} {{._event}} {{._body.s}} {{printf "%05d" (index .l 0)}}`:                                                       `Hook e text 00001`,
		`{{$x := .s}}{{$x}}{{define "p"}}[{{.}}]{{end}}{{template "p" .no}}{{template "p" .s}}`:                                    `text[][text]`,
	} {
		tm, err := New("t", text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, fallback, err := tm.Execute(input(t, `{"s":"text","l":[1,"x"],"f":2.5,"n":null,"zero":0,"big":123456789012345678901,"o":{"x":[1]},"m":"a\n\nb"}`, "e"))
		if err != nil || fallback != nil || got != want {
			t.Errorf("%s: %q, %v, %v; want %q", text, got, fallback, err, want)
		}
	}
}

func TestFallback(t *testing.T) {
	for name, text := range map[string]string{"empty": "{{/* nothing */}}", "error": "{{index .l 5}}", "bomb": `{{range .l}}{{printf "%70000d" 1}}{{end}}`, "type": "{{.s.x}}"} {
		tm, err := New(name, text)
		if err != nil {
			t.Fatal(err)
		}
		got, fallback, err := tm.Execute(input(t, `{"s":"a","l":[1]}`, ""))
		if want := "s: a\nl:\n- 1"; got != want || fallback == nil || err != nil {
			t.Errorf("%s: %q, %v, %v; want %q and a reason", name, got, fallback, err, want)
		}
	}
	tm, err := New("skip", `{{if .s}}{{skip}}{{end}}x`)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := tm.Execute(input(t, `{"s":1}`, "")); !errors.Is(err, ErrSkip) {
		t.Errorf("skip: %v", err)
	}
	long, err := Generic(jsonval.Value{Kind: jsonval.List, Items: []jsonval.Value{jsonval.Str(strings.Repeat("ä", 9000)), jsonval.Str("x")}})
	if err != nil || len(long) > maxGeneric+30 || !strings.HasSuffix(long, "(shortened)") || !utf8.ValidString(long) {
		t.Errorf("generic form of a long text: %d bytes, %v", len(long), err)
	}
	if _, err := New("bad", "{{.x"); err == nil {
		t.Error("a broken template is accepted")
	}
	if _, err := Ready("nagios"); err == nil || !strings.Contains(err.Error(), "alertmanager") {
		t.Errorf("unknown ready template: %v", err)
	}
}

func FuzzTemplate(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(section(a, "in.json").Data, strings.TrimSpace(string(section(a, "event").Data)))
	}
	var all []*Template
	for _, name := range Names() {
		tm, err := Ready(name)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, tm)
	}
	f.Fuzz(func(t *testing.T, data []byte, event string) {
		v, err := jsonval.Parse(data)
		if err != nil {
			return
		}
		for _, tm := range all {
			text, _, err := tm.Execute(Input{Body: v, Event: event, Hook: "H"})
			if errors.Is(err, ErrSkip) {
				continue
			}
			if err != nil || text == "" || len(text) > MaxOutput || !utf8.ValidString(text) || render.Clean(text) != text {
				t.Fatalf("%s: %q, %v", tm.t.Name(), text, err)
			}
		}
	})
}
