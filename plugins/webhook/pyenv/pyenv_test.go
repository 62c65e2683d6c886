package pyenv

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
)

const sample = `# gateway
JID_FROM_USER="bot@example.org"
export JID_FROM_PASS='pa"ss\word'
KNOWN_ROOMS="0123456789aaaa:ops@conf.example.org:Grafana 0123456789bbbb:ops@conf.example.org:Git  0123456789cccc:dev@conf.example.org:Build Bot:2"
XMPP_LOG_LEVEL=ERROR
LOG_LEVEL = "DEBUG" # talk
MESSAGE_FORMAT=yaml
OTHER=1
`

const wantTOML = `# Made from the .pyenv file of an XMPP MUC Message Gateway.
# Senders go on as before: POST http://127.0.0.1:5000/post/TOKEN
[host]
data = "data"                # relative to this file; a service uses /var/lib/bridgehost
log = { level = "debug" }

[http]
listen = "127.0.0.1:5000"          # keep it behind a proxy with TLS

[link.xmpp]
plugin = "xmpp"
[link.xmpp.config]
mode = "client"
jid = "bot@example.org"
password = "pa\"ss\\word"
[link.xmpp.config.rooms."dev@conf.example.org"]
nick = "Build Bot:2"

[link.hooks]
plugin = "webhook"
[link.hooks.config.hook.grafana]
token = "0123456789aaaa"
name = "Grafana"
format = "yaml"
[link.hooks.config.hook.git]
token = "0123456789bbbb"
name = "Git"
format = "yaml"
[link.hooks.config.hook.build-bot-2]
token = "0123456789cccc"
name = "Build Bot:2"
format = "yaml"

[[route]]
from = "hooks:grafana"
to = ["xmpp:ops@conf.example.org"]

[[route]]
from = "hooks:git"
to = ["xmpp:ops@conf.example.org"]

[[route]]
from = "hooks:build-bot-2"
to = ["xmpp:dev@conf.example.org"]
`

func TestImport(t *testing.T) {
	got, notes, err := Import(strings.NewReader(sample))
	if err != nil {
		t.Fatal(err)
	}
	if got != wantTOML {
		t.Errorf("got\n%s\nwant\n%s", got, wantTOML)
	}
	all := strings.Join(notes, "\n")
	for _, want := range []string{"double spaces", `"Build Bot:2"`, "keys keep", "OTHER has no counterpart", "several nicks", "0600", "debug: bodies"} {
		if !strings.Contains(all, want) {
			t.Errorf("no note with %q in\n%s", want, all)
		}
	}
	for _, secret := range []string{"0123456789", "pa\"ss"} {
		if strings.Contains(all, secret) {
			t.Errorf("a note tells a secret: %s", all)
		}
	}
	checkLines(t, got)
}

