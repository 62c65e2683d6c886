package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"bridgehost/host/config"
	"bridgehost/host/internal/launch/proc"
	"bridgehost/host/internal/launch/wasm"
	"bridgehost/host/internal/supervise"
	"bridgehost/sdk"
	"bridgehost/sdk/guest/section"
)

// Kinds of plugin files.
const (
	PluginModule     = "module"
	PluginExecutable = "executable"
)

// maxPluginFile bounds the file of a plugin: an executable of a few hundred MiB is none.
const maxPluginFile = 1 << 30

// Inspection is what is known of a plugin's file without running it.
type Inspection struct {
	Path   string `json:"path"` // absolute
	Kind   string `json:"kind"` // module or executable
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	// Manifest is nil for an executable, which tells it only when it runs, and
	// for a module that carries none.
	Manifest *sdk.Manifest `json:"manifest,omitempty"`
	// The rest is empty for executables.
	Imports   []string      `json:"imports,omitempty"`
	Exports   []string      `json:"exports,omitempty"`
	MemoryMin int64         `json:"memory_min,omitempty"` // bytes
	MemoryMax int64         `json:"memory_max,omitempty"` // bytes
	Metered   bool          `json:"metered,omitempty"`
	Runs      string        `json:"runs,omitempty"`    // how it is kept within its time
	Compile   time.Duration `json:"compile,omitempty"` // how long checking and compiling took
	// Problem says why the host would not take the file; empty = it would.
	Problem string `json:"problem,omitempty"`
}

// Abilities lists what the plugin asks of the host.
func (i *Inspection) Abilities() []string {
	if i.Manifest == nil {
		return nil
	}
	return i.Manifest.Abilities
}

// FileSHA256 gives the checksum of a file in hex.
func FileSHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("checksum: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("checksum of %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// InspectPlugin reads the file of a plugin: a module, which is compiled as the
// host would do it, or an executable, which is not started. An error means that
// the file is neither or cannot be read; what the host would refuse is told in
// Problem.
func InspectPlugin(ctx context.Context, path string) (i *Inspection, err error) {
	modules, err := wasm.NewHost(wasm.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, modules.Close(context.WithoutCancel(ctx))) }()
	return inspectPlugin(ctx, path, modules)
}

// inspectPlugin is InspectPlugin with the host that compiles.
func inspectPlugin(ctx context.Context, path string, modules *wasm.Host) (*Inspection, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("inspect plugin: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("inspect plugin: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("inspect plugin: %w", err)
	case !info.Mode().IsRegular() || info.Size() > maxPluginFile:
		return nil, fmt.Errorf("inspect plugin %s: no file of a plugin (mode %s, %d bytes)", path, info.Mode(), info.Size())
	}
	out := &Inspection{Path: path, Kind: PluginExecutable, Size: info.Size()}
	head := make([]byte, 4)
	if _, err := io.ReadFull(f, head); err == nil && bytes.Equal(head, []byte("\x00asm")) {
		return out, out.inspectModule(ctx, modules)
	}
	if info.Mode().Perm()&0o111 == 0 {
		return nil, fmt.Errorf("inspect plugin %s: neither a WebAssembly module nor executable", path)
	}
	if out.SHA256, err = FileSHA256(path); err != nil {
		return nil, err
	}
	if err := proc.Verify(path, out.SHA256); err != nil {
		out.Problem = err.Error()
	}
	return out, nil
}

// inspectModule fills in what a module tells.
func (i *Inspection) inspectModule(ctx context.Context, modules *wasm.Host) error {
	binary, err := os.ReadFile(i.Path)
	if err != nil {
		return fmt.Errorf("inspect plugin: %w", err)
	}
	sum := sha256.Sum256(binary)
	i.Kind, i.SHA256, i.Size = PluginModule, hex.EncodeToString(sum[:]), int64(len(binary))
	if problem := i.compile(ctx, modules, binary); problem != nil {
		i.Problem = problem.Error()
	}
	return nil
}

