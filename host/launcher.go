package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"bridgehost/host/config"
	"bridgehost/host/internal/launch/proc"
	"bridgehost/host/internal/launch/wasm"
	"bridgehost/host/internal/supervise"
	"bridgehost/sdk"
)

// pluginSpec is what the launcher needs to know of one link's plugin.
type pluginSpec struct {
	builtin string // name of a built-in plugin
	exec    string // path of an executable
	module  string // path of a module
	sha256  string // of the file, hex
	grant   []string
	hosts   []string
	private []netip.Prefix // that hosts may resolve to all the same
	secrets map[string]string
	memory  int64
	time    time.Duration
	trusted bool
	base    string // folder from which relative paths are meant
}

// launcher makes instances of plugins: built-in ones and foreign executables
// as subprocesses, modules in this process.
type launcher struct {
	builtins  map[string]sdk.Plugin
	inProcess bool // built-in plugins without a subprocess: check, benchmarks
	runtime   string
	wasm      *wasm.Host
	metric    func(link sdk.LinkID, name string, add float64)
	log       *slog.Logger
}

var _ supervise.Launcher = (*launcher)(nil)

// Launch implements supervise.Launcher.
func (l *launcher) Launch(ctx context.Context, spec supervise.Spec) (supervise.Instance, error) {
	p, ok := spec.Detail.(pluginSpec)
	if !ok {
		return nil, fmt.Errorf("link %s: no plugin is named", spec.Link)
	}
	inst, err := l.start(ctx, spec, p)
	if err != nil {
		return nil, err
	}
	return based(inst, p.base), nil
}

// start makes the instance itself.
func (l *launcher) start(ctx context.Context, spec supervise.Spec, p pluginSpec) (supervise.Instance, error) {
	log := l.log.With("link", spec.Link)
	switch {
	case p.module != "":
		return l.loadModule(ctx, p)
	case p.exec != "":
		return instance(proc.Launch(ctx, proc.Spec{Path: p.exec, SHA256: p.sha256, RuntimeDir: l.runtime, Log: log}))
	case l.inProcess:
		return &plain{plugin: l.builtins[p.builtin]}, nil
	default:
		return instance(proc.Launch(ctx, proc.Spec{Name: p.builtin, RuntimeDir: l.runtime, Log: log}))
	}
}

// plain is a plugin in this process.
type plain struct{ plugin sdk.Plugin }

func (p *plain) Plugin() sdk.Plugin    { return p.plugin }
func (p *plain) Done() <-chan struct{} { return nil }
func (p *plain) Close() error          { return nil }

// instance gives a started process as an instance, keeping a nil pointer from
// becoming an interface that is not nil.
func instance(p *proc.Process, err error) (supervise.Instance, error) {
	if err != nil {
		return nil, err
	}
	return p, nil
}

// module is a loaded module with the link that it opened, which must be closed
// before it.
type module struct {
	*wasm.Plugin
	link *wasm.Link
}

var _ sdk.Plugin = (*module)(nil)

// Open implements sdk.Plugin.
func (m *module) Open(cfg sdk.Config, h sdk.Host) (sdk.Link, error) {
	link, err := m.Plugin.OpenLink(cfg, h)
	if err != nil {
		return nil, err
	}
	m.link = link
	return link, nil
}

// moduleInstance adapts a module.
type moduleInstance struct{ m *module }

func (i moduleInstance) Plugin() sdk.Plugin    { return i.m }
func (i moduleInstance) Done() <-chan struct{} { return nil }

func (i moduleInstance) Close() error {
	if i.m.link != nil {
		i.m.link.Close()
	}
	i.m.Plugin.Close()
	return nil
}

// loadModule reads, checks and compiles a module.
func (l *launcher) loadModule(ctx context.Context, p pluginSpec) (supervise.Instance, error) {
	binary, err := readPinned(p.module, p.sha256)
	if err != nil {
		return nil, err
	}
	manifest, err := moduleManifest(binary, p.module)
	if err != nil {
		return nil, err
	}
	loaded, err := l.wasm.Load(ctx, binary, wasm.LoadOptions{Name: p.module, Manifest: manifest, Grant: p.grant,
		Memory: p.memory, Time: p.time, Trusted: p.trusted, Hosts: p.hosts, Allow: p.private, Secrets: p.secrets, Metric: l.metric})
	if err != nil {
		return nil, &sdk.Error{Op: "load", Kind: sdk.Invalid, Err: err}
	}
	debug.FreeOSMemory() // the compiler has used many times what the module needs
	return moduleInstance{&module{Plugin: loaded}}, nil
}

// readPinned reads a file once and compares its digest.
func readPinned(path, want string) ([]byte, error) {
	binary, err := os.ReadFile(path)
	if err != nil {
		return nil, &sdk.Error{Op: "read module", Kind: sdk.Invalid, Err: err}
	}
	sum := sha256.Sum256(binary)
	got := hex.EncodeToString(sum[:])
	switch {
	case want == "":
		return nil, sdk.Errorf(sdk.Invalid, "read module "+path, "no checksum is known; write sha256 = %q into the link, or run: bridgehost plugin install %s", got, path)
	case !strings.EqualFold(got, want):
		return nil, sdk.Errorf(sdk.Invalid, "read module "+path, "the file has changed: its sha256 is %s, the configuration names %s; if the change is meant, run: bridgehost plugin install %s", got, want, path)
	}
	return binary, nil
}

// moduleManifest reads the manifest inside a module; without one the module is
// a filter that asks for nothing.
func moduleManifest(binary []byte, path string) (sdk.Manifest, error) {
	text, ok, err := wasm.ManifestText(binary)
	if err != nil {
		return sdk.Manifest{}, &sdk.Error{Op: "inspect module " + path, Kind: sdk.Invalid, Err: err}
	}
	if !ok {
		return sdk.Manifest{ID: "module", Facets: []string{"filter"}}, nil
	}
	m, err := config.ParseManifest([]byte(text))
	if err != nil {
		return sdk.Manifest{}, &sdk.Error{Op: "manifest of module " + path, Kind: sdk.Invalid, Err: err}
	}
	return m, nil
}