func TestImportFaults(t *testing.T) {
	const head = "JID_FROM_USER=bot@example.org\nJID_FROM_PASS=x\n"
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"", []string{"JID_FROM_USER is missing", "JID_FROM_PASS is missing", "KNOWN_ROOMS is missing"}},
		{"JID_FROM_USER=\nJID_FROM_PASS=\nKNOWN_ROOMS=\"\"\n", []string{"line 1: JID_FROM_USER", "line 2: JID_FROM_PASS", "line 3: KNOWN_ROOMS"}},
		{"JID_FROM_USER=bot\nJID_FROM_PASS=x\nKNOWN_ROOMS=nonsense\nMESSAGE_FORMAT=xml\nwhat is this\nA='b\n",
			[]string{"line 1: JID_FROM_USER is no bare JID", "line 3: KNOWN_ROOMS: word 1", "line 4: MESSAGE_FORMAT", "line 5: this is no assignment", "line 6: A: the quote has no end"}},
		{head + "KNOWN_ROOMS=\"0123456789:a@c.example:N 0123456789:b@c.example:M\"\n", []string{"line 3: KNOWN_ROOMS: entries 1 and 2 have the same token"}},
		{head + "KNOWN_ROOMS=\":a@c.example:N short:b@c.example:M 0123456789a/b:b@c.example:M 0123456789:b@c.example: 0123456780:@c.example:N\"\n",
			[]string{"entry 1 has no token", "token of entry 2 is shorter", "token of entry 3 cannot stand", "nick of entry 4 is empty", "room of entry 5 is no bare JID"}},
		{head + "JID_FROM_PASS=y\nKNOWN_ROOMS=\"0123456789:a@c.example:N\"\n", []string{"line 3: JID_FROM_PASS is also set in line 2"}},
		{"\xff", []string{"UTF-8"}},
		{strings.Repeat("#", maxSize+1), []string{"larger than 1 MiB"}},
	} {
		text, _, err := Import(strings.NewReader(c.in))
		var e *Error
		if !errors.As(err, &e) || text != "" {
			t.Errorf("%.60q: %v with text %.20q, want an *Error and no text", c.in, err, text)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%.60q: no fault with %q in\n%v", c.in, want, err)
			}
		}
		if strings.Contains(err.Error(), "0123456789") {
			t.Errorf("a fault tells a token: %v", err)
		}
	}
}

var (
	tableLine = regexp.MustCompile(`^\[[a-z0-9.-]+(\."([^"\\]|\\.)*")?\]$`)
	pairLine  = regexp.MustCompile(`^[a-z]+ = (\["([^"\\]|\\.)*"\]|"([^"\\]|\\.)*")( +#.*)?$`)
)

// checkLines reads the text line by line: tables, and keys with strings, whose
// escapes TOML shares with JSON. Only host/config may parse TOML.
func checkLines(t *testing.T, text string) (hooks, routes int) {
	t.Helper()
	seen := map[string]bool{}
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case line == "" || line[0] == '#' || strings.HasPrefix(line, "log = { level = "):
		case line == "[[route]]":
			routes++
		case tableLine.MatchString(line):
			if seen[line] {
				t.Fatalf("table %s is there twice", line)
			}
			seen[line] = true
			if strings.Contains(line, ".config.hook.") {
				hooks++
			}
		case pairLine.MatchString(line):
			_, value, _ := strings.Cut(line, " = ")
			if i := strings.LastIndex(value, " #"); i > 0 && strings.HasSuffix(strings.TrimSpace(value[:i]), "\"") {
				value = value[:i]
			}
			var v any
			if err := json.Unmarshal([]byte(value), &v); err != nil {
				t.Fatalf("line %q: %v", line, err)
			}
		default:
			t.Fatalf("line %q is no TOML", line)
		}
	}
	return hooks, routes
}

func TestHookNames(t *testing.T) {
	taken := map[string]bool{}
	for i, want := range []string{"git-hub", "git-hub-2", "hook", "hook-2", strings.Repeat("a", 48)} {
		nick := []string{"Git Hub!", "git:hub", "日本", "--", strings.Repeat("a", 100)}[i]
		if got := hookName(nick, taken); got != want {
			t.Errorf("hookName(%q) = %q, want %q", nick, got, want)
		}
	}
}

func FuzzPyenv(f *testing.F) {
	f.Add(sample)
	f.Add("JID_FROM_USER=bot@example.org\nJID_FROM_PASS=x\nKNOWN_ROOMS='0123456789:a@c.example:a b:c 0123456780:a@c.example:\"'\n")
	f.Fuzz(func(t *testing.T, in string) {
		text, _, err := Import(strings.NewReader(in))
		if err != nil {
			if text != "" {
				t.Fatal("a text beside an error")
			}
			return
		}
		if hooks, routes := checkLines(t, text); hooks == 0 || hooks != routes {
			t.Fatalf("%d hooks and %d routes in\n%s", hooks, routes, text)
		}
	})
}
