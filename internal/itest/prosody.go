package itest

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

const kindProsody = "prosody"

// prosodyModules are what Prosody lacks for tests: each says in its first line what it does.
//
//go:embed mod_itest_*.lua
var prosodyModules embed.FS

// prosody is the flavour of Debian's Prosody 0.12.
type prosody struct{ program string }

// Prosody starts a Prosody for the test and returns once it answers. It is stopped when the test ends.
func Prosody(t TB, opts Options) *Server {
	t.Helper()
	program := requireProgram(t, "prosody", "prosody", "/usr/bin/prosody")
	if len(opts.Privileged) > 0 || len(opts.Delegated) > 0 || opts.RoomExtras {
		requireFile(t, "prosody-modules", "/usr/lib/prosody/modules/mod_privilege/mod_privilege.lua")
	}
	return launch(t, kindProsody, prosody{program}, opts)
}

// prosodyConfig has the defaults of Debian's package, without the rate limits and with a room archive.
var prosodyConfig = template.Must(template.New("prosody.cfg.lua").Parse(`-- written by the test for each start
run_as_root = true
data_path = "{{.Dir}}/data"
certificates = "{{.Dir}}"
plugin_paths = { "{{.Dir}}/modules" }
log = { {{if .Debug}}debug{{else}}info{{end}} = "*console" }
network_backend = "epoll"

interfaces = { "{{.Host}}" }
local_interfaces = { "{{.Host}}" }
use_ipv6 = false
c2s_ports = { {{.C2SPort}} }
c2s_direct_tls_ports = { {{.DirectTLSPort}} }
s2s_ports = { {{.S2SPort}} }
component_ports = { {{.ComponentPort}} }
component_interfaces = { "{{.Host}}" }
http_ports = { {{.HTTPPort}} }
http_interfaces = { "{{.Host}}" }
https_ports = { }
{{if .HTTPPort}}http_host = "{{.Host}}"
http_external_url = "http://{{.Host}}:{{.HTTPPort}}/"
consider_bosh_secure = true
consider_websocket_secure = true
{{end}}
modules_enabled = {
	"roster", "saslauth", {{if not .NoTLS}}"tls", {{end}}"disco", "blocklist", "carbons", "pep", "private", "vcard4", "vcard_legacy",
	"version", "ping", "mam", "smacks", "csi_simple", {{if .S2S}}"s2s", "dialback", "s2s_auth_certs", "itest_peers", {{end}}
	{{if .Web}}"bosh", "websocket", {{end}}{{if .Privileged}}"privilege", {{end}}{{if .Delegated}}"delegation", {{end}}
}
modules_disabled = { {{if not .S2S}}"s2s", "s2s_auth_certs", {{end}}"offline" }
itest_peers_file = "{{.Dir}}/peers"

authentication = "internal_plain"
storage = "internal"
storage_archive_item_limit = 10000000
archive_expires_after = "never"
muc_log_expires_after = "never"
smacks_hibernation_time = 300
{{if .MaxStanza}}c2s_stanza_size_limit = {{.MaxStanza}}
s2s_stanza_size_limit = {{.MaxStanza}}
component_stanza_size_limit = {{.MaxStanza}}
{{end}}
c2s_require_encryption = {{.RequireTLS}}
allow_unencrypted_plain_auth = {{.NoTLS}}
s2s_require_encryption = true
s2s_secure_auth = true
tls_profile = "intermediate"
ssl = { certificate = "{{.Cert}}", key = "{{.Key}}", cafile = "{{.CA}}" }
c2s_direct_tls_ssl = { certificate = "{{.Cert}}", key = "{{.Key}}" }
admins = { {{range .Admins}}"{{.}}@{{$.Domain}}", {{end}} }
{{.Extra}}
VirtualHost "{{.Domain}}"
	disco_items = { {{with .UploadDomain}}{ "{{.}}" }, {{end}}{{with .PubSubDomain}}{ "{{.}}" }, {{end}}{ "{{.RoomDomain}}" } }
{{- if .Privileged}}
	privileged_entities = {
{{- range .Privileged}}
		["{{.}}"] = {
			roster = "both"; message = "outgoing"; presence = "managed_entity";
			iq = { ["http://jabber.org/protocol/pubsub"] = "both"; ["http://jabber.org/protocol/pubsub#owner"] = "both" };
		};
{{- end}}
	}
{{- end}}
{{- if .Delegated}}
	delegations = {
{{- range $namespace, $to := .Delegated}}
		["{{$namespace}}"] = { jid = "{{$to}}" };
{{- end}}
	}
{{- end}}

Component "{{.RoomDomain}}" "muc"
	modules_enabled = { "muc_mam", {{if .RoomExtras}}"muc_moderation", "itest_moderation", "vcard_muc", {{end}} }
	restrict_room_creation = {{.RestrictRooms}}
	muc_room_locking = {{.LockRooms}}
	muc_room_default_persistent = {{.PersistentRooms}}
	muc_room_default_history_length = {{.MaxHistory}}
	max_history_messages = {{.MaxHistory}}
{{range .Components}}
Component "{{.Domain}}"
	component_secret = "{{.Secret}}"
	component_conflict_resolve = "{{$.Conflict}}"
	modules_enabled = { {{range .Modules}}"{{.}}", {{end}} }
{{end}}
{{- with .UploadDomain}}
Component "{{.}}" "http_file_share"
	http_file_share_size_limit = {{$.MaxUpload}}
	http_file_share_daily_quota = 1024 * 1024 * 1024
{{end}}
{{- with .PubSubDomain}}
Component "{{.}}" "pubsub"
	modules_enabled = { "itest_pubsub" }
	expose_publisher = true
	autocreate_on_publish = true
	autocreate_on_subscribe = false
	admins = { {{range $.Components}}"{{.Domain}}", {{end}}{{range $.Admins}}"{{.}}@{{$.Domain}}", {{end}} }
{{end}}
{{.ExtraHosts}}
`))

