package config

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"bridgehost/sdk"
)

// linkName is the grammar of the names of links.
var linkName = regexp.MustCompile(`^[a-z0-9_-]+$`)

// checker looks at a configuration as a whole.
type checker struct {
	c        *Config
	faults   *Errors
	builtins []string        // empty = not known here
	names    []string        // of the links, sorted
	routes   map[string]bool // names of routes so far
}

// check finds what is wrong although every value alone is right.
func (c *Config) check(faults *Errors, builtins []string) {
	k := &checker{c, faults, builtins, sortedKeys(c.Links), map[string]bool{}}
	k.host()
	k.listeners()
	for _, name := range sortedKeys(c.Links) {
		k.link(name)
	}
	for i := range c.Routes {
		k.route(i)
	}
	k.cycles()
	for i := range c.Gateways {
		k.gateway(i)
	}
	if len(c.Links) == 0 && !k.holes() && !c.sources[0].has("link") {
		k.at("link", "", "no link is configured", `add one: [link.NAME] with plugin = "xmpp"`)
	}
	k.unused()
}

// holes reports whether parts of the files could not be read, so that what is
// named elsewhere may be in them.
func (k *checker) holes() bool {
	return slices.ContainsFunc(k.c.sources, func(s *source) bool { return s.holes })
}

// missing notes that a key of a table is not there. A key with a wrong value, or
// one that is spelt nearly so, has been reported.
func (k *checker) missing(table, key, problem, remedy string) {
	b := k.c.bases[table]
	if k.faults.full() || b.src.holes || b.src.bad[b.path] || b.src.bad[b.path+"."+key] {
		return
	}
	for path := range b.src.bad {
		if name, ok := strings.CutPrefix(path, b.path+"."); ok && Nearest(name, []string{key}) != "" {
			return
		}
	}
	k.at(table, "", problem, remedy)
}

// at notes a fault at a key below a table of the file.
func (k *checker) at(table, key, problem, remedy string) {
	b, ok := k.c.bases[table]
	if !ok {
		b = base{src: k.c.sources[0]}
	}
	path := b.path
	if key != "" {
		path += "." + key
	}
	pos := b.src.at(path)
	switch {
	case key == "":
		pos = b.src.atKey(path)
	case b.src.bad[path]:
		return // one fault for one value
	default:
		b.src.bad[path] = true
	}
	k.faults.add(pos, b.src.text, cmp.Or(path, table), problem, remedy)
}

// host checks the numbers of [host].
func (k *checker) host() {
	if k.c.Host.CrashLimit < 1 {
		k.at("host", "crash_limit", fmt.Sprintf("%d crashes cannot be counted", k.c.Host.CrashLimit), "write at least 1")
	}
	if k.c.Host.CrashWindow <= 0 {
		k.at("host", "crash_window", "the window has no length", `write for example "10m"`)
	}
	if k.c.Host.MaxAge <= 0 {
		k.at("host", "max_age", "nothing could be delivered in time", `write for example "72h"`)
	}
	if k.c.Host.Data == "" {
		k.at("host", "data", "the data folder has no name", `write for example data = "/var/lib/bridgehost"`)
	}
}

// unused warns of links that take no part in anything.
func (k *checker) unused() {
	used := map[string]bool{}
	for _, r := range k.c.Routes {
		for _, place := range append([]string{r.From}, r.To...) {
			name, _, _ := strings.Cut(place, ":")
			used[name] = true
		}
		for _, f := range r.Filters {
			used[f] = true
		}
	}
	for _, g := range k.c.Gateways {
		for _, name := range append(slices.Clone(g.Links), g.Filters...) {
			used[name] = true
		}
	}
	for _, name := range sortedKeys(k.c.Links) {
		if !used[name] {
			k.c.warn(k.c.Locate(name, ""), "no route uses the link "+name, "add a [[route]], or remove the link")
		}
	}
}

