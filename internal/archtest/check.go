package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	maxInterfaceMethods = 6
	maxFileLines        = 600
)

// Finding is one place that breaks a rule.
type Finding struct {
	File   string // relative to the root, with slashes
	Line   int
	Rule   string // short name, such as "direction"
	Text   string
	Advice bool // to be reported, but no failure
}

// String returns the finding as file:line: rule: text.
func (f Finding) String() string {
	return fmt.Sprintf("%s:%d: %s: %s", f.File, f.Line, f.Rule, f.Text)
}

// source is one parsed file.
type source struct {
	file string // relative path with slashes
	pkg  string // folder relative to the root; "" is the root itself
	test bool
	ast  *ast.File
}

// checker collects findings of one tree.
type checker struct {
	fset     *token.FileSet
	findings []Finding
}

// Check parses all Go files below root, except generated ones, nested modules, testdata and hidden folders, and returns
// what breaks a rule, in order of file and line.
func Check(root string) ([]Finding, error) {
	c := &checker{fset: token.NewFileSet()}
	sources, err := c.load(root)
	if err != nil {
		return nil, err
	}
	for _, s := range sources {
		c.checkImports(s)
		c.checkLength(s)
		if !s.test {
			c.checkDeclarations(s)
		}
	}
	c.checkPackageComments(sources)
	slices.SortFunc(c.findings, func(a, b Finding) int {
		if a.File != b.File {
			return strings.Compare(a.File, b.File)
		}
		return a.Line - b.Line
	})
	return c.findings, nil
}

func (c *checker) load(root string) ([]source, error) {
	var sources []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != root && skipFolder(path, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(d.Name(), ".go") {
			return nil
		}
		file, err := parser.ParseFile(c.fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err // names the position
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return fmt.Errorf("relative path of %s: %w", path, err)
		}
		if ast.IsGenerated(file) {
			return nil
		}
		rel = filepath.ToSlash(rel)
		sources = append(sources, source{
			file: rel, pkg: strings.TrimSuffix(rel, "/"+d.Name()), test: strings.HasSuffix(rel, "_test.go"), ast: file,
		})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("parse tree: %w", err)
	}
	return sources, nil
}

func skipFolder(path, name string) bool {
	if name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
		return true
	}
	_, err := os.Stat(filepath.Join(path, "go.mod"))
	return err == nil // another module
}

func (c *checker) report(s source, at ast.Node, rule, format string, args ...any) {
	c.findings = append(c.findings, Finding{
		File: s.file, Line: c.fset.Position(at.Pos()).Line, Rule: rule, Text: fmt.Sprintf(format, args...),
	})
}

func (c *checker) checkImports(s source) {
	for _, spec := range s.ast.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			c.report(s, spec, "syntax", "import path %s", spec.Path.Value)
			continue
		}
		if rule, text := checkImport(s.pkg, path, s.test); rule != "" {
			c.report(s, spec, rule, "%s", text)
		}
	}
}

func (c *checker) checkLength(s source) {
	lines := c.fset.Position(s.ast.FileEnd).Line
	if s.test || lines <= maxFileLines {
		return
	}
	c.findings = append(c.findings, Finding{
		File: s.file, Line: lines, Rule: "file-length", Advice: true,
		Text: fmt.Sprintf("%d lines, more than %d: split it by what is in it", lines, maxFileLines),
	})
}

// checkDeclarations checks init functions, contexts in structs, interface sizes and doc comments.
func (c *checker) checkDeclarations(s source) {
	var documented *ast.FuncDecl // the last function, if it has a comment or shares one
	for _, decl := range s.ast.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Doc == nil && !c.continues(d, documented) {
				c.checkFunc(s, d)
				documented = nil
				continue
			}
			documented = d
			c.checkInit(s, d)
		case *ast.GenDecl:
			c.checkGroup(s, d)
		}
	}
	ast.Inspect(s.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.InterfaceType:
			if count := countMethods(n); count > maxInterfaceMethods {
				c.report(s, n, "interface-size", "%d methods, more than %d: split it by ability", count, maxInterfaceMethods)
			}
		case *ast.StructType:
			c.checkStruct(s, n)
		}
		return true
	})
}

// continues reports whether d stands on the line after prev and has the same name: a block of one-line methods, one for
// each type, shares the comment of the first.
func (c *checker) continues(d, prev *ast.FuncDecl) bool {
	return prev != nil && d.Name.Name == prev.Name.Name &&
		c.fset.Position(d.Pos()).Line == c.fset.Position(prev.End()).Line+1
}

// checkInit refuses init, but in a module for WebAssembly, which has nothing else
// to begin with: main never runs there.
func (c *checker) checkInit(s source, d *ast.FuncDecl) {
	if d.Recv == nil && d.Name.Name == "init" && !under(s.pkg, "examples") {
		c.report(s, d, "no-init", "init() runs before anyone has asked for it: call it by name")
	}
}

// checkFunc checks a function without a doc comment.
func (c *checker) checkFunc(s source, d *ast.FuncDecl) {
	c.checkInit(s, d)
	if s.ast.Name.Name == "main" || !d.Name.IsExported() {
		return
	}
	if d.Recv != nil && !ast.IsExported(receiver(d.Recv)) {
		return
	}
	c.report(s, d, "doc", "exported %s has no doc comment", d.Name.Name)
}

// receiver returns the name of a method's type.
func receiver(list *ast.FieldList) string {
	if len(list.List) == 0 {
		return ""
	}
	t := list.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// checkGroup checks the doc comments of types, constants and variables. A comment on a group documents its constants and
// variables; a type needs its own unless it stands alone.
func (c *checker) checkGroup(s source, d *ast.GenDecl) {
	if s.ast.Name.Name == "main" {
		return
	}
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if spec.Name.IsExported() && spec.Doc == nil && spec.Comment == nil && (d.Doc == nil || len(d.Specs) > 1 && d.Lparen.IsValid()) {
				c.report(s, spec, "doc", "exported type %s has no doc comment", spec.Name.Name)
			}
		case *ast.ValueSpec:
			if d.Doc != nil || spec.Doc != nil || spec.Comment != nil {
				continue
			}
			for _, name := range spec.Names {
				if name.IsExported() {
					c.report(s, name, "doc", "exported %s has no doc comment", name.Name)
				}
			}
		}
	}
}

func countMethods(i *ast.InterfaceType) int {
	count := 0
	for _, field := range i.Methods.List {
		if _, ok := field.Type.(*ast.FuncType); ok {
			count += len(field.Names)
		}
	}
	return count
}

func (c *checker) checkStruct(s source, t *ast.StructType) {
	for _, field := range t.Fields.List {
		sel, ok := field.Type.(*ast.SelectorExpr)
		if !ok || sel.Sel.Name != "Context" || len(field.Names) == 0 { // a type that embeds one is a context itself
			continue
		}
		if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "context" {
			c.report(s, field, "no-context", "a context in a struct outlives its call: pass it as the first parameter")
		}
	}
}

// checkPackageComments wants one file of each package that is not only tests to say what the package is for.
func (c *checker) checkPackageComments(sources []source) {
	documented := map[string]bool{}
	first := map[string]source{}
	for _, s := range sources {
		if s.test {
			continue
		}
		if _, seen := first[s.pkg]; !seen {
			first[s.pkg] = s
		}
		if s.ast.Doc != nil && strings.TrimSpace(s.ast.Doc.Text()) != "" {
			documented[s.pkg] = true
		}
	}
	for pkg, s := range first {
		if !documented[pkg] {
			c.report(s, s.ast.Name, "package-doc", "package %s has no package comment", s.ast.Name.Name)
		}
	}
}
