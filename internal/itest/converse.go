package itest

import (
	"embed"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ConverseVersion is the release of Converse.js that scripts/install-test-deps fetches.
const ConverseVersion = "14.0.0"

// ConverseEnv names a folder with the dist folder of Converse.js, instead of where scripts/install-test-deps puts it:
// bridgehost/converse.js-VERSION in the user's cache folder.
const ConverseEnv = "BRIDGEHOST_CONVERSE"

//go:embed converse
var conversePages embed.FS

// Converse is Converse.js in a browser, logged in: a client as people use it, driven by its own buttons.
type Converse struct {
	*Browser
	JID string // full address
}

// ConverseMessage is a message as Converse.js shows it.
type ConverseMessage struct {
	ID        string   `json:"id"`
	From      string   `json:"from"`
	Own       bool     `json:"own"`
	Text      string   `json:"text"`
	Edited    bool     `json:"edited"`
	Retracted bool     `json:"retracted"`
	Received  bool     `json:"received"` // has the mark of a receipt
	Reply     string   `json:"reply"`    // text of the message that it answers
	Error     string   `json:"error"`
	Reactions []string `json:"reactions"`
	Links     []string `json:"links"`
	Images    []string `json:"images"`
}

// ConverseOn logs the user in to a server with Options.Web by WebSocket and shows the page.
func ConverseOn(t TB, srv *Server, user string) *Converse {
	t.Helper()
	dist := converseFolder(t)
	c := &Converse{Browser: Chromium(t)}
	c.Open("http://" + servePages(t, srv.opts.Address, dist) + "/")
	account := srv.Account(user)
	path := map[string]string{kindProsody: "/xmpp-websocket", kindEjabberd: "/xmpp-websocket"}[srv.Kind]
	settings, err := json.Marshal(map[string]any{
		"authentication": "login", "auto_login": true, "jid": account.JID, "password": account.Password,
		"websocket_url": "ws://" + srv.HTTP + path, "discover_connection_methods": false,
		"view_mode": "fullscreen", "assets_path": "/dist/", "i18n": "en", "loglevel": "warn", "whitelisted_plugins": []string{"itest"},
		"allow_non_roster_messaging": true, "keepalive": false, "play_sounds": false, "show_desktop_notifications": false,
		"auto_register_muc_nickname": false, "enable_smacks": false, "allow_bookmarks": false, "omemo_default": false,
		"clear_cache_on_logout": true, "render_media": true,
	})
	if err != nil {
		t.Fatalf("converse: encode settings: %v", err)
	}
	c.Eval("drive.login("+string(settings)+")", &c.JID)
	return c
}

// converseFolder is where Converse.js is on this machine.
func converseFolder(t TB) string {
	t.Helper()
	dir := os.Getenv(ConverseEnv)
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatalf("converse: find cache folder: %v", err)
		}
		dir = filepath.Join(cache, "bridgehost", "converse.js-"+ConverseVersion)
	}
	if _, err := os.Stat(filepath.Join(dir, "dist", "converse.min.js")); err != nil {
		missing(t, "no dist/converse.min.js in %s", dir)
	}
	return filepath.Join(dir, "dist")
}

// servePages serves the page and Converse.js until the test ends.
func servePages(t TB, host, dist string) string {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatalf("converse: listen: %v", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/dist/", http.StripPrefix("/dist/", http.FileServer(http.Dir(dist))))
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, conversePages, "converse/index.html")
	})
	mux.HandleFunc("/drive.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, conversePages, "converse/drive.js")
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: WaitTimeout}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ends with the error that says it was closed
	}()
	t.Cleanup(func() {
		_ = server.Close() // nothing is lost
		<-done
	})
	return listener.Addr().String()
}

// js writes a call of a function of drive.js.
func js(function string, arguments ...string) string {
	quoted := make([]string, len(arguments))
	for i, a := range arguments {
		text, err := json.Marshal(a)
		if err != nil {
			panic(fmt.Sprintf("write %q: %v", a, err)) // a string always has an encoding
		}
		quoted[i] = string(text)
	}
	return fmt.Sprintf("drive.%s(%s)", function, strings.Join(quoted, ", "))
}

// OpenChat shows the chat with an address.
func (c *Converse) OpenChat(jid string) {
	c.t.Helper()
	c.Eval(js("open", jid), nil)
}

// JoinRoom enters a room and shows it.
func (c *Converse) JoinRoom(room, nick string) {
	c.t.Helper()
	c.Eval(js("join", room, nick), nil)
}

// TypeIn enters text in the chat's field without sending it, which sends a chat state.
func (c *Converse) TypeIn(jid, text string) {
	c.t.Helper()
	c.Eval(js("focus", jid), nil)
	c.Type(text)
}

// Send types a message in the open chat and presses enter. It returns the message once it is shown.
func (c *Converse) Send(jid, text string) ConverseMessage {
	c.t.Helper()
	c.TypeIn(jid, text)
	c.Enter()
	return c.WaitFor(jid, "own message "+text, func(m ConverseMessage) bool { return m.Own && m.Text == text })
}

// Edit changes an own message.
func (c *Converse) Edit(jid, id, text string) {
	c.t.Helper()
	c.Eval(js("edit", jid, id), nil)
	c.Type(text)
	c.Enter()
	c.WaitFor(jid, "edited message "+text, func(m ConverseMessage) bool { return m.ID == id && m.Text == text && m.Edited })
}

// Answer answers a message.
func (c *Converse) Answer(jid, id, text string) ConverseMessage {
	c.t.Helper()
	c.Eval(js("reply", jid, id), nil)
	c.Type(text)
	c.Enter()
	return c.WaitFor(jid, "own answer "+text, func(m ConverseMessage) bool { return m.Own && strings.HasSuffix(m.Text, text) })
}

// React presses a reaction of a message: one of those that Converse.js offers at once, such as "\U0001F44D".
func (c *Converse) React(jid, id, emoji string) {
	c.t.Helper()
	c.Eval(js("react", jid, id, emoji), nil)
}

// Retract takes back an own message.
func (c *Converse) Retract(jid, id string) {
	c.t.Helper()
	c.Eval(js("retract", jid, id), nil)
}

// Messages returns what the chat shows.
func (c *Converse) Messages(jid string) []ConverseMessage {
	c.t.Helper()
	var list []ConverseMessage
	c.Eval(js("messages", jid), &list)
	return list
}

// Typing returns what the chat says below its messages, such as that somebody is typing.
func (c *Converse) Typing(jid string) string {
	c.t.Helper()
	var text string
	c.Eval(js("typing", jid), &text)
	return text
}

// lookPause is the time between two looks at the page.
const lookPause = 50 * time.Millisecond

// WaitFor returns the first shown message that match accepts.
func (c *Converse) WaitFor(jid, what string, match func(ConverseMessage) bool) ConverseMessage {
	c.t.Helper()
	var found ConverseMessage
	c.Until(what+" in the chat with "+jid, func() bool {
		for _, m := range c.Messages(jid) {
			if match(m) {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

// Until looks again and again until look is true. It ends the test after WaitTimeout with a screenshot.
func (c *Converse) Until(what string, look func() bool) {
	c.t.Helper()
	ticker := time.NewTicker(lookPause)
	defer ticker.Stop()
	end := time.Now().Add(WaitTimeout)
	for !look() {
		if time.Now().After(end) {
			c.Shot("in-vain")
			c.t.Fatalf("converse as %s waited for %s in vain; console of the page: %q", c.JID, what, c.console())
		}
		<-ticker.C
	}
}