func (k *checker) listeners() {
	h, a := k.c.HTTP, k.c.Admin
	k.listen("http", h.Listen)
	k.listen("admin", a.Listen)
	if h.Listen != "" && h.Listen == a.Listen {
		k.at("admin", "listen", "the admin listener has the address of the public one", "give it another port, such as 127.0.0.1:8081")
	}
	if h.PublicURL != "" {
		u, err := url.Parse(h.PublicURL)
		if err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			k.at("http", "public_url", fmt.Sprintf("%q is no address of a site", h.PublicURL), `write it as "https://bridge.example.org"`)
		}
		k.c.HTTP.PublicURL = strings.TrimRight(h.PublicURL, "/")
	}
	for i, p := range h.TrustedProxies {
		if _, err := parsePrefix(p); err != nil {
			k.at("http", "trusted_proxies["+strconv.Itoa(i)+"]", fmt.Sprintf("%q is no address or network", p), `write "127.0.0.1" or "10.0.0.0/8"`)
		}
	}
	if (h.Certificate == "") != (h.Key == "") {
		k.at("http", "", "certificate and key go together", "set both, or none behind a proxy")
	}
	k.certificate("certificate", &k.c.HTTP.Certificate)
	k.certificate("key", &k.c.HTTP.Key)
	if host, _, err := net.SplitHostPort(a.Listen); err == nil && host != "localhost" && !net.ParseIP(host).IsLoopback() {
		k.c.warn(k.c.bases["admin"].src.at("admin.listen"), "the admin listener is open to other machines", "listen on 127.0.0.1, or protect it")
	}
}

// certificate makes the path of a TLS file absolute and checks that it is there.
func (k *checker) certificate(key string, path *string) {
	b, ok := k.c.bases["http"]
	if *path == "" || !ok {
		return
	}
	if !filepath.IsAbs(*path) {
		*path = filepath.Join(filepath.Dir(b.src.file), *path)
	}
	info, err := os.Stat(*path)
	switch {
	case err != nil || info.IsDir():
		k.at("http", key, "there is no file "+*path, nearestFile(*path))
	case key == "key" && info.Mode().Perm()&0o007 != 0:
		k.at("http", key, fmt.Sprintf("the file %s can be used by everybody (mode %04o)", *path, info.Mode().Perm()), "chmod 600 "+*path)
	}
}

func (k *checker) listen(table, addr string) {
	if addr == "" {
		return
	}
	host, port, err := net.SplitHostPort(addr)
	n, bad := strconv.Atoi(port)
	switch {
	case err == nil && (bad != nil || n < 0 || n > 65535):
		k.at(table, "listen", fmt.Sprintf("%q is no port", port), "write a number from 1 to 65535")
	case err != nil:
		k.at(table, "listen", fmt.Sprintf("%q is no address with a port", addr), `write it as "127.0.0.1:8080"`)
	case host != "" && host != "localhost" && net.ParseIP(host) == nil:
		k.at(table, "listen", fmt.Sprintf("%q is no IP address", host), `listen on an address of this machine, such as "127.0.0.1:`+port+`"`)
	}
}

// abilities are those that a module can be granted.
var abilities = []string{"log", "kv", "timer", "emit", "http", "command", "config", "secret", "metrics"}

func (k *checker) link(name string) {
	l, table := k.c.Links[name], "link."+name
	if !linkName.MatchString(name) {
		remedy := "use small letters, digits, - and _"
		if lower := strings.ToLower(name); linkName.MatchString(lower) {
			remedy = fmt.Sprintf("write [link.%s]", lower)
		}
		k.at(table, "", fmt.Sprintf("%q is no name of a link", name), remedy)
	}
	path, isModule := l.Module(k.c.Dir())
	if !isModule {
		path, _ = l.Executable(k.c.Dir())
	}
	switch {
	case l.Plugin == "":
		k.missing(table, "plugin", "the link "+name+" names no plugin", `add plugin = "xmpp", "wasm:FILE" or "exec:FILE"`)
	case path != "":
		k.file(table, name, l, path)
	case strings.Contains(l.Plugin, ":"):
		scheme, _, _ := strings.Cut(l.Plugin, ":")
		k.at(table, "plugin", fmt.Sprintf("a plugin cannot be given as %q", scheme+":"), suggest(scheme+":", []string{"wasm:", "exec:"}))
	case len(k.builtins) > 0 && !slices.Contains(k.builtins, l.Plugin):
		k.at(table, "plugin", fmt.Sprintf("there is no plugin %q", l.Plugin), suggest(l.Plugin, append([]string{"wasm:FILE", "exec:FILE"}, k.builtins...)))
	}
	if !isModule {
		for _, key := range []string{"grant", "allow_hosts", "allow_private", "limits", "trusted", "secrets"} {
			if _, set := k.table(table)[key]; set {
				k.at(table, key, key+" is for modules (wasm:FILE) only", "remove it")
			}
		}
	}
	for i, g := range l.Grant {
		if g != "" && !slices.Contains(abilities, g) {
			k.at(table, "grant["+strconv.Itoa(i)+"]", fmt.Sprintf("there is no ability %q", g), suggest(g, abilities))
		}
	}
	for i, p := range l.AllowPrivate {
		if _, err := parsePrefix(p); p != "" && err != nil {
			k.at(table, "allow_private["+strconv.Itoa(i)+"]", fmt.Sprintf("%q is no address and no network", p), `write "127.0.0.1" or "10.0.0.0/8"`)
		}
	}
	if l.Limits.Memory < 64<<10 || l.Limits.Memory > 1<<30 {
		k.at(table, "limits.memory", "the memory of a module is between 64KiB and 1GiB", `write limits = { memory = "32MiB" }`)
	}
	if l.Limits.Time <= 0 || time.Duration(l.Limits.Time) > time.Minute {
		k.at(table, "limits.time", "the time of a call is more than 0 and at most one minute", `write limits = { time = "100ms" }`)
	}
	for name := range l.Secrets {
		if raw, ok := k.table(table)["secrets"].(map[string]any)[name].(string); ok {
			k.c.plainSecret(l, raw, k.c.bases[table].path+".secrets."+name, k.c.bases[table].src)
		}
	}
	l.json = k.c.linkJSON(name, k.faults)
}

