package webhook

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"bridgehost/plugins/webhook/internal/jsonval"
	"bridgehost/plugins/webhook/internal/seal"
	"bridgehost/plugins/webhook/internal/tmpl"
	"bridgehost/sdk"
	"bridgehost/sdk/netguard"
	"bridgehost/sdk/settings"
)

// Defaults and bounds of a hook.
const (
	defaultPath     = "/post/"
	defaultMaxBody  = 1 << 20
	replayWindow    = 5 * time.Minute
	defaultUpdate   = 24 * time.Hour
	defaultTimeout  = 10 * time.Second
	maxNamesPerHook = 16_384
	maxHooks        = 1000
)

// options is the config table of a link.
type options struct {
	Path string                 `cfg:"path" doc:"path of the hooks on the public listener"`
	Hook map[string]hookOptions `cfg:"hook" doc:"incoming hooks by name; the name is the place"`
	Out  map[string]outOptions  `cfg:"out" doc:"outgoing hooks by name; the name is the place"`
}

// hookOptions is one table hook.NAME.
type hookOptions struct {
	Token        string   `cfg:"token,secret" doc:"token of the hook, behind the path or as bearer token"`
	Tokens       []string `cfg:"tokens,secret" doc:"further tokens, while one is being changed"`
	Name         string   `cfg:"name" doc:"display name; the name of the table when left out"`
	Format       string   `cfg:"format" doc:"json, yaml, text or template"`
	Template     string   `cfg:"template" doc:"ready template: alertmanager, gitea, github, grafana, uptime-kuma"`
	TemplateText string   `cfg:"template_text" doc:"template of your own"`

	Signature          string         `cfg:"signature" doc:"github, gitea, standard or generic; none when left out"`
	Secret             string         `cfg:"secret,secret" doc:"key of the signature"`
	Secrets            []string       `cfg:"secrets,secret" doc:"further keys, while one is being changed"`
	SignatureHeader    string         `cfg:"signature_header" doc:"generic: header that holds the signature"`
	SignaturePrefix    string         `cfg:"signature_prefix" doc:"generic: what stands before the signature"`
	SignatureAlgorithm string         `cfg:"signature_algorithm" doc:"generic: sha256 or sha512"`
	SignatureEncoding  string         `cfg:"signature_encoding" doc:"generic: hex or base64"`
	TimestampHeader    string         `cfg:"timestamp_header" doc:"generic: header with seconds since 1970; TIME.BODY is signed then"`
	ReplayWindow       *time.Duration `cfg:"replay_window" doc:"how old a signed message may be; 0s lets repeats pass" min:"0s" max:"30d"`

	MaxBody            settings.Size `cfg:"max_body" doc:"largest body" min:"1" max:"3MiB"`
	Rate               int           `cfg:"rate" doc:"messages in a minute; 0 = no bound" min:"0"`
	IdempotencyHeaders []string      `cfg:"idempotency_headers" doc:"headers that name a message"`
	UpdateKey          string        `cfg:"update_key" doc:"JSON pointers or header:NAME, separated by spaces; equal values update the earlier message"`
	UpdateWindow       time.Duration `cfg:"update_window" doc:"how long a message can be updated" min:"1s" max:"30d"`
	Events             []string      `cfg:"events" doc:"only these events, by the sender's event header"`
	Targets            int           `cfg:"targets" doc:"places that must have a message before ?wait answers 200" min:"1"`
}

// outOptions is one table out.NAME.
type outOptions struct {
	URL            string            `cfg:"url,required" doc:"where to post"`
	Secret         string            `cfg:"secret,secret" doc:"key of the Standard Webhooks signature"`
	Headers        map[string]string `cfg:"headers,secret" doc:"further headers"`
	Kinds          []string          `cfg:"kinds" doc:"only these kinds of change"`
	Timeout        time.Duration     `cfg:"timeout" doc:"bound of one request" min:"100ms" max:"5m"`
	AllowPrivate   bool              `cfg:"allow_private" doc:"lets the URL lead to private networks and this machine"`
	AllowAddresses []string          `cfg:"allow_addresses" doc:"addresses and prefixes that the URL may lead to although they are not public"`
}

