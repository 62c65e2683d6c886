package itest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startTimeout = 60 * time.Second
	startTries   = 3
	logTail      = 16 << 10
)

// Options says how a server is to run. The zero value is a server for domain "xmpp.test" on 127.0.0.1 with rooms, STARTTLS
// offered but not required, no users and no components.
type Options struct {
	// Address is the loopback address to listen on; default "127.0.0.1". Give each server of a federation its own.
	Address string
	// Domain is the domain of the users; default "xmpp.test".
	Domain string
	// Users maps local parts to passwords. [Server.AddUser] adds more while the server runs.
	Users map[string]string
	// Admins are local parts of users who administer the server and its rooms.
	Admins []string
	// Components maps domains to shared secrets (XEP-0114).
	Components map[string]string
	// KickOldComponent makes a second connection of a component replace the first. Prosody only; its default refuses the
	// second one. Ejabberd always accepts both.
	KickOldComponent bool

	// NoTLS offers no STARTTLS. RequireTLS refuses to authenticate without it.
	NoTLS, RequireTLS bool
	// DirectTLS opens a port where TLS starts at once (XEP-0368).
	DirectTLS bool
	// CertificateLifetime is how long the server's certificate is valid from its start; default 12 h.
	CertificateLifetime time.Duration
	// CertificateNames replaces the names in the certificate, for tests of certificate checks; default all domains.
	CertificateNames []string

	// RestrictRooms lets only Admins create rooms. LockRooms leaves a new room locked until its owner configures it
	// (XEP-0045 §10.1.2). LockRooms is for Prosody only; Ejabberd unlocks by its default configuration.
	RestrictRooms, LockRooms bool
	// VolatileRooms makes rooms vanish with their last occupant; otherwise they are persistent and survive a restart.
	VolatileRooms bool
	// MaxHistory is the number of messages that a room sends to those who join; default 20.
	MaxHistory int

	// Web serves BOSH (XEP-0124) and WebSocket (RFC 7395) in clear on [Server.HTTP], to pages of any origin.
	Web bool
	// Upload runs an HTTP upload service (XEP-0363) on [Server.UploadDomain], which serves the files on [Server.HTTP].
	Upload bool
	// MaxUpload is the largest file in bytes that the upload service takes; default 10 MiB.
	MaxUpload int
	// PubSub runs a pubsub service (XEP-0060) on [Server.PubSubDomain] where everybody may create nodes and publishers
	// are shown.
	PubSub bool
	// Privileged names components that may act for users (XEP-0356): rosters both ways, messages, presence, and with
	// Prosody also pubsub requests both ways. Prosody has it from the package prosody-modules. Ejabberd 23.01 has an older
	// version of the protocol without requests.
	Privileged []string
	// Delegated maps namespaces to the component that answers requests in them for users (XEP-0355). Prosody has it from the
	// package prosody-modules. Ejabberd 23.01 has an older version of the protocol, in which it asks the component first.
	Delegated map[string]string
	// RoomExtras adds to the rooms of Prosody moderation (XEP-0425, both versions) and avatars (XEP-0486), partly from the
	// package prosody-modules. Rooms of ejabberd have avatars of themselves, and no moderation.
	RoomExtras bool

	// MaxStanza is the limit of one stanza in bytes from clients and components; default is the server's own limit.
	MaxStanza int
	// S2S opens a server-to-server port. Peers of a Prosody are found through [Server.Peer].
	S2S bool
	// Debug makes the log complete.
	Debug bool
	// Extra is more configuration in the server's own language. Prosody has it at the end of the global part, where an
	// assignment replaces what stands before it. Ejabberd has it at the end of the file, where indented lines are modules.
	Extra string
	// ExtraHosts is appended to the configuration of Prosody: more hosts and components.
	ExtraHosts string
}

// withDefaults fills in what is not set.
func (o Options) withDefaults() Options {
	if o.Address == "" {
		o.Address = "127.0.0.1"
	}
	if o.Domain == "" {
		o.Domain = "xmpp.test"
	}
	if o.CertificateLifetime == 0 {
		o.CertificateLifetime = 12 * time.Hour
	}
	if o.MaxHistory == 0 {
		o.MaxHistory = 20
	}
	if o.MaxUpload == 0 {
		o.MaxUpload = 10 << 20
	}
	return o
}