// table gives the values of a table as the file has them.
func (k *checker) table(key string) map[string]any {
	b := k.c.bases[key]
	links, _ := b.src.values["link"].(map[string]any)
	m, _ := links[strings.TrimPrefix(key, "link.")].(map[string]any)
	return m
}

// file checks a plugin's file and where its checksum comes from.
func (k *checker) file(table, name string, l *Link, path string) {
	info, err := os.Stat(path)
	if err != nil || info.IsDir() {
		k.at(table, "plugin", fmt.Sprintf("there is no file %s", path), nearestFile(path))
		return
	}
	if l.SHA256 == "" {
		lock, err := ReadLock(k.c.LockFile())
		if err != nil {
			k.at(table, "plugin", fmt.Sprintf("plugins.lock: %v", err), "repair it, or run: bridgehost plugin install "+path)
			return
		}
		l.SHA256 = lock.SHA256(path)
	}
	switch {
	case l.SHA256 == "":
		k.missing(table, "sha256", "no checksum is known of "+path, "run: bridgehost plugin install "+path+", or add sha256 to the link")
	case !isSHA256(l.SHA256):
		k.at(table, "sha256", "a sha256 is 64 hexadecimal digits", "run: bridgehost plugin inspect "+path)
	}
}

// place reads a place of a route and reports what is wrong with it.
func (k *checker) place(table, key, place string) (sdk.Ref, bool) {
	if b := k.c.bases[table]; b.src.bad[b.path+"."+key] {
		return sdk.Ref{}, false
	}
	ref, ok := sdk.ParseRef(place)
	if !ok {
		remedy := `write link:place, such as "home:ops@muc.example.org"`
		if i := strings.IndexAny(place, "/ .;|"); i > 0 && k.c.Links[place[:i]] != nil {
			remedy = fmt.Sprintf("did you mean %q?", place[:i]+":"+strings.TrimSpace(place[i+1:]))
		}
		k.at(table, key, fmt.Sprintf("%q is no place", place), remedy)
		return ref, false
	}
	return ref, k.linkExists(table, key, string(ref.Link))
}

func (k *checker) linkExists(table, key, name string) bool {
	if k.c.Links[name] != nil {
		return true
	}
	if k.faults.full() || k.holes() && Nearest(name, k.names) == "" {
		return false // it may be in the part that could not be read
	}
	remedy := suggest(name, k.names)
	if len(k.c.Links) == 0 {
		remedy = "add [link." + name + "]"
	}
	k.at(table, key, fmt.Sprintf("there is no link %q", name), remedy)
	return false
}

func (k *checker) route(i int) {
	r, table := k.c.Routes[i], "route."+strconv.Itoa(i)
	if r.Name == "" {
		r.Name = "route-" + strconv.Itoa(i+1)
	}
	if k.routes[r.Name] {
		k.at(table, "name", fmt.Sprintf("two routes are called %q", r.Name), "give each a name of its own")
	}
	k.routes[r.Name] = true
	if r.From == "" {
		k.missing(table, "from", "the route has no from", `add from = "link:place"`)
	}
	if len(r.To) == 0 {
		k.missing(table, "to", "the route has no to", `add to = ["link:place"]`)
	}
	if r.From != "" {
		k.place(table, "from", r.From)
	}
	seen := map[string]bool{}
	for j, to := range r.To {
		key := "to[" + strconv.Itoa(j) + "]"
		if _, ok := k.place(table, key, to); !ok {
			continue
		}
		switch {
		case to == r.From:
			k.at(table, key, "the route leads back to "+to, "a place cannot be joined with itself")
		case seen[to]:
			k.at(table, key, to+" is there twice", "name each place once")
		}
		seen[to] = true
	}
	for j, f := range r.Filters {
		key := "filters[" + strconv.Itoa(j) + "]"
		if k.linkExists(table, key, f) && slices.Contains(r.Filters[:j], f) {
			k.at(table, key, "the filter "+f+" is there twice", "name each filter once")
		}
	}
}