// hook is one checked hook. It holds no token, only digests.
type hook struct {
	id           string
	name         string
	digests      [][32]byte
	format       string
	template     *tmpl.Template
	seal         *seal.Scheme
	window       time.Duration
	maxBody      int64
	rate         int
	idHeaders    []string
	updateKey    []keyPart // all of them together name an item; empty = no updates
	updateWindow time.Duration
	events       map[string]bool
	targets      int
}

// out is one checked outgoing hook.
type out struct {
	id      string
	url     *url.URL
	seal    *seal.Scheme
	headers map[string]string
	kinds   map[sdk.ChangeKind]bool
	timeout time.Duration
	guard   *netguard.Guard
	plain   bool // http may be used, since the operator opened addresses of its own
}

// config is a checked configuration.
type config struct {
	path  string
	hooks map[string]*hook
	outs  map[string]*out
}

var placeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// faults collects what is wrong.
type faults struct{ list []sdk.Fault }

func (f *faults) add(key, problem, remedy string) {
	f.list = append(f.list, sdk.Fault{Key: key, Problem: problem, Remedy: remedy})
}

// parseConfig checks the config table and reports all faults at once.
func parseConfig(data json.RawMessage) (*config, error) {
	o := options{Path: defaultPath}
	if len(bytes.TrimSpace(data)) == 0 {
		data = json.RawMessage("{}")
	}
	if err := settings.Decode(data, &o); err != nil {
		return nil, err // a *sdk.ConfigError, also with the faults that Validate found
	}
	c := &config{path: strings.TrimSuffix(o.Path, "/") + "/", hooks: map[string]*hook{}, outs: map[string]*out{}}
	f := &faults{}
	for name, h := range o.Hook {
		c.hooks[name] = newHook(f, name, &h)
	}
	for name, out := range o.Out {
		c.outs[name] = newOut(f, name, &out)
	}
	if len(f.list) > 0 { // Validate has seen the same tables
		return nil, &sdk.ConfigError{Faults: f.list}
	}
	return c, nil
}

// Validate implements settings.Validator: what concerns several tables.
func (o options) Validate() []sdk.Fault {
	f := &faults{}
	if !strings.HasPrefix(o.Path, "/") || strings.ContainsAny(o.Path, "?#% ") {
		f.add("path", "is no path", `write path = "/post/"`)
	}
	owner := map[string]string{}
	for _, name := range sortedKeys(o.Hook) {
		checkName(f, settings.Join("hook", name), name)
		for _, t := range append(o.Hook[name].Tokens, o.Hook[name].Token) {
			if other, taken := owner[t]; taken && t != "" {
				f.add(settings.Join("hook", name)+".token", "is also a token of hook "+other, "give each hook its own: openssl rand -hex 16")
			}
			owner[t] = name
		}
	}
	for _, name := range sortedKeys(o.Out) {
		checkName(f, settings.Join("out", name), name)
	}
	if len(o.Hook)+len(o.Out) == 0 {
		f.add("hook", "no hook is configured", `add [link.NAME.config.hook.grafana] with token = { env = "GRAFANA_TOKEN" }`)
	}
	if len(o.Hook) > maxHooks {
		f.add("hook", fmt.Sprintf("has more than %d hooks", maxHooks), "spread them over several links")
	}
	return f.list
}

// Validate implements settings.Validator.
func (s hookOptions) Validate() []sdk.Fault {
	f := &faults{}
	newHook(f, "hook", &s)
	return f.list
}

// Validate implements settings.Validator.
func (s outOptions) Validate() []sdk.Fault {
	f := &faults{}
	newOut(f, "out", &s)
	return f.list
}

func checkName(f *faults, key, name string) {
	if !placeName.MatchString(name) {
		f.add(key, "the name is a place's and may hold only letters, digits, dots, dashes and underscores (at most 64)", "rename it")
	}
}

