package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"bridgehost/sdk"
)

// write makes a file with mode 0600 in dir.
func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestExampleNamesOnlyKnownKeys reads the example with what is commented out.
func TestExampleNamesOnlyKnownKeys(t *testing.T) {
	commented := regexp.MustCompile(`(?m)^# ([a-z_]+ = |\[)`)
	text := commented.ReplaceAllString(string(Example()), "$1")
	if text == string(Example()) {
		t.Error("nothing is commented out")
	}
	if list := faults(t, text); strings.Contains(list.Error(), "there is no key") || strings.Contains(list.Error(), "expected") {
		t.Errorf("got\n%v", list)
	}
}

func TestExampleLoads(t *testing.T) {
	t.Setenv("COMPONENT_SECRET", "s")
	t.Setenv("GRAFANA_TOKEN", "t")
	path := write(t, t.TempDir(), "bridgehost.toml", string(Example()))
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Links) != 2 || len(c.Routes) != 1 || len(c.Warnings) != 0 {
		t.Errorf("got %v, warnings %v", c, c.Warnings)
	}
}

// load loads a configuration that must be good.
func load(t testing.TB, text string, builtins ...string) *Config {
	t.Helper()
	c, err := Load(write(t, t.TempDir(), "bridgehost.toml", text), builtins...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// faults loads a configuration that must be bad.
func faults(t testing.TB, text string, builtins ...string) *Errors {
	t.Helper()
	_, err := Load(write(t, t.TempDir(), "bridgehost.toml", text), builtins...)
	var list *Errors
	if !errors.As(err, &list) {
		t.Fatalf("got %v, want *Errors", err)
	}
	return list
}

func TestDefaultsAndValues(t *testing.T) {
	c := load(t, `
[host]
disk_reserve = "1GiB"
crash_window = "1d"
log.level = "debug"
[http]
public_url = "https://bridge.example.org/"
trusted_proxies = ["127.0.0.1", "10.0.0.0/8"]
[link.a]
plugin = "xmpp"
[[route]]
from = "a:x"
to = ["a:y", "a:z:w"]
both_ways = true
`)
	if c.Host.DiskReserve != 1<<30 || time.Duration(c.Host.CrashWindow) != 24*time.Hour || c.Host.CrashLimit != 3 || c.LogLevel() != slog.LevelDebug {
		t.Errorf("host: got %+v", c.Host)
	}
	if c.HTTP.PublicURL != "https://bridge.example.org" || len(c.HTTP.Proxies()) != 2 || c.HTTP.Proxies()[0].Bits() != 32 {
		t.Errorf("http: got %+v", c.HTTP)
	}
	if l := c.Links["a"]; l.OnError != "closed" || l.Limits.Memory != 32<<20 || string(l.ConfigJSON()) != "{}" {
		t.Errorf("link: got %#v %s", *l, l.ConfigJSON())
	}
	want := []sdk.PlaceUse{{ID: "x", Source: true, Target: true}, {ID: "y", Source: true, Target: true}, {ID: "z:w", Source: true, Target: true}}
	if got := c.Places("a"); !reflect.DeepEqual(got, want) {
		t.Errorf("places: got %+v, want %+v", got, want)
	}
	if c.DataDir() != filepath.Join(c.Dir(), "data") {
		t.Errorf("data folder: got %s", c.DataDir())
	}
}

func TestConfigJSONKeepsValuesExactly(t *testing.T) {
	t.Setenv("TOKEN_OF_TEST", "sesame")
	c := load(t, `
[link.a]
plugin = "x"
[link.a.config]
b = { env = "TOKEN_OF_TEST" }
a = 9223372036854775807
when = 1979-05-27T07:32:00.5+02:00
day = 1979-05-27
time = 07:32:00
both = 1979-05-27T07:32:00
f = 1e6
list = [1, "<&>", { x = true }]
[link.a.config.table]
file = "not a secret"
[link.a.config.token]
env = "TOKEN_OF_TEST"
[[link.a.config.more]]
y = 1
[[route]]
from = "a:x"
to = ["a:y"]
`)
	want := `{"a":9223372036854775807,"b":"sesame","both":"1979-05-27T07:32:00","day":"1979-05-27","f":1000000,"list":[1,"\u003c\u0026\u003e",{"x":true}],` +
		`"more":[{"y":1}],"table":{"file":"not a secret"},"time":"07:32:00","token":"sesame","when":"1979-05-27T07:32:00.5+02:00"}`
	if got := string(c.Links["a"].ConfigJSON()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestMissingFileIsTheErrorOfTheSystem(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none.toml")); !os.IsNotExist(err) {
		t.Errorf("got %v, want a file that does not exist", err)
	}
}

func TestUnknownBuiltin(t *testing.T) {
	const text = "[link.a]\nplugin = \"xmmp\"\n[[route]]\nfrom = \"a:x\"\nto = [\"a:y\"]\n"
	if c := load(t, text); c.Links["a"].Plugin != "xmmp" {
		t.Errorf("got %v", c.Links["a"])
	}
	list := faults(t, text, "webhook", "xmpp").List
	if len(list) != 1 || list[0].Line != 2 || list[0].Col != 10 || !strings.Contains(list[0].Remedy, `"xmpp"`) {
		t.Errorf("got %+v", list)
	}
}

func TestIncludesAddUp(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "bridgehost.toml", "include = [\"conf.d/*.toml\", \"none.d/*.toml\"]\n[admin]\nlisten = \"127.0.0.1:1\"\n")
	write(t, dir, "conf.d/1.toml", "[link.a]\nplugin = \"x\"\n[link.a.config]\npassword = { file = \"pw\" }\nbad.key = 1\n")
	write(t, dir, "conf.d/2.toml", "[host]\ndata = \"d\"\n[[route]]\nfrom = \"a:x\"\nto = [\"a:y\"]\n")
	write(t, dir, "conf.d/pw", "beside the file\r\n")
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(c.Links["a"].ConfigJSON()); got != `{"bad":{"key":1},"password":"beside the file"}` {
		t.Errorf("got %s", got)
	}
	if c.Host.Data != "d" || c.Admin.Listen != "127.0.0.1:1" || len(c.Routes) != 1 {
		t.Errorf("got %v, %+v, %+v", c, c.Host, c.Admin)
	}
	if p := c.Locate("a", "bad.key"); p.File != filepath.Join(dir, "conf.d", "1.toml") || p.Line != 5 || p.Col != 11 {
		t.Errorf("position: got %v", p)
	}
}

func TestCredentialOfSystemd(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "xmpp", "from systemd\n")
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	const text = "[link.a]\nplugin = \"x\"\nconfig.secret = { credential = \"%s\" }\n[[route]]\nfrom = \"a:x\"\nto = [\"a:y\"]\n"
	if got := string(load(t, strings.Replace(text, "%s", "xmpp", 1)).Links["a"].ConfigJSON()); got != `{"secret":"from systemd"}` {
		t.Errorf("got %s", got)
	}
	if list := faults(t, strings.Replace(text, "%s", "../xmpp", 1)).List; len(list) != 1 || !strings.Contains(list[0].Problem, "no name of a credential") {
		t.Errorf("got %+v", list)
	}
}

func TestWarnings(t *testing.T) {
	c := load(t, `
[admin]
listen = "0.0.0.0:8081"
[link.a]
plugin = "x"
[link.a.config]
token = "sesame-open"
[link.idle]
plugin = "x"
[[route]]
from = "a:x"
to = ["a:y"]
`)
	text := strings.Join(c.Warnings, "\n")
	for _, want := range []string{":3:10: the admin listener is open", ":7:9: link.a.config.token holds a secret in plain text", ":8:7: no route uses the link idle"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if len(c.Warnings) != 3 || strings.Contains(text, "sesame") {
		t.Errorf("got\n%s", text)
	}
}

func TestSecretsAreInNoOutput(t *testing.T) {
	t.Setenv("TOKEN_OF_TEST", "sesame-env")
	c := load(t, `
[link.a]
plugin = "x"
config = { token = "sesame-plain", password = { env = "TOKEN_OF_TEST" }, list = [{ secret = "sesame-deep" }] }
[[route]]
from = "a:x"
to = ["a:y"]
`)
	c.Links["a"].Secrets = map[string]Secret{"db": "sesame-secret"}
	var out strings.Builder
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, v := range []any{c, *c, c.Links, c.Links["a"], *c.Links["a"], c.Links["a"].Secrets} {
			fmt.Fprintf(&out, format+"\n", v)
		}
	}
	for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(h).Info("x", "config", c, "link", c.Links["a"], "value", *c.Links["a"], "secrets", c.Links["a"].Secrets)
	}
	if err := json.NewEncoder(&out).Encode(c); err != nil {
		t.Fatal(err)
	}
	e := c.Fault("a", "token", `"sesame-plain" and sesame-env are bad`, "not sesame-deep nor sesame-secret")
	out.WriteString(e.Error())
	if strings.Contains(out.String(), "sesame") {
		t.Errorf("a secret in\n%s", out.String())
	}
	if !strings.Contains(e.Error(), ":4:20: token: \"***\" and *** are bad") {
		t.Errorf("got %v", e)
	}
}

