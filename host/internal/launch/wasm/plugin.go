package wasm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"

	"bridgehost/host/internal/launch/wasm/meter"
	"bridgehost/sdk"
)

// LoadOptions are what the operator decided about one module.
type LoadOptions struct {
	// Name is the file's name, for messages.
	Name string
	// Manifest is that of the module (see ManifestText).
	Manifest sdk.Manifest
	// Grant lists the abilities that the operator grants; nothing by default.
	// Every ability that the manifest asks for must be among them.
	Grant []string
	// Memory in bytes and Time of one call; 0 = what the manifest asks for, at
	// most DefaultMemory and DefaultTime.
	Memory int64
	Time   time.Duration
	// Trusted runs the module without metering. A loop in it stops the host.
	Trusted bool
	// Hosts narrows the hosts of the manifest that http may reach; empty = those of the manifest.
	Hosts []string
	// Allow lists addresses that are not public and that this module may reach
	// by http, besides those of Options.
	Allow []netip.Prefix
	// Secrets are those that the module may ask for by name.
	Secrets map[string]string
	// Metric counts on behalf of a link; nil = not counted.
	Metric func(link sdk.LinkID, name string, add float64)
	// Shards is the count of instances of a link that is only a filter; 0 = by
	// the count of processors.
	Shards int
}

// ManifestText returns the text of plugin.toml that a module carries, and
// whether it carries one.
func ManifestText(binary []byte) (string, bool, error) {
	m, err := meter.Inspect(binary, meter.Limits{})
	if err != nil {
		return "", false, explain(err)
	}
	for _, c := range m.Custom {
		if c.Name == ManifestSection {
			return string(c.Data), true, nil
		}
	}
	return "", false, nil
}

// explain adds what to do to errors of inspection.
func explain(err error) error {
	if errors.Is(err, meter.ErrComponent) {
		return fmt.Errorf("%w: %s", err, componentHelp)
	}
	return err
}

// compiled is the code of a module in a runtime of its own. It is closed, with
// its machine code, when the last user has released it.
type compiled struct {
	runtime wazero.Runtime
	module  wazero.CompiledModule
	limits  instanceOptions
	refs    atomic.Int64
}

func (c *compiled) retain() { c.refs.Add(1) }

// release closes the code when nobody uses it any more.
func (c *compiled) release() {
	if c.refs.Add(-1) == 0 {
		ctx := context.Background()
		_ = c.module.Close(ctx)
		_ = c.runtime.Close(ctx)
	}
}

// Plugin is a loaded module.
type Plugin struct {
	host   *Host
	opts   LoadOptions
	code   *compiled
	digest [32]byte
	// Metered says that the module pays fuel; false for trusted modules and for
	// those that use instructions unknown to the meter, which the runtime
	// interrupts instead (4 to 30 times slower).
	Metered bool
}

var _ sdk.Plugin = (*Plugin)(nil)

// Load checks, meters and compiles a module. The binary is not kept. Errors
// name the module and what is wrong with it.
func (h *Host) Load(ctx context.Context, binary []byte, opts LoadOptions) (*Plugin, error) {
	p := &Plugin{host: h, opts: opts, digest: sha256.Sum256(binary)}
	if err := checkGrants(opts); err != nil {
		return nil, fmt.Errorf("load module %s: %w", opts.Name, err)
	}
	limits := instanceOptions{memory: p.memory(), initTime: DefaultInitTime, trusted: opts.Trusted}
	m, err := meter.Inspect(binary, meter.Limits{MemoryPages: pages(limits.memory)})
	if err == nil {
		err = checkImports(m)
	}
	if err != nil {
		return nil, fmt.Errorf("load module %s: %w", opts.Name, explain(err))
	}
	p.code, err = guarded(ctx, h, func() (*compiled, error) { return h.compile(m, binary, limits, p.digest) }, (*compiled).release)
	if err != nil {
		return nil, fmt.Errorf("load module %s: %w", opts.Name, err)
	}
	p.Metered = p.code.limits.metered
	return p, nil
}

// checkGrants names the abilities that the manifest asks for and the operator
// did not grant (PL-07).
func checkGrants(opts LoadOptions) error {
	var missing []string
	for _, a := range opts.Manifest.Abilities {
		if !slices.Contains(opts.Grant, a) {
			missing = append(missing, fmt.Sprintf("%q", a))
		}
	}
	if len(missing) > 0 {
		return sdk.Errorf(sdk.Forbidden, "", "the manifest asks for %s, which grant does not list", strings.Join(missing, ", "))
	}
	return nil
}

// memory returns the limit in bytes.
func (p *Plugin) memory() int64 {
	if p.opts.Memory > 0 {
		return p.opts.Memory
	}
	if asked := p.opts.Manifest.Limits.Memory; asked > 0 {
		return min(asked, DefaultMemory)
	}
	return DefaultMemory
}

// time returns the limit of one call.
func (p *Plugin) time() time.Duration {
	if p.opts.Time > 0 {
		return p.opts.Time
	}
	if asked := p.opts.Manifest.Limits.Time; asked > 0 {
		return min(asked, DefaultTime)
	}
	return DefaultTime
}

