package archtest

import (
	"slices"
	"strings"
)

// module is the path of this module, the prefix of its own packages.
const module = "bridgehost"

// owner says which packages may import a dependency. Packages are paths inside the module and include what is below them.
type owner struct {
	dependency string // import path, and all below it
	packages   []string
}

// owners lists what only a few packages may know.
var owners = []owner{
	{"github.com/hashicorp/go-plugin", []string{"sdk/wire", "host/internal/launch/proc"}},
	{"github.com/hashicorp/go-hclog", []string{"sdk/wire", "host/internal/launch/proc"}},
	{"google.golang.org/grpc", []string{"sdk/wire", "sdk/sdktest", "sdk/internal/pluginpb", "sdk/internal/plugingrpc", "host/internal/launch/proc"}},
	{"google.golang.org/protobuf", []string{"sdk/wire", "sdk/codec", "sdk/internal", "host/internal/launch"}},
	{"github.com/tetratelabs/wazero", []string{"host/internal/launch/wasm"}},
	{"gosrc.io/xmpp", []string{"plugins/xmpp"}},
	{"mellium.im", []string{"plugins/xmpp"}},
	{"github.com/go-fed", []string{"plugins/activitypub"}},
	{"github.com/pelletier/go-toml", []string{"host/config"}},
	{"database/sql", []string{"host/internal/store"}},
	{"modernc.org/sqlite", []string{"host/internal/store"}},
	{"github.com/mattn/go-sqlite3", []string{"host/internal/store"}},
	{"github.com/jackc/pgx", []string{"host/internal/store"}},
	{"github.com/lib/pq", []string{"host/internal/store"}},
}

// noHTTP are the packages that must stay free of net/http, which alone would add megabytes to a WASM guest.
var noHTTP = []string{"sdk", "sdk/guest"}

// stdOnly are the packages that import nothing but the standard library and, for guest, the vocabulary.
var stdOnly = []string{"sdk", "sdk/guest"}

// checkImport returns the rule that the import breaks and an explanation, or "".
func checkImport(pkg, path string, test bool) (rule, text string) {
	for _, o := range owners {
		if under(path, o.dependency) && !underAny(pkg, o.packages) {
			return "owner", path + " belongs to " + strings.Join(o.packages, ", ")
		}
	}
	if path == "net/http" && slices.Contains(noHTTP, pkg) {
		return "no-http", pkg + " must not import net/http"
	}
	inModule := under(path, module)
	if !test && !inModule && slices.Contains(stdOnly, pkg) && !isStd(path) {
		return "std-only", pkg + " imports only the standard library, not " + path
	}
	if inModule {
		return checkDirection(pkg, strings.TrimPrefix(strings.TrimPrefix(path, module), "/"), test)
	}
	return "", ""
}

// checkDirection checks an import of one package of the module by another: cmd -> host -> sdk <- plugins, cmd -> plugins.
func checkDirection(from, to string, test bool) (rule, text string) {
	if test && (under(to, "internal/itest") || under(to, "internal/bench")) { // servers, and what figures are compared with
		return "", ""
	}
	allowed := map[string][]string{
		"cmd":      {"cmd", "host", "plugins", "sdk", "examples"},
		"host":     {"host", "sdk"},
		"plugins":  {pluginOf(from), "sdk"},
		"sdk":      {"sdk"},
		"examples": {exampleOf(from), "sdk"},
		"internal": {"internal", "cmd", "host", "plugins", "sdk"},
	}
	top, _, _ := strings.Cut(from, "/")
	targets, known := allowed[top]
	if !known {
		return "direction", "package " + from + " is in no known part of the tree"
	}
	if !underAny(to, targets) {
		return "direction", from + " must not import " + to + ", only " + strings.Join(targets, ", ")
	}
	return "", ""
}

// pluginOf returns the folder of the plugin that a package belongs to: plugins/NAME.
func pluginOf(pkg string) string { return firstSegments(pkg, 2) }

// exampleOf returns the folder of the example that a package belongs to: examples/NAME or examples/KIND/NAME.
func exampleOf(pkg string) string { return firstSegments(pkg, 3) }

func firstSegments(pkg string, n int) string {
	segments := strings.Split(pkg, "/")
	return strings.Join(segments[:min(n, len(segments))], "/")
}

// under reports whether path is parent or below it.
func under(path, parent string) bool {
	return path == parent || strings.HasPrefix(path, parent+"/")
}

func underAny(path string, parents []string) bool {
	return slices.ContainsFunc(parents, func(p string) bool { return under(path, p) })
}

// isStd reports whether an import path is of the standard library: its first segment has no dot.
func isStd(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}
