package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bridgehost/host/config"
	"bridgehost/sdk"
	"bridgehost/sdk/settings"
	"bridgehost/sdk/web"
)

// speaker is a plugin with a config table; its links have the facets of link.
type speaker struct {
	facets []string
	link   sdk.Link
}

type speakerOptions struct {
	Address string `cfg:"address,required" doc:"host:port"`
	Secret  string `cfg:"secret,secret" doc:"secret"`
	Count   int    `cfg:"count" doc:"a number" min:"1" max:"9"`
	CA      string `cfg:"ca,file" doc:"a file"`
}

func (s speaker) Describe() sdk.Manifest {
	schema, err := settings.Schema(speakerOptions{})
	if err != nil {
		panic(err)
	}
	return sdk.Manifest{ID: "speaker", Facets: s.facets, Schema: schema}
}

func (s speaker) Open(cfg sdk.Config, h sdk.Host) (sdk.Link, error) {
	var o speakerOptions
	if err := settings.Decode(cfg.JSON, &o); err != nil {
		return nil, err
	}
	if o.Address == "eager" {
		return nil, errors.Join(h.Publish(context.Background(), sdk.Event{}), h.Report(context.Background(), sdk.Report{}))
	}
	if o.Address == "broken" {
		return nil, errors.New("no such wire")
	}
	if o.CA != "" {
		if _, err := os.Stat(o.CA); err != nil {
			return nil, err
		}
	}
	return s.link, nil
}

type mute struct{}

func (mute) Run(ctx context.Context) error { <-ctx.Done(); return nil }

type taker struct{ mute }

func (taker) Deliver(context.Context, []sdk.Delivery) ([]sdk.Receipt, error) { return nil, nil }

type page struct {
	mute
	prefix string
}

func (p page) WebRoutes() []web.Route { return []web.Route{{Prefix: p.prefix}} }
func (page) ServeWeb(context.Context, *web.Request) (*web.Response, error) {
	return &web.Response{}, nil
}
func (page) Deliver(context.Context, []sdk.Delivery) ([]sdk.Receipt, error) { return nil, nil }

func speakers() map[string]sdk.Plugin {
	return map[string]sdk.Plugin{
		"talk":   speaker{[]string{"deliverer", "resolver"}, taker{}},
		"write":  speaker{[]string{"deliverer"}, taker{}},
		"listen": speaker{nil, mute{}},
		"page":   speaker{[]string{"deliverer", "web"}, page{prefix: "/hook/"}},
	}
}

// checkText checks a configuration and gives what is said of it, a line for each
// fault: its line and its problem with remedy.
func checkText(t *testing.T, text string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bridgehost.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := CheckFile(t.Context(), path, speakers())
	var faults *config.Errors
	switch {
	case err == nil && cfg != nil:
		return nil
	case !errors.As(err, &faults):
		t.Fatalf("got configuration %v and error %v", cfg, err)
	case cfg != nil:
		t.Error("a configuration with faults came back as if it could be run")
	}
	var out []string
	for _, f := range faults.List {
		out = append(out, fmt.Sprintf("%d: %s (%s)", f.Line, f.Problem, f.Remedy))
	}
	return out
}

