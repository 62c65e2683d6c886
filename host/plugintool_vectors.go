package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"bridgehost/host/internal/supervise"
	"bridgehost/sdk"
	"bridgehost/sdk/codec/eventjson"
)

// Vector is a golden case of a filter: an event in, the verdict that must come out.
type Vector struct {
	Name   string          `json:"name"`
	Config json.RawMessage `json:"config"` // the link's config table; none = empty
	Event  json.RawMessage `json:"event"`  // protobuf's JSON of message Event; none = only the configuration is tried
	Want   Want            `json:"want"`

	File string `json:"-"`
}

// Want is what a vector expects.
type Want struct {
	Verb   string            `json:"verb"`   // pass, drop, replace, hold; empty in a vector without an event
	Reason string            `json:"reason"` // of drop and hold; empty = any
	Event  json.RawMessage   `json:"event"`  // the whole event after replace; none = any
	Emit   []json.RawMessage `json:"emit"`   // further events; none = any
	Error  string            `json:"error"`  // part of the error that must come instead of a verdict
}

// VectorResult tells how one vector went.
type VectorResult struct {
	Vector Vector
	Took   time.Duration // of the call
	Fault  string        // empty = as expected
}

// TestOptions are those of TestPlugin.
type TestOptions struct {
	Time time.Duration // limit of one call of a module; 0 = that of the manifest
	Log  *slog.Logger  // what the plugin logs; nil = nowhere
}

// maxVectors bounds a file of vectors.
const maxVectors = 16 << 20

// ReadVectors reads a file of vectors, or all files *.json of a folder by name.
// A file holds one vector or a list of them.
func ReadVectors(path string) ([]Vector, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read vectors: %w", err)
	}
	files := []string{path}
	if info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(path, "*.json")); err != nil {
			return nil, fmt.Errorf("read vectors: %w", err)
		}
		sort.Strings(files)
	}
	var out []Vector
	for _, file := range files {
		list, err := readVectorFile(file)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("read vectors: %s holds none: %w", path, fs.ErrNotExist)
	}
	return out, nil
}

func readVectorFile(file string) ([]Vector, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("read vectors: %w", err)
	}
	if info.Size() > maxVectors {
		return nil, fmt.Errorf("read vectors %s: larger than 16 MiB", file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read vectors: %w", err)
	}
	list, err := parseVectors(text)
	if err != nil {
		return nil, fmt.Errorf("read vectors %s: %w", file, err)
	}
	for i := range list {
		list[i].File = file
		if list[i].Name == "" {
			list[i].Name = fmt.Sprintf("%s number %d", filepath.Base(file), i+1)
		}
	}
	return list, nil
}

// parseVectors reads one vector or a list of them, strictly.
func parseVectors(text []byte) ([]Vector, error) {
	text = bytes.TrimSpace(text)
	if len(text) > 0 && text[0] == '{' {
		text = append(append([]byte{'['}, text...), ']')
	}
	var list []Vector
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&list); err != nil {
		return nil, err
	}
	for i, v := range list {
		if err := v.check(); err != nil {
			return nil, fmt.Errorf("vector %d %q: %w", i+1, v.Name, err)
		}
	}
	return list, nil
}

// verbs are the names of sdk.Verb.
var verbs = []string{"pass", "drop", "replace", "hold"}

func (v *Vector) check() error {
	switch {
	case v.Event == nil && v.Want.Verb != "":
		return errors.New("a vector without an event has no verdict: leave verb out, or add an event")
	case v.Event != nil && v.Want.Error == "" && !slices.Contains(verbs, v.Want.Verb):
		return fmt.Errorf("want.verb is %q, and must be one of %s", v.Want.Verb, strings.Join(verbs, ", "))
	}
	for _, text := range append([]json.RawMessage{v.Event, v.Want.Event}, v.Want.Emit...) {
		if text == nil {
			continue
		}
		if _, err := eventjson.Unmarshal(text); err != nil {
			return err
		}
	}
	return nil
}