// Server is a running XMPP server. Its fields do not change after the start; addresses are "host:port" and stay the same
// over [Server.Restart]. Methods that fail end the test.
type Server struct {
	Kind         string // "prosody" or "ejabberd"
	Domain       string // of the users
	RoomDomain   string // of the rooms
	C2S          string // clients, STARTTLS
	C2SDirectTLS string // clients, TLS from the start; empty unless Options.DirectTLS
	S2S          string // servers; empty unless Options.S2S
	Component    string // components; empty without Options.Components
	HTTP         string // web server; empty without Options.Web and Options.Upload
	UploadDomain string // of the upload service; empty without Options.Upload
	PubSubDomain string // of the pubsub service; empty without Options.PubSub
	CAFile       string // PEM file of the authority that signed the server's certificate
	Dir          string // configuration, data and log

	t       TB
	opts    Options
	users   map[string]string // all accounts and their passwords
	api     string            // HTTP API of ejabberd
	cert    certificate
	flavour flavour
	proc    *process
	log     *os.File
	took    time.Duration
}

// flavour is what differs between the kinds of server.
type flavour interface {
	// configure writes the configuration. It is called before each start.
	configure(s *Server) error
	// command returns the command that runs the server in the foreground.
	command(s *Server) *exec.Cmd
	// addUser makes an account, whether or not the server runs.
	addUser(s *Server, user, password string) error
	// portTaken reports whether the log says that a port could not be opened.
	portTaken(log []byte) bool
}

// launch makes the server's folder, starts it and has it stopped at the end of the test.
func launch(t TB, kind string, f flavour, opts Options) *Server {
	t.Helper()
	opts = opts.withDefaults()
	dir := t.TempDir()
	s := &Server{
		Kind: kind, Domain: opts.Domain, RoomDomain: "muc." + opts.Domain, Dir: dir,
		t: t, opts: opts, flavour: f, users: map[string]string{},
	}
	if opts.Upload {
		s.UploadDomain = "upload." + opts.Domain
	}
	if opts.PubSub {
		s.PubSubDomain = "pubsub." + opts.Domain
	}
	maps.Copy(s.users, opts.Users)
	log, err := os.OpenFile(s.LogFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatalf("%s: open log: %v", kind, err)
	}
	s.log = log
	t.Cleanup(s.cleanup)
	if err := s.certify(); err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	for try := 1; ; try++ {
		err := s.firstStart()
		if err == nil {
			break
		}
		if try == startTries || !f.portTaken(s.Log()) {
			t.Fatalf("%s: %v", kind, err)
		}
	}
	return s
}

// certify issues the server's certificate.
func (s *Server) certify() error {
	ca, err := testCA()
	if err != nil {
		return err
	}
	names := s.opts.CertificateNames
	if len(names) == 0 {
		names = []string{s.Domain, s.RoomDomain}
		for _, name := range []string{s.UploadDomain, s.PubSubDomain} {
			if name != "" {
				names = append(names, name)
			}
		}
	}
	s.cert, err = ca.issue(s.Dir, s.opts.CertificateLifetime, names...)
	s.CAFile = s.cert.caFile
	return err
}

// firstStart chooses ports and starts the server.
func (s *Server) firstStart() error {
	for _, p := range []struct {
		addr   *string
		wanted bool
	}{
		{&s.C2S, true},
		{&s.C2SDirectTLS, s.opts.DirectTLS},
		{&s.S2S, s.opts.S2S},
		{&s.Component, len(s.opts.Components) > 0},
		{&s.HTTP, s.opts.Web || s.opts.Upload},
		{&s.api, s.Kind == kindEjabberd},
	} {
		if !p.wanted {
			continue
		}
		addr, err := FreeAddress(s.opts.Address)
		if err != nil {
			return err
		}
		*p.addr = addr
	}
	return s.start()
}