func TestLocate(t *testing.T) {
	c := load(t, `[link.home]
plugin = "xmpp"
[link.home.config]
mode = "x"
list = [1, { deep = 2 }]
[link.home.config.rooms."ops@muc.example.org"]
nick = "n"
[[link.home.config.hook]]
a.b = 1
[[link.home.config.hook]]
c = 1
[[route]]
from = "home:q"
to = ["home:r", "home:ops@muc.example.org"]
`)
	for key, want := range map[string]string{
		"":                                 "1:7",
		"mode":                             "4:8",
		"list[1].deep":                     "5:21",
		"list[7]":                          "5:8",
		"rooms.ops@muc.example.org.nick":   "7:8",
		`rooms."ops@muc.example.org".nick`: "7:8",
		`rooms."ops@muc.example.org".nock`: "6:25",
		"hook[0].a.b":                      "9:7",
		"hook[1].c":                        "11:5",
		"nothing":                          "3:12",
		"place ops@muc.example.org":        "14:17",
		"place q":                          "13:8",
		"place unknown":                    "1:7",
		"mode.x.y[":                        "4:8",
		"[":                                "3:12",
	} {
		p := c.Locate("home", key)
		if got := fmt.Sprintf("%d:%d", p.Line, p.Col); got != want {
			t.Errorf("%q: got %s, want %s", key, got, want)
		}
	}
	if e := c.FaultAt("home", "plugin", "p", "r"); e.Line != 2 || e.Col != 10 || e.Key != "link.home.plugin" {
		t.Errorf("got %+v", e)
	}
	if e := c.Fault("no such link", "x", "p", "r"); e.Line != 1 {
		t.Errorf("got %+v", e)
	}
}

func TestHugeFilesEnd(t *testing.T) {
	var b strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&b, "[link.l%d]\nplugin = \"x\"\n", i)
	}
	for i := range 5000 {
		fmt.Fprintf(&b, "[[route]]\nfrom = \"m%d:x\"\nto = [\"l%d:y\"]\nboth_ways = true\n", i, i%2000)
	}
	b.WriteString(strings.Repeat("a = [\n", 20_000))
	start := time.Now()
	list := faults(t, b.String())
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
	if len(list.List) != maxFaults || !strings.Contains(list.Error(), "perhaps more") {
		t.Errorf("got %d faults", len(list.List))
	}
	if deep := faults(t, "a = "+strings.Repeat("[", 9000)+strings.Repeat("]", 9000)); !strings.Contains(deep.Error(), "nested too deep") {
		t.Errorf("got %v", deep)
	}
	if _, err := Load(write(t, t.TempDir(), "x.toml", strings.Repeat("#\n", maxFile))); err == nil || !strings.Contains(err.Error(), "larger than 4 MiB") {
		t.Errorf("got %v", err)
	}
}
