package itest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

const kindEjabberd = "ejabberd"

// ejabberd is the flavour of Debian's ejabberd 23.01. It runs as an Erlang node without distribution: no epmd, no
// distribution port, no cookie, and so no clash between two of them and nothing that ejabberdctl could reach.
// Accounts are made over its HTTP API on loopback.
type ejabberd struct {
	erl  string
	libs string // folder that has ejabberd's Erlang application
}

// Ejabberd starts an ejabberd for the test and returns once it answers. It is stopped when the test ends.
//
// Its Mnesia tables on disk lose what was written shortly before SIGKILL. Accounts are made again when the server starts;
// archives and rosters are not. A test that counts archived messages over a kill uses [Prosody].
func Ejabberd(t TB, opts Options) *Server {
	t.Helper()
	e := ejabberd{
		erl:  requireProgram(t, "ejabberd", "erl", "/usr/bin/erl"),
		libs: filepath.Join(requireFile(t, "ejabberd", "/usr/lib/*/ejabberd-*/ebin/ejabberd.app"), "../../.."),
	}
	return launch(t, kindEjabberd, e, opts)
}

// ejabberdConfig has the modules of Debian's package that need no port, without shapers and with a room archive.
var ejabberdConfig = template.Must(template.New("ejabberd.yml").Parse(`# written by the test for each start
hosts: ["{{.Domain}}"]
loglevel: {{if .Debug}}debug{{else}}info{{end}}
log_rotate_count: 0
certfiles: ["{{.Cert}}", "{{.Key}}"]
ca_file: "{{.CA}}"
acme: { auto: false }
auth_method: internal
auth_password_format: plain
disable_sasl_mechanisms: ["digest-md5", "X-OAUTH2"]
s2s_access: {{if .S2S}}all{{else}}none{{end}}
s2s_use_starttls: required
listen:
  -
    port: {{.C2SPort}}
    ip: "{{.Host}}"
    module: ejabberd_c2s
    backlog: 128
    starttls: {{not .NoTLS}}
    starttls_required: {{.RequireTLS}}
{{- if .MaxStanza}}
    max_stanza_size: {{.MaxStanza}}{{end}}
{{- if .DirectTLSPort}}
  -
    port: {{.DirectTLSPort}}
    ip: "{{.Host}}"
    module: ejabberd_c2s
    backlog: 128
    tls: true
{{- if .MaxStanza}}
    max_stanza_size: {{.MaxStanza}}{{end}}
{{- end}}
{{- if .S2SPort}}
  -
    port: {{.S2SPort}}
    ip: "{{.Host}}"
    module: ejabberd_s2s_in
{{- end}}
{{- if .Components}}
  -
    port: {{.ComponentPort}}
    ip: "{{.Host}}"
    module: ejabberd_service
    access: all
    global_routes: false
{{- if .MaxStanza}}
    max_stanza_size: {{.MaxStanza}}{{end}}
    hosts:
{{- range .Components}}
      "{{.Domain}}":
        password: "{{.Secret}}"
{{- end}}
{{- end}}
  -
    port: {{.APIPort}}
    ip: "{{.Host}}"
    module: ejabberd_http
    request_handlers:
      /api: mod_http_api
{{- if .HTTPPort}}
  -
    port: {{.HTTPPort}}
    ip: "{{.Host}}"
    module: ejabberd_http
    request_handlers:
{{- if .Web}}
      /http-bind: mod_bosh
      /xmpp-websocket: ejabberd_http_ws
{{- end}}
{{- if .Upload}}
      /upload: mod_http_upload
{{- end}}
{{- end}}
acl:
  admin:
    user: [{{range $i, $a := .Admins}}{{if $i}}, {{end}}"{{$a}}"{{end}}]
{{- if .Privileged}}
  privileged:
    server: [{{range $i, $d := .Privileged}}{{if $i}}, {{end}}"{{$d}}"{{end}}]
{{- end}}
{{- range $namespace, $to := .Delegated}}
  "delegated to {{$to}}":
    server: "{{$to}}"
{{- end}}
access_rules:
{{- if .Privileged}}
  privileged:
    allow: privileged
{{- end}}
{{- range $namespace, $to := .Delegated}}
  "delegated to {{$to}}":
    allow: "delegated to {{$to}}"
{{- end}}
  room_creators:
    allow: {{if .RestrictRooms}}admin{{else}}all{{end}}
  room_admins:
    allow: admin
api_permissions:
  "test":
    who:
      ip: 127.0.0.0/8
    what:
      - "*"
modules:
  mod_adhoc: {}
  mod_admin_extra: {}
  mod_blocking: {}
  mod_caps: {}
  mod_carboncopy: {}
  mod_disco: {}
  mod_last: {}
  mod_mam:
    default: always
  mod_muc:
    host: "{{.RoomDomain}}"
    access: all
    access_create: room_creators
    access_persistent: all
    access_mam: all
    access_admin: room_admins
    history_size: {{.MaxHistory}}
    min_message_interval: 0
    min_presence_interval: 0
    default_room_options:
      mam: true
      persistent: {{.PersistentRooms}}
      allow_change_subj: true
  mod_ping: {}
  mod_privacy: {}
  mod_private: {}
  mod_avatar: {}
{{- if .Web}}
  mod_bosh: {}
{{- end}}
{{- if .Upload}}
  mod_http_upload:
    host: "{{.UploadDomain}}"
    put_url: "http://{{.Host}}:{{.HTTPPort}}/upload"
    docroot: "{{.Dir}}/upload"
    max_size: {{.MaxUpload}}
    access: all
{{- end}}
  mod_pubsub:
    host: "pubsub.{{.Domain}}"
    access_createnode: all
    plugins: ["flat", "pep"]
{{- if .Privileged}}
  mod_privilege:
    roster: { both: privileged }
    message: { outgoing: privileged }
    presence: { managed_entity: privileged }
{{- end}}
{{- if .Delegated}}
  mod_delegation:
    namespaces:
{{- range $namespace, $to := .Delegated}}
      "{{$namespace}}":
        access: "delegated to {{$to}}"
{{- end}}
{{- end}}
  mod_roster: {}
  mod_stream_mgmt: {}
  mod_vcard: {}
  mod_vcard_xupdate: {}
  mod_version: {}
{{.Extra}}
`))