// configure implements flavour.
func (prosody) configure(s *Server) error {
	v, err := s.values()
	if err != nil {
		return err
	}
	var config strings.Builder
	if err := prosodyConfig.Execute(&config, v); err != nil {
		return fmt.Errorf("fill in prosody configuration: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(s.Dir, "data"), 0o700); err != nil {
		return fmt.Errorf("make prosody folder: %w", err)
	}
	modules := filepath.Join(s.Dir, "modules")
	if _, err := os.Stat(modules); errors.Is(err, fs.ErrNotExist) {
		if err := os.CopyFS(modules, prosodyModules); err != nil {
			return fmt.Errorf("write prosody modules: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "prosody.cfg.lua"), []byte(config.String()), 0o600); err != nil {
		return fmt.Errorf("write prosody configuration: %w", err)
	}
	return nil
}

// command implements flavour.
func (p prosody) command(s *Server) *exec.Cmd {
	return exec.Command(p.program, "-F", "--config", filepath.Join(s.Dir, "prosody.cfg.lua"))
}

// addUser implements flavour. mod_storage_internal reads the file of an account at each login.
func (prosody) addUser(s *Server, user, password string) error {
	if err := checkWord("password", password); err != nil {
		return err
	}
	dir := filepath.Join(s.Dir, "data", prosodyPath(s.Domain), "accounts")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("add user %q: %w", user, err)
	}
	content := fmt.Sprintf("return {\n\t[\"password\"] = \"%s\";\n};\n", password)
	if err := os.WriteFile(filepath.Join(dir, prosodyPath(user)+".dat"), []byte(content), 0o600); err != nil {
		return fmt.Errorf("add user %q: %w", user, err)
	}
	return nil
}

// portTaken implements flavour.
func (prosody) portTaken(log []byte) bool {
	return strings.Contains(string(log), "Failed to open server port")
}

var _ flavour = prosody{}

// prosodyPath encodes a name as util.datamanager does: all but ASCII letters and digits as %xx.
func prosodyPath(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}

// Peer makes two servers find each other for server-to-server streams, without DNS. Both are Prosody with Options.S2S.
func (s *Server) Peer(other *Server) {
	s.t.Helper()
	for _, pair := range [][2]*Server{{s, other}, {other, s}} {
		from, to := pair[0], pair[1]
		if from.Kind != kindProsody || to.S2S == "" {
			s.t.Fatalf("peer %s with %s: only Prosody with Options.S2S can be a peer", from.Domain, to.Domain)
		}
		if err := from.addPeer(to); err != nil {
			s.t.Fatalf("peer %s with %s: %v", from.Domain, to.Domain, err)
		}
	}
}

// addPeer appends the domains of to to the file that mod_itest_peers reads for each outgoing stream.
func (s *Server) addPeer(to *Server) error {
	host, port, err := splitPort(to.S2S)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(s.Dir, "peers"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open peers file: %w", err)
	}
	_, err = fmt.Fprintf(f, "%s %s %d\n%s %s %d\n", to.Domain, host, port, to.RoomDomain, host, port)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write peers file: %w", err)
	}
	return nil
}