// start runs the server and returns once it answers on all its ports and has all its users.
func (s *Server) start() error {
	if err := s.flavour.configure(s); err != nil {
		return err
	}
	cmd := s.flavour.command(s)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.Dir, s.log, s.log
	begin := time.Now()
	proc, err := startProcess(cmd)
	if err != nil {
		return err
	}
	s.proc = proc
	ctx, cancel := context.WithTimeout(s.t.Context(), startTimeout)
	defer cancel()
	for _, p := range s.probes() {
		if err := p.wait(ctx, proc.done); err != nil {
			proc.kill()
			return err
		}
	}
	s.took = time.Since(begin)
	// Accounts are made at every start, since a server that was killed may have lost the last ones.
	for user, password := range s.users {
		if err := s.flavour.addUser(s, user, password); err != nil {
			proc.kill()
			return err
		}
	}
	return nil
}

func (s *Server) probes() []probe {
	probes := []probe{clientProbe(s.C2S, s.Domain)}
	for domain := range s.opts.Components {
		probes = append(probes, componentProbe(s.Component, domain))
	}
	for _, addr := range []string{s.C2SDirectTLS, s.S2S, s.HTTP, s.api} {
		if addr != "" {
			probes = append(probes, dialProbe(addr))
		}
	}
	return probes
}

// cleanup stops the server and shows the end of its log if the test has failed.
func (s *Server) cleanup() {
	if s.proc != nil {
		s.proc.kill() // its folder goes next: there is nothing to save, and an orderly end takes ejabberd a second
	}
	if err := s.log.Close(); err != nil {
		s.t.Errorf("%s: close log: %v", s.Kind, err)
	}
	if s.t.Failed() {
		s.t.Logf("end of the log of %s (%s):\n%s", s.Kind, s.Domain, tail(s.Log()))
	}
}

func tail(log []byte) []byte {
	if len(log) <= logTail {
		return log
	}
	log = log[len(log)-logTail:]
	return log[bytes.IndexByte(log, '\n')+1:]
}

// LogFile is the path of the server's log.
func (s *Server) LogFile() string { return filepath.Join(s.Dir, "server.log") }

// Log returns what the server has logged so far.
func (s *Server) Log() []byte {
	log, err := os.ReadFile(s.LogFile())
	if err != nil {
		return []byte(err.Error())
	}
	return log
}

// StartTime is how long the last start took, from the fork to the last answered probe.
func (s *Server) StartTime() time.Duration { return s.took }

// PID is the process id of the server.
func (s *Server) PID() int { return s.proc.cmd.Process.Pid }

// AddUser makes an account on the server's domain while it runs, or changes its password.
func (s *Server) AddUser(user, password string) {
	s.t.Helper()
	s.users[user] = password
	if err := s.flavour.addUser(s, user, password); err != nil {
		s.t.Fatalf("%s: %v", s.Kind, err)
	}
}

// Kill ends the server by SIGKILL and returns when it is gone. [Server.Start] brings it back.
func (s *Server) Kill() {
	s.t.Helper()
	s.proc.kill()
}

// Stop ends the server by SIGTERM and returns when it is gone. [Server.Start] brings it back.
func (s *Server) Stop() {
	s.t.Helper()
	_ = s.proc.stop() // servers end with different codes after SIGTERM
}

// Start brings a server back after Kill or Stop, with the same ports, data and certificate, and returns once it is ready.
func (s *Server) Start() {
	s.t.Helper()
	if !s.proc.ended() {
		s.t.Fatalf("%s: start: it is running", s.Kind)
	}
	if err := s.start(); err != nil {
		s.t.Fatalf("%s: restart: %v", s.Kind, err)
	}
}

// Restart stops the server by SIGTERM and starts it again.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.Start()
}

// Freeze stops the server's process (SIGSTOP): connections stay open and nothing is answered, until [Server.Thaw].
func (s *Server) Freeze() {
	s.t.Helper()
	if err := s.proc.signal(syscall.SIGSTOP); err != nil {
		s.t.Fatalf("%s: freeze: %v", s.Kind, err)
	}
}

// Thaw lets a frozen server go on.
func (s *Server) Thaw() {
	s.t.Helper()
	if err := s.proc.signal(syscall.SIGCONT); err != nil {
		s.t.Fatalf("%s: thaw: %v", s.Kind, err)
	}
}

// JID returns the bare address of a user.
func (s *Server) JID(user string) string { return user + "@" + s.Domain }