func newHook(f *faults, name string, s *hookOptions) *hook {
	h := &hook{id: name, name: cmp.Or(strings.TrimSpace(s.Name), name), rate: s.Rate, targets: max(s.Targets, 1)}
	if strings.ContainsFunc(h.name, func(r rune) bool { return r < 0x20 || r == 0x7f }) || len(h.name) > 256 {
		f.add("name", "holds a control character or is longer than 256 bytes", "write a short name on one line")
	}
	h.tokens(f, s)
	h.shape(f, s)
	h.window, h.updateWindow = replayWindow, cmp.Or(s.UpdateWindow, defaultUpdate)
	if s.ReplayWindow != nil {
		h.window = *s.ReplayWindow
	}
	h.maxBody = int64(cmp.Or(s.MaxBody, defaultMaxBody))
	h.signature(f, s)
	h.keys(f, s)
	if len(s.Events) > 0 {
		h.events = map[string]bool{}
		for _, e := range s.Events {
			h.events[e] = true
		}
	}
	return h
}

// tokens keeps the digests of the tokens; the tokens themselves are dropped.
func (h *hook) tokens(f *faults, s *hookOptions) {
	list := s.Tokens
	if s.Token != "" {
		list = append([]string{s.Token}, list...)
	}
	if len(list) == 0 {
		f.add("token", "is missing", `write token = { env = "NAME" } and set NAME to the output of openssl rand -hex 16`)
	}
	for _, t := range list {
		switch {
		case len(t) < 8:
			f.add("token", "is shorter than 8 characters", "make one with openssl rand -hex 16")
		case strings.ContainsAny(t, "/?#% \t\r\n"):
			f.add("token", "holds a character that cannot stand in a path", "make one with openssl rand -hex 16")
		}
		h.digests = append(h.digests, sha256.Sum256([]byte(t)))
	}
}

// Formats of a hook.
const (
	formatJSON     = "json"
	formatYAML     = "yaml"
	formatText     = "text"
	formatTemplate = "template"
)

// shape settles format and template. A template that is named sets the format.
func (h *hook) shape(f *faults, s *hookOptions) {
	h.format = s.Format
	if h.format == "" {
		h.format = formatJSON
		if s.Template != "" || s.TemplateText != "" {
			h.format = formatTemplate
		}
	}
	formats := []string{formatJSON, formatYAML, formatText, formatTemplate}
	if !slices.Contains(formats, h.format) {
		f.add("format", fmt.Sprintf("%q is no format", h.format), "use one of "+strings.Join(formats, ", "))
		return
	}
	if h.format != formatTemplate {
		if s.Template != "" || s.TemplateText != "" {
			f.add("template", "has no effect with format "+h.format, `write format = "template", or leave the template out`)
		}
		return
	}
	var err error
	switch {
	case s.Template != "" && s.TemplateText != "":
		f.add("template", "both template and template_text are given", "keep one of them")
	case s.Template != "":
		h.template, err = tmpl.Ready(s.Template)
	case s.TemplateText != "":
		h.template, err = tmpl.New(h.id, s.TemplateText)
	default:
		f.add("template", "is missing", "use one of "+strings.Join(tmpl.Names(), ", ")+", or template_text")
	}
	if err != nil {
		f.add("template", err.Error(), "see the README of plugins/webhook for the functions")
	}
}

func (h *hook) signature(f *faults, s *hookOptions) {
	secrets := s.Secrets
	if s.Secret != "" {
		secrets = append([]string{s.Secret}, secrets...)
	}
	if s.Signature == "" {
		if len(secrets) > 0 || s.SignatureHeader != "" || s.TimestampHeader != "" {
			f.add("signature", "is missing, so that the secret would not be used", "write signature = one of "+strings.Join(seal.Schemes, ", "))
		}
		return
	}
	if s.Signature != seal.Generic && (s.SignatureHeader != "" || s.SignaturePrefix != "" || s.SignatureAlgorithm != "" || s.SignatureEncoding != "" || s.TimestampHeader != "") {
		f.add("signature", "signature_* and timestamp_header belong to the generic scheme", `write signature = "generic", or leave them out`)
	}
	scheme, err := seal.New(seal.Options{Scheme: s.Signature, Secrets: secrets, Window: h.window, Header: s.SignatureHeader, Prefix: s.SignaturePrefix,
		Algorithm: s.SignatureAlgorithm, Encoding: s.SignatureEncoding, TimeHeader: s.TimestampHeader})
	if err != nil {
		f.add("signature", err.Error(), "see the README of plugins/webhook")
	}
	h.seal = scheme
}