// wantFaults compares faults with parts of what is wanted, in order.
func wantFaults(t *testing.T, got []string, want ...string) {
	t.Helper()
	ok := len(got) == len(want)
	for i := range min(len(got), len(want)) {
		ok = ok && strings.Contains(got[i], want[i])
	}
	if !ok {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestCheckIsOnePass has faults of the file and of the plugins' tables in one
// list, in the order of the file.
func TestCheckIsOnePass(t *testing.T) {
	got := checkText(t, `[host]
crash_limit = 0
[link.a]
plugin = "talk"
[link.a.config]
count = 10
[link.b]
plugin = "talk"
on_error = "ajar"
[link.b.config]
count = 11
[link.c]
plugin = "tolk"
[link.d]
plugin = "talk"
config = { address = "x", cuont = 3 }
[[route]]
from = "a:x"
to = ["b:y", "d:z", "nobody:x"]
`)
	wantFaults(t, got, "2: 0 crashes", "5: address: is missing", "6: count: 10 is out of range", `9: "ajar"`,
		`13: there is no plugin "tolk" (did you mean "talk"?)`, "16: cuont: is not a key of this table (did you mean count?)", `19: there is no link "nobody"`)
}

// TestCheckLeavesOutBrokenLinks keeps a plugin from complaining about what the
// file itself already says: lines that cannot be read, secrets that are not there.
func TestCheckLeavesOutBrokenLinks(t *testing.T) {
	got := checkText(t, `[link.a]
plugin = "talk"
[link.a.config]
address = unquoted
[link.b]
plugin = "talk"
[link.b.config]
secret = { file = "missing" }
[link.c]
plugin = "talk"
[link.c.config]
address = "broken"
`)
	wantFaults(t, got, "4: ", "8: the secret's file cannot be read", "9: no such wire")
	got = checkText(t, "[link.a]\nplugin = \"talk\"\n[]\n[link.b]\nplugin = \"talk\"\n")
	wantFaults(t, got, "3: ") // what stood below the header may have been a's address
}

func TestCheckRoles(t *testing.T) {
	const links = "[http]\nlisten = \"127.0.0.1:0\"\n[link.a]\nplugin = \"talk\"\nconfig = { address = \"x\" }\n" +
		"[link.b]\nplugin = \"listen\"\nconfig = { address = \"x\" }\n"
	wantFaults(t, checkText(t, links+"[[route]]\nfrom = \"b:x\"\nto = [\"a:y\"]\n"))
	wantFaults(t, checkText(t, links+"[[route]]\nfrom = \"a:x\"\nto = [\"b:y\"]\nfilters = [\"a\"]\n"),
		"3: the route route-1 uses this link as a filter", "6: a route leads to b:y")
	page := func(name string) string {
		return "[link." + name + "]\nplugin = \"page\"\nconfig = { address = \"x\" }\n"
	}
	wantFaults(t, checkText(t, links+page("p")+page("q")), "12: the path /hook/ belongs to the link p already")
	wantFaults(t, checkText(t, page("p")), "1: the link answers HTTP, and there is no public listener")
	wantFaults(t, checkText(t, "[htp]\nlisten = \"127.0.0.1:0\"\n"+page("p")), `1: there is no key "htp"`)
}

// TestCheckGateways reports links whose plugin cannot be part of a gateway, at
// the gateway and with what to write instead.
func TestCheckGateways(t *testing.T) {
	link := func(name, plugin string) string {
		return "[link." + name + "]\nplugin = \"" + plugin + "\"\nconfig = { address = \"x\" }\n"
	}
	links := link("a", "talk") + link("b", "talk") + link("c", "write") + link("d", "listen")
	wantFaults(t, checkText(t, links+"[[gateway]]\nlinks = [\"a\", \"b\"]\n"))
	wantFaults(t, checkText(t, links+"[[gateway]]\nlinks = [\"a\", \"c\"]\n"),
		"14: the link c cannot be part of a gateway: its plugin write cannot look up addresses (resolver) (name a link with the plugin talk, or join")
	wantFaults(t, checkText(t, links+"[[gateway]]\nlinks = [\"d\", \"a\"]\nfilters = [\"b\"]\n"),
		"4: the gateway d-a uses this link as a filter", "14: the link d cannot be part of a gateway: its plugin listen takes no deliveries (deliverer) and cannot look up")
}

// TestCheckFilesOfPlugins finds files that plugins' tables name from the folder of
// the configuration, wherever the process runs.
func TestCheckFilesOfPlugins(t *testing.T) {
	const text = "[link.a]\nplugin = \"talk\"\n[link.a.config]\nca = \"FILE\"\ncount = 10\n"
	wantFaults(t, checkText(t, strings.Replace(text, "FILE", "nowhere.pem", 1)),
		"3: address: is missing", "4: ca: there is no file /", "5: count: 10")
	wantFaults(t, checkText(t, "[link.a]\nplugin = \"talk\"\nconfig = { address = \"x\", ca = \"bridgehost.toml\" }\n"))
	wantFaults(t, checkText(t, "[link.a]\nplugin = \"talk\"\nconfig = { address = \"broken\", ca = \"x\" }\n"), "3: ca: there is no file")
}

// TestCheckOfAnEagerPlugin gives a plugin that wants to work in Open an error, and
// goes on.
func TestCheckOfAnEagerPlugin(t *testing.T) {
	const link = "[link.NAME]\nplugin = \"talk\"\nconfig = { address = \"eager\" }\n"
	wantFaults(t, checkText(t, strings.Replace(link, "NAME", "a", 1)+strings.Replace(link, "NAME", "b", 1)),
		"1: publish: the link is only checked", "4: publish: the link is only checked")
	h := checkHost{}
	if _, err := h.Resolve(t.Context(), "x"); sdk.KindOf(err) != sdk.Unsupported {
		t.Errorf("resolve: %v", err)
	}
	_, getErr := h.Store().Get(t.Context(), "x")
	_, keysErr := h.Store().Keys(t.Context(), "", "")
	for _, err := range []error{getErr, keysErr, h.Store().Set(t.Context(), "x", nil)} {
		if sdk.KindOf(err) != sdk.Unsupported {
			t.Errorf("store: %v", err)
		}
	}
}

func TestCheckFileThatIsNotThere(t *testing.T) {
	if _, err := CheckFile(t.Context(), filepath.Join(t.TempDir(), "none.toml"), speakers()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that the file does not exist", err)
	}
}