// configure implements flavour.
func (ejabberd) configure(s *Server) error {
	v, err := s.values()
	if err != nil {
		return err
	}
	var config strings.Builder
	if err := ejabberdConfig.Execute(&config, v); err != nil {
		return fmt.Errorf("fill in ejabberd configuration: %w", err)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "ejabberd.yml"), []byte(config.String()), 0o600); err != nil {
		return fmt.Errorf("write ejabberd configuration: %w", err)
	}
	return nil
}

// command implements flavour. Busy waiting of the schedulers is switched off, since tests share few processors.
func (e ejabberd) command(s *Server) *exec.Cmd {
	cmd := exec.Command(e.erl, "-noinput", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none",
		"-mnesia", "dir", `"`+filepath.Join(s.Dir, "mnesia")+`"`, "-s", "ejabberd")
	cmd.Env = append(os.Environ(),
		"HOME="+s.Dir,
		"ERL_LIBS="+e.libs,
		"EJABBERD_CONFIG_PATH="+filepath.Join(s.Dir, "ejabberd.yml"),
		"EJABBERD_LOG_PATH="+filepath.Join(s.Dir, "ejabberd.log"),
		"ERL_CRASH_DUMP="+filepath.Join(s.Dir, "erl_crash.dump"),
		"ERL_CRASH_DUMP_SECONDS=0",
	)
	return cmd
}

// addUser implements flavour. An account that exists gets the password.
func (ejabberd) addUser(s *Server, user, password string) error {
	err := s.callAPI("register", map[string]any{"user": user, "host": s.Domain, "password": password})
	var refused *apiError
	if errors.As(err, &refused) && refused.status == http.StatusConflict {
		return s.callAPI("change_password", map[string]any{"user": user, "host": s.Domain, "newpass": password})
	}
	return err
}

// apiError is an answer of the HTTP API other than 200.
type apiError struct {
	status int
	answer string
}

// Error implements error.
func (e *apiError) Error() string { return fmt.Sprintf("status %d: %s", e.status, e.answer) }

// callAPI calls a command of ejabberd. The result is not looked at beyond success.
func (s *Server) callAPI(command string, args map[string]any) error {
	body, err := json.Marshal(args)
	if err != nil {
		return fmt.Errorf("encode arguments of %s: %w", command, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.api+"/api/"+command, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make request of %s: %w", command, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("call %s: %w", command, err)
	}
	defer func() { _ = resp.Body.Close() }() // fully read below
	answer, err := io.ReadAll(io.LimitReader(resp.Body, probeLimit))
	if err != nil {
		return fmt.Errorf("read answer of %s: %w", command, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("call %s: %w", command, &apiError{resp.StatusCode, string(answer)})
	}
	return nil
}

// portTaken implements flavour.
func (ejabberd) portTaken(log []byte) bool {
	return bytes.Contains(log, []byte("eaddrinuse")) || bytes.Contains(log, []byte("address already in use"))
}

var _ flavour = ejabberd{}