// defaultIDHeaders name one request in the ways that senders use.
var defaultIDHeaders = []string{"Idempotency-Key", "X-GitHub-Delivery", "X-Gitea-Delivery", "webhook-id"}

// keys settles idempotency headers and the update key.
func (h *hook) keys(f *faults, s *hookOptions) {
	list := s.IdempotencyHeaders
	if list == nil {
		list = defaultIDHeaders
	}
	for _, name := range list {
		if name == "" || strings.ContainsAny(name, " :\r\n") {
			f.add("idempotency_headers", fmt.Sprintf("%q is no name of a header", name), "write names such as Idempotency-Key")
		}
		h.idHeaders = append(h.idHeaders, http.CanonicalHeaderKey(name))
	}
	for part := range strings.FieldsSeq(s.UpdateKey) {
		if name, ok := strings.CutPrefix(part, "header:"); ok {
			h.updateKey = append(h.updateKey, keyPart{header: http.CanonicalHeaderKey(name)})
			continue
		}
		ptr, err := jsonval.ParsePointer(part)
		if err != nil {
			f.add("update_key", err.Error(), `write a JSON pointer such as "/groupKey", or "header:X-Name", or several of them`)
		}
		h.updateKey = append(h.updateKey, keyPart{pointer: ptr})
	}
}

// keyPart is where a part of an update key is found.
type keyPart struct {
	header  string
	pointer jsonval.Pointer // when header is empty
}

func newOut(f *faults, name string, s *outOptions) *out {
	o := &out{id: name, headers: map[string]string{}, timeout: cmp.Or(s.Timeout, defaultTimeout)}
	prefixes, err := netguard.ParseExceptions(s.AllowAddresses)
	if err != nil {
		f.add("allow_addresses", err.Error(), `write addresses or prefixes, such as "10.1.0.0/16"`)
	}
	if s.AllowPrivate {
		prefixes = append(prefixes, privatePrefixes...)
	}
	o.guard, o.plain = netguard.New(prefixes...), len(prefixes) > 0
	if o.url, err = url.Parse(s.URL); err != nil || s.URL == "" {
		f.add("url", "is no URL", `write url = "https://example.org/hook"`)
	} else if err := o.guard.CheckURL(o.url, o.plain); err != nil {
		f.add("url", err.Error(), "use https and a public address, or open your own addresses with allow_addresses")
	}
	if s.Secret != "" {
		secret := s.Secret
		if !strings.HasPrefix(secret, "whsec_") {
			secret = plainSecret(secret)
		}
		if o.seal, err = seal.New(seal.Options{Scheme: seal.Standard, Secrets: []string{secret}, Window: replayWindow}); err != nil {
			f.add("secret", err.Error(), "make one with openssl rand -hex 32")
		}
	}
	for k, v := range s.Headers {
		if k == "" || strings.ContainsAny(k, " :\r\n") || strings.ContainsAny(v, "\r\n") {
			f.add("headers", fmt.Sprintf("%q is no header", k), "write names and values on one line")
		}
		o.headers[k] = v
	}
	if len(s.Kinds) > 0 {
		o.kinds = map[sdk.ChangeKind]bool{}
	}
	for _, k := range s.Kinds {
		kind, ok := sdk.ParseChangeKind(k)
		if !ok {
			f.add("kinds", fmt.Sprintf("%q is no kind of change", k), "write kinds such as item-created")
		}
		o.kinds[kind] = true
	}
	return o
}

// privatePrefixes are what allow_private opens: addresses of one's own networks,
// but not link local ones, where clouds keep their metadata.
var privatePrefixes = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("fc00::/7"),
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