// TestPlugin runs vectors through the plugin of a file, a module or an
// executable, with the limits that it would have in a host, and gives a result
// for each. An error means that the plugin could not be tried at all.
func TestPlugin(ctx context.Context, path string, vectors []Vector, opt TestOptions) (results []VectorResult, err error) {
	log := opt.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	b, err := openBench(ctx, path, opt.Time, log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	return b.test(ctx, vectors)
}

// test runs vectors.
func (b *pluginBench) test(ctx context.Context, vectors []Vector) (results []VectorResult, err error) {
	run := &vectorRun{bench: b, host: &benchHost{log: b.launcher.log, values: map[string][]byte{}}}
	defer func() { err = errors.Join(err, run.end()) }()
	for _, v := range vectors {
		if err := ctx.Err(); err != nil {
			return results, err
		}
		r := VectorResult{Vector: v}
		r.Took, r.Fault = run.one(ctx, &v)
		results = append(results, r)
	}
	return results, nil
}

// vectorRun keeps the link of the last configuration.
type vectorRun struct {
	bench  *pluginBench
	host   *benchHost
	config []byte
	filter sdk.Filter
	inst   supervise.Instance
	err    error // of opening the link
}

// end closes the link.
func (r *vectorRun) end() error {
	if r.inst == nil {
		return nil
	}
	err := r.inst.Close()
	r.inst, r.filter = nil, nil
	return err
}

// open has a link with that configuration.
func (r *vectorRun) open(ctx context.Context, config []byte) error {
	if len(config) == 0 {
		config = []byte("{}")
	}
	if r.inst != nil && bytes.Equal(config, r.config) {
		return r.err
	}
	if r.err = r.end(); r.err != nil {
		return r.err
	}
	var plain bytes.Buffer // the host hands over compact JSON
	if r.err = json.Compact(&plain, config); r.err != nil {
		return r.err
	}
	var link sdk.Link
	link, r.inst, r.err = r.bench.start(ctx, sdk.Config{Link: "test", JSON: plain.Bytes()}, r.host)
	if r.err != nil {
		return r.err
	}
	r.config = config
	r.filter = sdk.FacetsOf(link).Filter
	return nil
}

// one runs a vector and tells what is not as expected.
func (r *vectorRun) one(ctx context.Context, v *Vector) (took time.Duration, fault string) {
	err := r.open(ctx, v.Config)
	var verdict sdk.Verdict
	var in sdk.Event
	if err == nil && v.Event != nil && r.filter == nil {
		return 0, "the plugin is no filter, so it takes no events from vectors"
	}
	if err == nil && v.Event != nil {
		if in, err = eventjson.Unmarshal(v.Event); err != nil {
			return 0, err.Error()
		}
		var got []sdk.Verdict
		start := time.Now()
		got, err = r.filter.Filter(ctx, []sdk.Event{in})
		took = time.Since(start)
		if err == nil && len(got) != 1 {
			return took, fmt.Sprintf("%d verdicts about one event", len(got))
		}
		if err == nil {
			verdict = got[0]
		}
	}
	switch {
	case err != nil && v.Want.Error == "":
		return took, "error: " + err.Error()
	case err != nil && !strings.Contains(err.Error(), v.Want.Error):
		return took, fmt.Sprintf("error: got %q, want one with %q", err, v.Want.Error)
	case err != nil:
		return took, ""
	case v.Want.Error != "":
		return took, fmt.Sprintf("error: got none, want one with %q", v.Want.Error)
	case v.Event == nil:
		return took, ""
	}
	return took, v.Want.compare(&verdict)
}

// compare tells how a verdict differs from what is wanted.
func (w *Want) compare(v *sdk.Verdict) string {
	var faults []string
	if got := verbs[min(int(v.Verb), len(verbs)-1)]; got != w.Verb {
		faults = append(faults, fmt.Sprintf("verb: got %s, want %s", got, w.Verb))
	}
	if w.Reason != "" && v.Reason != w.Reason {
		faults = append(faults, fmt.Sprintf("reason: got %q, want %q", v.Reason, w.Reason))
	}
	if w.Event != nil {
		faults = append(faults, differ("event", v.Event, w.Event))
	}
	if w.Emit != nil && len(w.Emit) != len(v.Emit) {
		faults = append(faults, fmt.Sprintf("emit: got %d events, want %d", len(v.Emit), len(w.Emit)))
	} else {
		for i := range w.Emit {
			faults = append(faults, differ(fmt.Sprintf("emit %d", i+1), &v.Emit[i], w.Emit[i]))
		}
	}
	faults = slices.DeleteFunc(faults, func(s string) bool { return s == "" })
	return strings.Join(faults, "\n")
}

// differ compares events by their JSON and shows the lines that only one has.
func differ(what string, got *sdk.Event, want []byte) string {
	if got == nil {
		return what + ": got none"
	}
	expected, err := eventjson.Unmarshal(want)
	if err != nil {
		return what + ": " + err.Error()
	}
	g, errG := eventjson.Marshal(got)
	w, errW := eventjson.Marshal(&expected)
	if err := errors.Join(errG, errW); err != nil {
		return what + ": " + err.Error()
	}
	if bytes.Equal(g, w) {
		return ""
	}
	gotLines, wantLines := strings.Split(string(g), "\n"), strings.Split(string(w), "\n")
	out := []string{what + " differs (- is missing, + is too much):"}
	for _, l := range wantLines {
		if !slices.Contains(gotLines, l) {
			out = append(out, "- "+strings.TrimSpace(l))
		}
	}
	for _, l := range gotLines {
		if !slices.Contains(wantLines, l) {
			out = append(out, "+ "+strings.TrimSpace(l))
		}
	}
	return strings.Join(out, "\n")
}

// benchHost is the host of a plugin under test: it keeps values in memory and
// takes events without doing anything with them.
type benchHost struct {
	log *slog.Logger

	mu     sync.Mutex
	values map[string][]byte
}

var (
	_ sdk.Host  = (*benchHost)(nil)
	_ sdk.Store = (*benchHost)(nil)
)

// Publish implements sdk.Host.
func (h *benchHost) Publish(context.Context, ...sdk.Event) error { return nil }

// Report implements sdk.Host.
func (h *benchHost) Report(context.Context, ...sdk.Report) error { return nil }

// Store implements sdk.Host.
func (h *benchHost) Store() sdk.Store { return h }

// Resolve implements sdk.Host: the tool has no gateway.
func (*benchHost) Resolve(_ context.Context, address string) (sdk.Resolved, error) {
	return sdk.Resolved{}, sdk.Errorf(sdk.Unsupported, "resolve "+address, "there is no gateway")
}

// Log implements sdk.Host.
func (h *benchHost) Log() *slog.Logger { return h.log }

// Get implements sdk.Store.
func (h *benchHost) Get(_ context.Context, key string) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.values[key], nil
}

// Set implements sdk.Store.
func (h *benchHost) Set(_ context.Context, key string, value []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if value == nil {
		delete(h.values, key)
		return nil
	}
	h.values[key] = bytes.Clone(value)
	return nil
}

// Keys implements sdk.Store.
func (h *benchHost) Keys(_ context.Context, prefix, after string) ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for key := range h.values {
		if strings.HasPrefix(key, prefix) && key > after {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out[:min(len(out), 1000)], nil
}
