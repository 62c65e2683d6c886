package doctor

import (
	"fmt"
	"net"
	"strings"

	"bridgehost/plugins/xmpp/internal/packet"
)

// prosody and ejabberd make a remedy for one kind of server.
func prosody(where string, lines ...string) Remedy {
	return Remedy{Server: kindProsody, Where: where, Lines: lines}
}

func ejabberd(where string, lines ...string) Remedy {
	return Remedy{Server: kindEjabberd, Where: where, Lines: lines}
}

// remark adds a sentence to a remedy.
func (m Remedy) remark(text string) Remedy {
	m.Remark = text
	return m
}

// beside is said where a list may stand already.
const beside = "If modules_enabled stands there already, add the names to it."

// modules is the line that enables Prosody's modules.
func modules(names ...string) string {
	return `modules_enabled = { "` + strings.Join(names, `", "`) + `" }`
}

// portOf takes host and port of an address apart, with a default port.
func portOf(address, port string) (string, string) {
	host, p, err := net.SplitHostPort(address)
	if err != nil {
		return address, port
	}
	return host, p
}

// portRemedies open the port that the link connects to.
func portRemedies(o *Options) []Remedy {
	if !o.component() {
		host, port := portOf(o.Stream.Address, "5222")
		return []Remedy{
			prosody("the global part", "c2s_ports = { "+port+" }"),
			ejabberd("listen:", "-", "  port: "+port, `  ip: "`+host+`"`, "  module: ejabberd_c2s", "  starttls: true"),
		}
	}
	return []Remedy{prosodyPort(o), prosodyComponent(o), ejabberdComponent(o)}
}

func prosodyPort(o *Options) Remedy {
	host, port := portOf(o.Stream.Address, "5347")
	return prosody("the global part", "component_ports = { "+port+" }", `component_interfaces = { "`+host+`" }`)
}

func prosodyComponent(o *Options) Remedy {
	return prosody("a section of its own, at the end", `Component "`+o.Stream.Domain+`"`, "\tcomponent_secret = "+hiddenSecret)
}

func ejabberdComponent(o *Options) Remedy {
	host, port := portOf(o.Stream.Address, "5347")
	return ejabberd("listen:", "-", "  port: "+port, `  ip: "`+host+`"`, "  module: ejabberd_service", "  access: all", "  hosts:",
		`    "`+o.Stream.Domain+`":`, "      password: "+hiddenSecret)
}

// hiddenSecret stands for the secret of the link, which no output repeats.
const hiddenSecret = `"SECRET"`

// secretRemedies make the server know the component and its secret.
func secretRemedies(o *Options) []Remedy {
	if !o.component() {
		return nil
	}
	text := "SECRET is the secret of link " + o.Link + "."
	return []Remedy{prosodyComponent(o).remark(text), ejabberdComponent(o).remark(text)}
}

// clientRemedies make the account or give it the password.
func clientRemedies(o *Options) []Remedy {
	return []Remedy{
		prosody("a shell", "prosodyctl passwd "+o.Stream.User+"@"+o.Stream.Domain),
		ejabberd("a shell", "ejabberdctl change_password "+o.Stream.User+" "+o.Stream.Domain+" PASSWORD"),
	}
}

// uploadRemedies give the server an upload service that the component may use.
func uploadRemedies(o *Options) []Remedy {
	out := []Remedy{prosody("a section of its own, at the end", `Component "upload.`+o.Server+`" "http_file_share"`).
		remark("It listens on Prosody's http_ports and https_ports; behind a proxy set http_external_url to the address that people see.")}
	e := ejabberd("modules:", "mod_http_upload:", `  put_url: "https://@HOST@:5443/upload"`)
	if o.component() {
		e.Lines = append(e.Lines, "  access:", "    - allow:", `      - server: "`+o.Stream.Domain+`"`, "    - allow:", `      - server: "`+o.Server+`"`)
	}
	listener := ejabberd("listen:", "-", "  port: 5443", "  module: ejabberd_http", "  tls: true", "  request_handlers:", "    /upload: mod_http_upload").
		remark("A listener that has request_handlers already needs the last line only.")
	return append(out, e, listener)
}

// archiveRemedies make a room keep an archive: its service has none, or the room does not use it.
func archiveRemedies(service, room string, serviceHas bool) []Remedy {
	if serviceHas {
		local, domain, _ := strings.Cut(room, "@")
		return []Remedy{
			prosody(`Component "`+service+`" "muc"`, "muc_log_by_default = true").remark("It holds for rooms where nobody decided; else the owner switches the archive on in the room's settings."),
			ejabberd("a shell", fmt.Sprintf("ejabberdctl change_room_option %s %s mam true", local, domain)),
		}
	}
	return []Remedy{
		prosody(`Component "`+service+`" "muc"`, modules("muc_mam")).remark(beside),
		ejabberd("modules:", "mod_mam: {}", "mod_muc:", "  default_room_options:", "    mam: true").
			remark("Rooms that exist already: ejabberdctl change_room_option ROOM SERVICE mam true"),
	}
}

// pubsubRemedies give the server a pubsub service that the bridge may use.
func pubsubRemedies(o *Options, service string) []Remedy {
	if service == "" {
		service = "pubsub." + o.Server
	}
	lines := []string{`Component "` + service + `" "pubsub"`, "\texpose_publisher = true"}
	if o.component() {
		lines = append(lines, "\tadmins = { \""+o.Stream.Domain+"\" }")
	}
	return []Remedy{
		prosody("a section of its own, at the end", lines...),
		ejabberd("modules:", "mod_pubsub:", "  access_createnode: all", `  plugins: ["flat", "pep"]`, "  default_node_config:", "    itemreply: publisher"),
	}
}

// grantRemedies grant privileges (XEP-0356) to the component.
func grantRemedies(o *Options) []Remedy {
	return []Remedy{
		prosody(`VirtualHost "`+o.Server+`"`, modules("privilege"),
			`privileged_entities = { ["`+o.Stream.Domain+`"] = {`,
			`	roster = "both"; message = "outgoing"; presence = "managed_entity";`,
			`	iq = { ["`+nsPubsub+`"] = "both"; ["`+nsPubsub+`#owner"] = "both" };`,
			`} }`).remark("mod_privilege is in Debian's package prosody-modules. " + beside),
		prosody(`Component "`+o.Stream.Domain+`"`, modules("privilege")),
		ejabberd("modules:", "mod_privilege:", "  roster:", "    both:", "      - allow:", `        - server: "`+o.Stream.Domain+`"`,
			"  message:", "    outgoing:", "      - allow:", `        - server: "`+o.Stream.Domain+`"`,
			"  presence:", "    managed_entity:", "      - allow:", `        - server: "`+o.Stream.Domain+`"`),
	}
}

// certificateRemedies give the server a certificate.
func certificateRemedies(domains ...string) []Remedy {
	names := strings.Join(domains, ", ")
	return []Remedy{
		prosody("a shell, as root", "prosodyctl --root cert import /etc/letsencrypt/live").remark("after a certificate for " + names + " was made or renewed there."),
		ejabberd("the top level", "certfiles:", `  - "/etc/letsencrypt/live/*/fullchain.pem"`, `  - "/etc/letsencrypt/live/*/privkey.pem"`).
			remark("after a certificate for " + names + " was made or renewed there; then: ejabberdctl reload_config"),
	}
}

// own reports whether a service belongs to the server that is examined.
func own(o *Options, address string) bool {
	j, err := packet.ParseJID(address)
	return err == nil && (j.Domainpart() == o.Server || strings.HasSuffix(j.Domainpart(), "."+o.Server))
}