// compile validates the original, rewrites it and compiles the result. What was
// validated and rewritten before is read back from the cache.
func (h *Host) compile(m *meter.Module, binary []byte, limits instanceOptions, digest [32]byte) (*compiled, error) {
	if limits.trusted {
		return h.build(m, binary, limits)
	}
	kept := h.keptFile(digest, limits)
	if code := readKept(kept); code != nil {
		limits.metered = true
		if c, err := h.build(m, code, limits); err == nil {
			return c, nil // else the file is damaged and is written again
		}
	}
	if err := validate(binary); err != nil {
		return nil, err
	}
	code, err := m.Rewrite()
	switch {
	case errors.Is(err, meter.ErrUnsupported):
		return h.build(m, binary, instanceOptions{memory: limits.memory, initTime: limits.initTime})
	case err != nil:
		return nil, err
	}
	limits.metered = true
	c, err := h.build(m, code, limits)
	if err == nil {
		keep(kept, code)
	}
	return c, err
}

// build compiles code in a runtime of its own and binds the host's functions.
// Code that is neither metered nor trusted is interrupted by the runtime.
func (h *Host) build(m *meter.Module, code []byte, limits instanceOptions) (*compiled, error) {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, h.runtimeConfig(limits.memory, !limits.metered && !limits.trusted))
	c := &compiled{runtime: r, limits: limits}
	c.retain()
	cm, err := r.CompileModule(ctx, code)
	if err != nil {
		_ = r.Close(ctx)
		return nil, fmt.Errorf("compile: %w", err)
	}
	c.module = cm
	if err := checkExports(m, cm); err != nil {
		c.release()
		return nil, err
	}
	if err := bindHost(ctx, r); err != nil {
		c.release()
		return nil, err
	}
	return c, nil
}

// validate has the runtime check the original module, without making code of it.
func validate(binary []byte) error {
	ctx := context.Background()
	cfg := wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(features).WithDebugInfoEnabled(false)
	r := wazero.NewRuntimeWithConfig(ctx, cfg)
	defer func() { _ = r.Close(ctx) }()
	cm, err := r.CompileModule(ctx, binary)
	if err != nil {
		return fmt.Errorf("validate: %w", err)
	}
	_ = cm.Close(ctx)
	return nil
}

// keptFile is where the metered form of a valid module is kept; empty without a
// folder. The name holds all that the form depends on.
func (h *Host) keptFile(digest [32]byte, limits instanceOptions) string {
	if h.opts.Dir == "" {
		return ""
	}
	return filepath.Join(h.opts.Dir, "metered", fmt.Sprintf("%x-%d-v%d.wasm", digest, pages(limits.memory), meter.Version))
}

// readKept reads a metered module, whose own digest stands in front; nil when
// there is none or it is damaged.
func readKept(name string) []byte {
	if name == "" {
		return nil
	}
	b, err := os.ReadFile(name)
	if err != nil || len(b) < sha256.Size || sha256.Sum256(b[sha256.Size:]) != [32]byte(b[:sha256.Size]) {
		return nil
	}
	return b[sha256.Size:]
}

// keep writes a metered module; without it the next start only takes longer.
func keep(name string, code []byte) {
	if name == "" {
		return
	}
	sum := sha256.Sum256(code)
	f, err := os.CreateTemp(filepath.Dir(name), "new-")
	if err == nil {
		_, err = f.Write(append(sum[:], code...))
		err = errors.Join(err, f.Close())
		if err == nil {
			err = os.Rename(f.Name(), name)
		}
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}
	if err != nil {
		slog.Debug("metered module was not kept", "error", err)
	}
}

// Close releases the module's code; links that are open keep it until they end.
func (p *Plugin) Close() { p.code.release() }

// Digest returns the SHA-256 of the module's file in hex.
func (p *Plugin) Digest() string { return hex.EncodeToString(p.digest[:]) }

// Describe implements sdk.Plugin.
func (p *Plugin) Describe() sdk.Manifest { return p.opts.Manifest }

// Open implements sdk.Plugin. It starts an instance for the time of the call
// only, so that a link that is dropped leaves nothing behind; instances that
// work are started by the first call of a facet or of Run.
func (p *Plugin) Open(cfg sdk.Config, host sdk.Host) (sdk.Link, error) {
	return p.OpenLink(cfg, host)
}

// OpenLink is Open with the concrete type, which the host needs for Reload and Close.
func (p *Plugin) OpenLink(cfg sdk.Config, host sdk.Host) (*Link, error) {
	l := newLink(p, cfg, host)
	if err := l.probe(p.code); err != nil {
		l.Close()
		return nil, fmt.Errorf("open link %s of module %s: %w", cfg.Link, p.opts.Name, err)
	}
	return l, nil
}

// hosts returns the patterns that http may reach.
func (p *Plugin) hosts() []string {
	if len(p.opts.Hosts) == 0 {
		return p.opts.Manifest.Hosts
	}
	if slices.Contains(p.opts.Manifest.Hosts, "*") {
		return p.opts.Hosts
	}
	var both []string
	for _, h := range p.opts.Hosts {
		if slices.Contains(p.opts.Manifest.Hosts, h) {
			both = append(both, h)
		}
	}
	return both
}
