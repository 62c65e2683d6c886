// Package pyenv turns the .pyenv file of the XMPP MUC Message Gateway into a
// configuration of bridgehost: one XMPP account, one hook and one route for
// each of its tokens.
package pyenv

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxSize bounds the file.
const maxSize = 1 << 20

// Fault is one thing in the file that cannot be taken over as it is.
type Fault struct {
	Line    int    // 0 = the file as a whole
	Problem string // names the place, never a token or a password
	Remedy  string
}

// Error lists all faults of a file.
type Error struct{ Faults []Fault }

// Error lists the faults, one a line.
func (e *Error) Error() string {
	var lines []string
	for _, f := range e.Faults {
		where := ""
		if f.Line > 0 {
			where = fmt.Sprintf("line %d: ", f.Line)
		}
		lines = append(lines, where+f.Problem+" ("+f.Remedy+")")
	}
	return strings.Join(lines, "\n")
}

// room is one entry of KNOWN_ROOMS.
type room struct {
	token, jid, nick string
	hook             string // name of its hook
}

// importer collects what a file says.
type importer struct {
	values map[string]string
	lines  map[string]int
	rooms  []room
	notes  []string
	faults []Fault
	user   string
	pass   string
}

func (im *importer) fault(line int, remedy, format string, args ...any) {
	im.faults = append(im.faults, Fault{Line: line, Problem: fmt.Sprintf(format, args...), Remedy: remedy})
}

func (im *importer) note(format string, args ...any) {
	im.notes = append(im.notes, fmt.Sprintf(format, args...))
}

// Import reads the file and gives the text of a TOML configuration, and notes
// for the operator: what could not be taken over, and what to do next. When the
// file has faults there is no text, and err is an *Error that lists them all.
func Import(r io.Reader) (tomlText string, notes []string, err error) {
	im := &importer{values: map[string]string{}, lines: map[string]int{}}
	if err := im.read(r); err != nil {
		return "", nil, err
	}
	im.account()
	im.knownRooms()
	format := im.format()
	level := im.level()
	im.rest()
	if len(im.faults) > 0 {
		return "", im.notes, &Error{Faults: im.faults}
	}
	im.note("the file below holds the password and the tokens: keep it at mode 0600, or write { env = \"NAME\" } or { file = \"PATH\" } in their place")
	im.note("the hooks answer on %s, this machine only; the gateway answered on all addresses, so let a proxy with TLS lead there, or change [http] listen", listen)
	im.note("rooms are joined once and stay joined; a room with a password needs [link.xmpp.config.rooms.\"JID\"] password = …")
	return im.toml(format, level), im.notes, nil
}

// read takes the assignments of a file: KEY=VALUE as a shell reads them.
func (im *importer) read(r io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	switch {
	case err != nil:
		return fmt.Errorf("read the file: %w", err)
	case len(data) > maxSize:
		return &Error{Faults: []Fault{{Problem: "the file is larger than 1 MiB", Remedy: "give the .pyenv file of the gateway"}}}
	case !utf8.Valid(data):
		return &Error{Faults: []Fault{{Problem: "the file is not valid UTF-8", Remedy: "give the .pyenv file of the gateway"}}}
	}
	sc := bufio.NewScanner(strings.NewReader(string(data)))
	sc.Buffer(nil, maxSize+1)
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "export ")), "=")
		key = strings.TrimSpace(key)
		if !ok || !keyName.MatchString(key) {
			im.fault(n, "write KEY=VALUE, or # before a comment", "this is no assignment")
			continue
		}
		text, err := unquote(strings.TrimSpace(value))
		if err != nil {
			im.fault(n, "close the quote on the same line", "%s: %v", key, err)
			continue
		}
		if before, twice := im.lines[key]; twice {
			im.fault(n, "keep one of the two", "%s is also set in line %d", key, before)
			continue
		}
		im.values[key], im.lines[key] = text, n
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("read the file: %w", err)
	}
	return nil
}

var keyName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// unquote reads a value in double quotes, in single quotes, or bare up to a comment.
func unquote(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	quote := s[0]
	if quote != '"' && quote != '\'' {
		if i := strings.Index(s, " #"); i >= 0 {
			s = strings.TrimSpace(s[:i])
		}
		return s, nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == quote:
			if rest := strings.TrimSpace(s[i+1:]); rest != "" && rest[0] != '#' {
				return "", errors.New("something follows the closing quote")
			}
			return b.String(), nil
		case s[i] == '\\' && quote == '"' && i+1 < len(s) && strings.IndexByte("\"\\$`", s[i+1]) >= 0:
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	return "", errors.New("the quote has no end")
}

// take gives a value and strikes it off the list of what is left.
func (im *importer) take(key string) (value string, line int) {
	value, line = im.values[key], im.lines[key]
	delete(im.values, key)
	return value, line
}

func (im *importer) account() {
	user, line := im.take("JID_FROM_USER")
	pass, passLine := im.take("JID_FROM_PASS")
	im.user, im.pass = user, pass
	switch {
	case user == "":
		im.fault(line, `write JID_FROM_USER="bot@example.org"`, "JID_FROM_USER is missing or empty")
	case !isBareJID(user):
		im.fault(line, `write JID_FROM_USER="bot@example.org"`, "JID_FROM_USER is no bare JID")
	}
	if pass == "" {
		im.fault(passLine, "write the password of the account", "JID_FROM_PASS is missing or empty")
	}
}

// isBareJID is a rough check; the XMPP link checks exactly.
func isBareJID(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && domain != "" && !strings.ContainsAny(s, " /\t\r\n\"<>&") && strings.Count(s, "@") == 1 && len(s) < 1024 && printable(s)
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f || r == utf8.RuneError })
}