func (k *checker) gateway(i int) {
	g, table := k.c.Gateways[i], "gateway."+strconv.Itoa(i)
	if len(g.Links) != 2 || g.Links[0] == g.Links[1] {
		k.at(table, "links", "a gateway has two different links", `write links = ["home", "fedi"]`)
	}
	ok := len(g.Links) == 2
	for j, l := range g.Links {
		key := "links[" + strconv.Itoa(j) + "]"
		switch {
		case !k.linkExists(table, key, l):
			ok = false
		case k.c.Links[l].peer != "":
			k.at(table, key, "the link "+l+" is part of a gateway already", "give each gateway links of its own, such as a component for each network")
			ok = false
		}
	}
	if ok {
		k.c.Links[g.Links[0]].peer, k.c.Links[g.Links[1]].peer = g.Links[1], g.Links[0]
	}
	for j, f := range g.Filters {
		key := "filters[" + strconv.Itoa(j) + "]"
		if k.linkExists(table, key, f) && slices.Contains(g.Filters[:j], f) {
			k.at(table, key, "the filter "+f+" is there twice", "name each filter once")
		}
	}
}

// edge is one step of a route.
type edge struct {
	from, to string
	route    int
}

// cycles reports rules that are there twice, and chains of routes that lead
// back to where they began: what goes in would come around again.
func (k *checker) cycles() {
	var edges []edge
	pairs := map[[2]string]int{}
	for i, r := range k.c.Routes {
		for _, to := range r.To {
			if to == r.From {
				continue
			}
			steps := [][2]string{{r.From, to}}
			if r.BothWays {
				steps = append(steps, [2]string{to, r.From})
			}
			for _, s := range steps {
				if first, twice := pairs[s]; twice && first != i {
					k.at("route."+strconv.Itoa(i), "", fmt.Sprintf("%s already leads from %s to %s", k.c.Routes[first].Name, s[0], s[1]), "remove one of the two")
					continue
				}
				pairs[s] = i
			}
			edges = append(edges, edge{r.From, to, i})
		}
	}
	k.around(edges)
}

// around finds cycles. Only a route between places that other routes have joined
// already can close one, and it does when they can be followed all the way round.
func (k *checker) around(edges []edge) {
	next := map[string][]edge{}
	up := map[string]string{} // towards the first of the places that are joined
	root := func(place string) string {
		for up[place] != "" {
			if above := up[up[place]]; above != "" {
				up[place] = above
			}
			place = up[place]
		}
		return place
	}
	reported := map[int]bool{}
	for _, e := range edges {
		r, from := k.c.Routes[e.route], e.from
		var path []string
		if a, b := root(e.from), root(e.to); a != b {
			up[a] = b
		} else {
			path = follow(next, e, e.to, map[string]bool{})
			if path == nil && r.BothWays {
				from, path = e.to, follow(next, edge{e.to, e.from, e.route}, e.from, map[string]bool{})
			}
		}
		if path != nil && !reported[e.route] {
			reported[e.route] = true
			k.at("route."+strconv.Itoa(e.route), "", "routes lead around: "+strings.Join(append([]string{from}, path...), " -> "),
				"remove one of them; places that belong together can be listed in to of one route with both_ways = true")
		}
		next[e.from] = append(next[e.from], e)
		if r.BothWays {
			next[e.to] = append(next[e.to], edge{e.to, e.from, e.route})
		}
	}
}

// follow looks for a way from a place back to where edge e begins, by routes other
// than that of e, and returns the places on it. The straight way back is no
// circle: two rules in opposite directions are one in both with other filters.
func follow(next map[string][]edge, e edge, from string, seen map[string]bool) []string {
	if from == e.from {
		return []string{from}
	}
	if seen[from] {
		return nil
	}
	seen[from] = true
	for _, step := range next[from] {
		if step.route == e.route || step.from == e.to && step.to == e.from {
			continue
		}
		if path := follow(next, e, step.to, seen); path != nil {
			return append([]string{from}, path...)
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