// Room returns the address of a room.
func (s *Server) Room(name string) string { return name + "@" + s.RoomDomain }

// Account is what a client needs to connect as a user of Options.Users or of AddUser.
func (s *Server) Account(user string) Account {
	s.t.Helper()
	password, ok := s.users[user]
	if !ok {
		s.t.Fatalf("%s: no user %q in Options.Users", s.Kind, user)
	}
	return s.AccountFor(user, password)
}

// AccountFor is Account with another password, such as one that is wrong on purpose.
func (s *Server) AccountFor(user, password string) Account {
	a := Account{JID: s.JID(user), Password: password, Address: s.C2S, CAFile: s.CAFile}
	a.NoTLS = s.opts.NoTLS
	return a
}

// Account says who connects where.
type Account struct {
	JID       string // bare, or full with the wanted resource
	Password  string
	Address   string // host:port
	CAFile    string // PEM file of the trusted authority
	NoTLS     bool   // connect in clear
	DirectTLS bool   // TLS from the first byte
}

// splitPort takes an address of FreeAddress apart.
func splitPort(addr string) (host string, port int, err error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("split address %q: %w", addr, err)
	}
	port, err = strconv.Atoi(portText)
	if err != nil {
		return "", 0, fmt.Errorf("split address %q: %w", addr, err)
	}
	return host, port, nil
}

// component is one entry of Options.Components.
type component struct {
	Domain, Secret string
	Modules        []string // of Prosody, that its privileges need
}

// modules are the modules of Prosody that a component's privileges need.
func (o Options) modules(domain string) []string {
	var list []string
	if slices.Contains(o.Privileged, domain) {
		list = append(list, "privilege")
	}
	for _, to := range o.Delegated {
		if to == domain {
			return append(list, "delegation")
		}
	}
	return list
}

// values are what the configuration templates are filled with.
type values struct {
	Options
	Host, RoomDomain, Dir, Cert, Key, CA, Conflict          string
	UploadDomain, PubSubDomain                              string
	C2SPort, DirectTLSPort, S2SPort, ComponentPort, APIPort string
	HTTPPort                                                string
	PersistentRooms                                         bool
	Components                                              []component
}

// values checks the options and prepares them for a template.
func (s *Server) values() (values, error) {
	v := values{
		Options: s.opts, Host: s.opts.Address, RoomDomain: s.RoomDomain, Dir: s.Dir,
		UploadDomain: s.UploadDomain, PubSubDomain: s.PubSubDomain,
		Cert: s.cert.certFile, Key: s.cert.keyFile, CA: s.cert.caFile,
		Conflict: "kick_new", PersistentRooms: !s.opts.VolatileRooms,
	}
	if s.opts.KickOldComponent {
		v.Conflict = "kick_old"
	}
	words := slices.Concat([]string{s.opts.Address, s.Domain, s.Dir}, s.opts.Admins, s.opts.Privileged,
		slices.Collect(maps.Keys(s.opts.Delegated)), slices.Collect(maps.Values(s.opts.Delegated)))
	for _, domain := range slices.Sorted(maps.Keys(s.opts.Components)) {
		words = append(words, domain, s.opts.Components[domain])
		v.Components = append(v.Components, component{domain, s.opts.Components[domain], s.opts.modules(domain)})
	}
	for _, word := range words {
		if err := checkWord("option", word); err != nil {
			return values{}, err
		}
	}
	for _, p := range []struct {
		addr string
		port *string
	}{
		{s.C2S, &v.C2SPort},
		{s.C2SDirectTLS, &v.DirectTLSPort},
		{s.S2S, &v.S2SPort},
		{s.Component, &v.ComponentPort},
		{s.HTTP, &v.HTTPPort},
		{s.api, &v.APIPort},
	} {
		*p.port = p.addr[strings.LastIndexByte(p.addr, ':')+1:]
	}
	return v, nil
}

// checkWord refuses what would need quoting in a configuration file.
func checkWord(what, s string) error {
	if s == "" || strings.ContainsAny(s, "\"'\\\n\r\x00") {
		return fmt.Errorf("%s %q: empty, or with a quote, backslash or line end", what, s)
	}
	return nil
}
