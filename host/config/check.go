package config

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"bridgehost/sdk"
)

// linkName is the grammar of the names of links.
var linkName = regexp.MustCompile(`^[a-z0-9_-]+$`)

// checker looks at a configuration as a whole.
type checker struct {
	c      *Config
	faults *Errors
}

// check finds what is wrong although every value alone is right.
func (c *Config) check(faults *Errors) {
	k := &checker{c, faults}
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
	if len(c.Links) == 0 {
		k.at("link", "", "no link is configured", `add one: [link.NAME] with plugin = "xmpp"`)
	}
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
	if key == "" {
		pos = b.src.atKey(path)
	}
	k.faults.add(pos, b.src.text, cmp.Or(path, table), problem, remedy)
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
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" {
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
}

func (k *checker) listen(table, addr string) {
	if addr == "" {
		return
	}
	host, port, err := net.SplitHostPort(addr)
	n, bad := strconv.Atoi(port)
	switch {
	case err != nil, bad != nil, n < 0, n > 65535:
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
		k.at(table, "", fmt.Sprintf("%q is no name of a link", name), "use small letters, digits, - and _")
	}
	path, isModule := l.Module(k.c.Dir())
	if !isModule {
		path, _ = l.Executable(k.c.Dir())
	}
	switch {
	case l.Plugin == "":
		k.at(table, "", "the link "+name+" names no plugin", `add plugin = "xmpp", "wasm:FILE" or "exec:FILE"`)
	case path != "":
		k.file(table, name, l, path)
	case strings.Contains(l.Plugin, ":"):
		scheme, _, _ := strings.Cut(l.Plugin, ":")
		k.at(table, "plugin", fmt.Sprintf("a plugin cannot be given as %q", scheme+":"), suggest(scheme+":", []string{"wasm:", "exec:"}))
	}
	if !isModule {
		for _, key := range []string{"grant", "allow_hosts", "limits", "trusted", "secrets"} {
			if _, set := k.table(table)[key]; set {
				k.at(table, key, key+" is for modules (wasm:FILE) only", "remove it")
			}
		}
	}
	for i, g := range l.Grant {
		if !slices.Contains(abilities, g) {
			k.at(table, "grant["+strconv.Itoa(i)+"]", fmt.Sprintf("there is no ability %q", g), suggest(g, abilities))
		}
	}
	if l.Limits.Memory < 64<<10 || l.Limits.Memory > 1<<30 {
		k.at(table, "limits.memory", "the memory of a module is between 64KiB and 1GiB", `write limits = { memory = "32MiB" }`)
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
		k.at(table, "plugin", fmt.Sprintf("there is no file %s", path), "correct the path, or build the plugin first")
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
		k.at(table, "plugin", "no checksum is known of "+path, "run: bridgehost plugin install "+path+", or add sha256 to the link")
	case len(l.SHA256) != 64 || strings.Trim(strings.ToLower(l.SHA256), "0123456789abcdef") != "":
		k.at(table, "sha256", "a sha256 is 64 hexadecimal digits", "run: bridgehost plugin inspect "+path)
	}
}

// place reads a place of a route and reports what is wrong with it.
func (k *checker) place(table, key, place string) (sdk.Ref, bool) {
	ref, ok := sdk.ParseRef(place)
	if !ok {
		k.at(table, key, fmt.Sprintf("%q is no place", place), `write link:place, such as "home:ops@muc.example.org"`)
		return ref, false
	}
	return ref, k.linkExists(table, key, string(ref.Link))
}

func (k *checker) linkExists(table, key, name string) bool {
	if k.c.Links[name] != nil {
		return true
	}
	k.at(table, key, fmt.Sprintf("there is no link %q", name), suggest(name, sortedKeys(k.c.Links)))
	return false
}

func (k *checker) route(i int) {
	r, table := k.c.Routes[i], "route."+strconv.Itoa(i)
	if r.Name == "" {
		r.Name = "route-" + strconv.Itoa(i+1)
	}
	for j := range i {
		if k.c.Routes[j].Name == r.Name {
			k.at(table, "name", fmt.Sprintf("two routes are called %q", r.Name), "give each a name of its own")
		}
	}
	if r.From == "" {
		k.at(table, "", "the route has no from", `add from = "link:place"`)
	}
	if len(r.To) == 0 {
		k.at(table, "", "the route has no to", `add to = ["link:place"]`)
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
		k.linkExists(table, "filters["+strconv.Itoa(j)+"]", f)
	}
}

func (k *checker) gateway(i int) {
	g, table := k.c.Gateways[i], "gateway."+strconv.Itoa(i)
	if len(g.Links) != 2 || g.Links[0] == g.Links[1] {
		k.at(table, "links", "a gateway has two different links", `write links = ["home", "fedi"]`)
	}
	for j, l := range g.Links {
		k.linkExists(table, "links["+strconv.Itoa(j)+"]", l)
	}
	k.at(table, "", "no plugin of this version can be part of a gateway", "join places by [[route]]")
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

// around finds cycles with a union of places: a route that joins two places
// which are joined already closes a circle. Routes in one direction close one
// only when they can be followed all the way round.
func (k *checker) around(edges []edge) {
	next := map[string][]edge{}
	reported := map[int]bool{}
	for _, e := range edges {
		r, from := k.c.Routes[e.route], e.from
		path := follow(next, e.to, e.from, e.route, map[string]bool{})
		if path == nil && r.BothWays {
			from, path = e.to, follow(next, e.from, e.to, e.route, map[string]bool{})
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

// follow looks for a way from one place to another by routes other than the
// one given, and returns the places on it.
func follow(next map[string][]edge, from, to string, not int, seen map[string]bool) []string {
	if from == to {
		return []string{to}
	}
	if seen[from] {
		return nil
	}
	seen[from] = true
	for _, e := range next[from] {
		if e.route == not {
			continue
		}
		if path := follow(next, e.to, to, not, seen); path != nil {
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
