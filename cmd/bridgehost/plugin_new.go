package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"bridgehost/examples"
	"bridgehost/sdk/guest"
)

// template says how a new plugin comes out of an example.
type template struct {
	example string
	id      string // of the example, which the new name replaces
	vectors bool   // takes those of shout
	guest   bool   // carries a copy of package guest
}

// templates by language or kind.
var templates = map[string]template{
	"go":   {example: "shout-go", id: "shout", vectors: true, guest: true},
	"rust": {example: "shout-rust", id: "shout", vectors: true},
	"c":    {example: "shout-c", id: "shout", vectors: true},
	"as":   {example: "shout-as", id: "shout", vectors: true},
	"feed": {example: "feed-wasm", id: "feed", guest: true},
	"exec": {example: "clock-exec", id: "clock"},
}

// pluginName is what a manifest takes as an id, and what is good as a file name.
var pluginName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func newPluginNew() *cobra.Command {
	var lang, sdkDir string
	cmd := &cobra.Command{
		Use:   "new --lang go|rust|c|as|exec|feed NAME",
		Short: "Write a folder with a plugin that builds and passes its own tests",
		Long: `New writes the folder NAME with source, plugin.toml, build.sh, README.md and test
vectors:

  go, rust, c, as  a filter as a WebAssembly module (as is AssemblyScript)
  feed             a whole link as a module, in Go: reads RSS and Atom over HTTP
  exec             a protocol plugin as a process of its own, in Go

Modules in Go build with Go alone and without a network. The kind exec needs the
source of bridgehost: name its folder with --sdk.`,
		Example: `  bridgehost plugin new --lang go hello
  bridgehost plugin new --lang exec --sdk ~/src/bridgehost gopherbridge`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, ok := templates[lang]
			if !ok {
				return &exitError{exitUsage, fmt.Errorf("--lang is %q; write one of %s", lang, strings.Join(sortedNames(templates), ", "))}
			}
			if !pluginName.MatchString(args[0]) {
				return &exitError{exitUsage, fmt.Errorf("%q is no name of a plugin; use small letters, digits and -", args[0])}
			}
			files, err := t.render(args[0], sdkDir)
			if err != nil {
				return err
			}
			if err := writeFolder(args[0], files); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "wrote %d files to %s\n\nnext:\n\n  cd %s\n  sh build.sh\n", len(files), args[0], args[0])
			for _, line := range t.after(args[0]) {
				fmt.Fprintf(cmd.OutOrStdout(), "  %s\n", line)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&lang, "lang", "", "language or kind: "+strings.Join(sortedNames(templates), ", "))
	cmd.Flags().StringVar(&sdkDir, "sdk", "", "folder with the source of bridgehost, for exec")
	return cmd
}

// after lists what comes after the build.
func (t template) after(name string) []string {
	if t.example == "clock-exec" {
		return []string{"go test ./...", "cd ..", "bridgehost plugin install " + name + "/" + name}
	}
	return []string{"bridgehost plugin test", "cd ..", "bridgehost plugin install " + name + "/" + name + ".wasm"}
}

// file is one file of a new folder.
type file struct {
	path string
	text []byte
	mode fs.FileMode
}

// render makes the files of a new plugin.
func (t template) render(name, sdkDir string) ([]file, error) {
	files, err := t.copy(name)
	if err != nil {
		return nil, err
	}
	if t.vectors {
		text, err := examples.Files.ReadFile("shout-vectors/shout.json")
		if err != nil {
			return nil, fmt.Errorf("template: %w", err)
		}
		files = append(files, file{"vectors/shout.json", text, 0o644})
	}
	switch {
	case t.guest:
		copied, err := guestCopy()
		if err != nil {
			return nil, err
		}
		mod := fmt.Sprintf("module %s\n\ngo %s\n\nrequire bridgehost/sdk/guest v0.0.0\n\n// The folder guest is a copy, so that this builds with Go alone.\nreplace bridgehost/sdk/guest => ./guest\n", name, goVersion())
		files = append(append(files, file{"go.mod", []byte(mod), 0o644}), copied...)
	case t.example == "clock-exec":
		mods, err := execModule(name, sdkDir)
		if err != nil {
			return nil, err
		}
		files = append(files, mods...)
	}
	files = append(files, file{".gitignore", []byte(name + "\n*.wasm\nnode_modules/\ntarget/\n"), 0o644})
	return files, nil
}