// compile looks into a module and compiles it; the error is why the host would
// refuse it.
func (i *Inspection) compile(ctx context.Context, modules *wasm.Host, binary []byte) error {
	d, err := wasm.Describe(binary)
	if err != nil {
		return err
	}
	i.Imports, i.Exports = d.Imports, d.Exports
	manifest, err := moduleManifest(binary, i.Path)
	if err != nil {
		return err
	}
	if d.HasManifest {
		i.Manifest = &manifest
	}
	start := time.Now()
	p, err := modules.Load(ctx, binary, wasm.LoadOptions{Name: i.Path, Manifest: manifest, Grant: manifest.Abilities})
	if err != nil {
		return err
	}
	defer p.Close() // not with ctx: closing must not depend on the context of the caller
	i.Compile = time.Since(start)
	low, high := p.MemoryPages()
	i.MemoryMin, i.MemoryMax, i.Metered, i.Runs = int64(low)<<16, int64(high)<<16, p.Metered, p.Supervision()
	return nil
}

// PackModule writes the text of plugin.toml into a module's file, as a whole or
// not at all, and returns the manifest. A manifest that was inside is replaced.
func PackModule(path string, manifest []byte) (sdk.Manifest, error) {
	m, err := config.ParseManifest(manifest)
	if err != nil {
		return sdk.Manifest{}, err
	}
	binary, err := os.ReadFile(path)
	if err != nil {
		return m, fmt.Errorf("pack module: %w", err)
	}
	if binary, err = section.Set(binary, wasm.ManifestSection, manifest); err != nil {
		return m, fmt.Errorf("pack module %s: %w", path, err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".pack-*")
	if err != nil {
		return m, fmt.Errorf("pack module: %w", err)
	}
	_, err = tmp.Write(binary)
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return m, errors.Join(fmt.Errorf("pack module %s: %w", path, err), os.Remove(tmp.Name()))
	}
	return m, nil
}

// pluginBench starts the plugin of a file outside of a host.
type pluginBench struct {
	inspection *Inspection
	launcher   *launcher
	spec       pluginSpec
	close      []func() error
}

// openBench makes ready to start the plugin of a file as the host would, with
// all abilities that its manifest asks for. The caller closes it.
func openBench(ctx context.Context, path string, limit time.Duration, log *slog.Logger) (b *pluginBench, err error) {
	b = &pluginBench{}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	dir, err := os.MkdirTemp("", "bridgehost-plugin-")
	if err != nil {
		return b, fmt.Errorf("test plugin: %w", err)
	}
	b.close = append(b.close, func() error { return os.RemoveAll(dir) })
	modules, err := wasm.NewHost(wasm.Options{Dir: filepath.Join(dir, "wasm")})
	if err != nil {
		return b, err
	}
	b.close = append(b.close, func() error { return modules.Close(context.WithoutCancel(ctx)) })
	if b.inspection, err = inspectPlugin(ctx, path, modules); err != nil {
		return b, err
	}
	if b.inspection.Problem != "" {
		return b, fmt.Errorf("plugin %s: %s", path, b.inspection.Problem)
	}
	b.launcher = &launcher{wasm: modules, log: log}
	b.spec = pluginSpec{sha256: b.inspection.SHA256, grant: b.inspection.Abilities(), time: limit}
	if b.inspection.Kind == PluginModule {
		b.spec.module = b.inspection.Path
		return b, nil
	}
	b.spec.exec = b.inspection.Path
	runtime, err := proc.OpenRuntime(filepath.Join(dir, "run"))
	if err != nil {
		return b, err
	}
	b.launcher.runtime = runtime.Dir()
	b.close = append(b.close, runtime.Close)
	return b, nil
}

// start opens a link with that configuration in an instance of its own.
func (b *pluginBench) start(ctx context.Context, cfg sdk.Config, h sdk.Host) (sdk.Link, supervise.Instance, error) {
	inst, err := b.launcher.Launch(ctx, supervise.Spec{Link: cfg.Link, Detail: b.spec})
	if err != nil {
		return nil, nil, err
	}
	link, err := inst.Plugin().Open(cfg, h)
	if err != nil {
		return nil, nil, errors.Join(err, inst.Close())
	}
	return link, inst, nil
}

// Close removes what the plugin needed; its instances are closed before.
func (b *pluginBench) Close() error {
	var err error
	for i := len(b.close) - 1; i >= 0; i-- {
		err = errors.Join(err, b.close[i]())
	}
	b.close = nil
	return err
}