// knownRooms reads TOKEN:ROOM:NICK entries, separated by spaces. The gateway
// could not read a nick with a space or a colon: a word that is no entry of its
// own belongs to the nick before it.
func (im *importer) knownRooms() {
	value, line := im.take("KNOWN_ROOMS")
	if strings.TrimSpace(value) == "" {
		im.fault(line, `write KNOWN_ROOMS="TOKEN:room@conference.example.org:NICK"`, "KNOWN_ROOMS is missing or empty")
		return
	}
	if strings.Contains(strings.TrimSpace(value), "  ") {
		im.note("KNOWN_ROOMS has double spaces, at which the gateway crashed; they are ignored")
	}
	for _, word := range strings.Fields(value) {
		token, rest, ok := strings.Cut(word, ":")
		jid, nick, ok2 := strings.Cut(rest, ":")
		if !ok || !ok2 || !strings.Contains(jid, "@") {
			n := len(im.rooms)
			if n == 0 || im.rooms[n-1].nick == "" || strings.Contains(rest, "@") {
				im.fault(line, "write TOKEN:room@conference.example.org:NICK", "KNOWN_ROOMS: word %d is no entry", n+1)
				continue
			}
			im.rooms[n-1].nick += " " + word
			continue
		}
		im.rooms = append(im.rooms, room{token: token, jid: jid, nick: nick})
	}
	im.checkRooms(line)
}

func (im *importer) checkRooms(line int) {
	tokens := map[string]int{}
	hooks := map[string]bool{}
	for i := range im.rooms {
		r := &im.rooms[i]
		n := i + 1
		switch {
		case r.token == "":
			im.fault(line, "make one with openssl rand -hex 16", "KNOWN_ROOMS: entry %d has no token", n)
		case len(r.token) < 8:
			im.fault(line, "make a longer one with openssl rand -hex 16, also at the sender", "KNOWN_ROOMS: the token of entry %d is shorter than 8 characters", n)
		case strings.ContainsAny(r.token, "/?#%"):
			im.fault(line, "make one with openssl rand -hex 16, also at the sender", "KNOWN_ROOMS: the token of entry %d cannot stand in a path", n)
		case tokens[r.token] > 0:
			im.fault(line, "give each its own token; the gateway used the last one only", "KNOWN_ROOMS: entries %d and %d have the same token", tokens[r.token], n)
		}
		tokens[r.token] = n
		if !isBareJID(r.jid) {
			im.fault(line, "write room@conference.example.org", "KNOWN_ROOMS: the room of entry %d is no bare JID", n)
		}
		if r.nick == "" || !printable(r.nick) || len(r.nick) > 256 {
			im.fault(line, "write TOKEN:ROOM:NICK", "KNOWN_ROOMS: the nick of entry %d is empty, too long, or cannot be shown", n)
		}
		if strings.ContainsAny(r.nick, " :") {
			im.note("entry %d has the nick %q, at which the gateway crashed; it is taken as one nick", n, r.nick)
		}
		r.hook = hookName(r.nick, hooks)
	}
}

// hookName makes the name of a hook from a nick: small letters, digits, dashes;
// never the same twice.
func hookName(nick string, taken map[string]bool) string {
	var b strings.Builder
	for _, r := range strings.ToLower(nick) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else if s := b.String(); s != "" && !strings.HasSuffix(s, "-") {
			b.WriteByte('-')
		}
	}
	base := strings.Trim(b.String()[:min(b.Len(), 48)], "-")
	if base == "" {
		base = "hook"
	}
	name := base
	for i := 2; taken[name]; i++ {
		name = base + "-" + strconv.Itoa(i)
	}
	taken[name] = true
	return name
}

func (im *importer) format() string {
	value, line := im.take("MESSAGE_FORMAT")
	switch format := strings.ToLower(strings.TrimSpace(value)); format {
	case "":
		return "json"
	case "json", "yaml":
		if format == "json" {
			im.note("json: characters beyond ASCII are shown as they are, no longer as \\uXXXX")
		} else {
			im.note("yaml: keys keep the sender's order; the gateway sorted them")
		}
		return format
	default:
		im.fault(line, "write json or yaml", "MESSAGE_FORMAT is neither json nor yaml")
		return ""
	}
}

// level takes the more talkative of the two levels.
func (im *importer) level() string {
	order := []string{"debug", "info", "warn", "error"}
	names := map[string]int{"notset": 0, "debug": 0, "info": 1, "warn": 2, "warning": 2, "error": 3, "critical": 3, "fatal": 3, "10": 0, "20": 1, "30": 2, "40": 3, "50": 3}
	best := -1
	for _, key := range []string{"LOG_LEVEL", "XMPP_LOG_LEVEL"} {
		value, line := im.take(key)
		if value == "" {
			continue
		}
		n, ok := names[strings.ToLower(strings.TrimPrefix(value, "logging."))]
		if !ok {
			im.note("line %d: %s is not known; the level stays info", line, key)
			continue
		}
		if best < 0 || n < best {
			best = n
		}
	}
	if best < 0 {
		return "info"
	}
	if best == 0 {
		im.note("debug: bodies, headers and tokens are not written to the log, at any level")
	}
	return order[best]
}

// rest names what has no meaning here.
func (im *importer) rest() {
	keys := slices.SortedFunc(maps.Keys(im.values), func(a, b string) int { return im.lines[a] - im.lines[b] })
	for _, key := range keys {
		im.note("line %d: %s has no counterpart and was left out", im.lines[key], key)
	}
}