// copy takes the example over under its new name.
func (t template) copy(name string) ([]file, error) {
	rename := strings.NewReplacer(
		`id = "`+t.id+`"`, `id = "`+name+`"`,
		`ID: "`+t.id+`"`, `ID: "`+name+`"`,
		`name = "`+t.id+`"`, `name = "`+name+`"`,
		`"name": "`+t.id+`"`, `"name": "`+name+`"`,
		"crate-name "+t.id, "crate-name "+strings.ReplaceAll(name, "-", "_"),
		t.id+".wasm", name+".wasm",
		"OUT:-"+t.id+"}", "OUT:-"+name+"}",
		"link."+t.id, "link."+name,
		" --vectors ../shout-vectors", "",
		"../shout-vectors", "vectors",
		`["`+t.id+`"]`, `["`+name+`"]`,
		"/libexec/"+t.id, "/libexec/"+name,
	)
	var files []file
	err := fs.WalkDir(examples.Files, t.example, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := examples.Files.ReadFile(p)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if path.Ext(p) == ".sh" {
			mode = 0o755
		}
		if path.Base(p) != "package-lock.json" || name != t.id {
			text = []byte(rename.Replace(string(text)))
		}
		files = append(files, file{strings.TrimPrefix(p, t.example+"/"), text, mode})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("template %s: %w", t.example, err)
	}
	return files, nil
}

// guestCopy gives the source of package guest as a module of its own.
func guestCopy() ([]file, error) {
	files := []file{{"guest/go.mod", []byte("module bridgehost/sdk/guest\n\ngo " + goVersion() + "\n"), 0o644}}
	err := fs.WalkDir(guest.Source, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(p, "_test.go") {
			return err
		}
		text, err := guest.Source.ReadFile(p)
		if err != nil {
			return err
		}
		files = append(files, file{"guest/" + p, text, 0o644})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("template: package guest: %w", err)
	}
	return files, nil
}

// goVersion is the language version for go.mod: that of the program itself.
func goVersion() string {
	v := strings.TrimPrefix(runtime.Version(), "go")
	parts := strings.SplitN(v, ".", 3)
	if len(parts) < 2 || !regexp.MustCompile(`^\d+$`).MatchString(parts[0]) {
		return "1.26"
	}
	minor := regexp.MustCompile(`^\d+`).FindString(parts[1])
	return parts[0] + "." + minor
}

// execModule gives go.mod and go.sum of a plugin that builds against the source
// of bridgehost in a folder, with the versions of its dependencies.
func execModule(name, sdkDir string) ([]file, error) {
	if sdkDir == "" {
		return nil, &exitError{exitUsage, errors.New("the kind exec builds against the source of bridgehost: clone it, and name its folder with --sdk FOLDER")}
	}
	dir, err := filepath.Abs(sdkDir)
	if err != nil {
		return nil, fmt.Errorf("folder %s: %w", sdkDir, err)
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil || !strings.HasPrefix(string(mod), "module bridgehost\n") {
		return nil, &exitError{exitUsage, fmt.Errorf("--sdk %s: there is no go.mod of bridgehost in it", sdkDir)}
	}
	sum, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil {
		return nil, fmt.Errorf("folder %s: %w", sdkDir, err)
	}
	text := fmt.Sprintf("module %s\n\n%s\n\nrequire bridgehost v0.0.0\n\nreplace bridgehost => %s\n\nrequire (\n%s)\n", name, goLine(mod), dir, requirements(mod))
	return []file{{"go.mod", []byte(text), 0o644}, {"go.sum", sum, 0o644}}, nil
}

func goLine(mod []byte) string {
	for line := range strings.SplitSeq(string(mod), "\n") {
		if strings.HasPrefix(line, "go ") {
			return line
		}
	}
	return "go " + goVersion()
}

// requirements gives all lines of the require blocks, as indirect ones.
func requirements(mod []byte) string {
	var out []string
	inside := false
	for line := range strings.SplitSeq(string(mod), "\n") {
		switch {
		case strings.HasPrefix(line, "require ("):
			inside = true
		case line == ")":
			inside = false
		case inside && strings.TrimSpace(line) != "":
			dep, _, _ := strings.Cut(line, "//")
			out = append(out, "\t"+strings.TrimSpace(dep)+" // indirect\n")
		}
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), "")
}

// writeFolder writes files into a folder that must not be there yet; after an
// error nothing of it is left.
func writeFolder(dir string, files []file) (err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("new plugin: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	for _, f := range files {
		full := filepath.Join(dir, filepath.FromSlash(f.path))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return fmt.Errorf("new plugin: %w", err)
		}
		if err := os.WriteFile(full, f.text, f.mode); err != nil {
			return fmt.Errorf("new plugin: %w", err)
		}
	}
	return nil
}
