package xmpp

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"bridgehost/plugins/xmpp/internal/doctor"
	"bridgehost/plugins/xmpp/internal/stream"
	"bridgehost/sdk"
	"bridgehost/sdk/netguard"
)

// Report is what Diagnose found. Its JSON form is stable.
type Report = doctor.Report

// Finding is one line of a Report.
type Finding = doctor.Finding

// Statuses of a Finding.
const (
	FindingOK   = doctor.OK
	FindingWarn = doctor.Warn
	FindingFail = doctor.Fail
	FindingSkip = doctor.Skip
)

// DiagnoseOptions are what a link's configuration does not say.
type DiagnoseOptions struct {
	Server   string       // domain of the server's users; default: the first of gateway.local_domains, else the parent of a component's domain
	C2S, S2S string       // host:port to examine in place of what DNS says
	Running  string       // state of the link in a running bridgehost; empty = none runs
	Broken   bool         // that state is not a good one
	Log      *slog.Logger // default: none
}

// Diagnose examines the server around a link: whether the link can connect, and
// whether the server has what the link needs. It connects in the link's own name
// unless bridgehost runs. An error is one of the configuration (*sdk.ConfigError).
func Diagnose(ctx context.Context, cfg sdk.Config, d DiagnoseOptions) (*Report, error) {
	s, err := parse(cfg)
	if err != nil {
		return nil, err
	}
	o := doctor.Options{
		Link: string(cfg.Link), Server: d.Server, C2S: d.C2S, S2S: d.S2S, Running: d.Running, Broken: d.Broken, Log: d.Log, Create: s.Create,
		Stream: stream.Options{
			Address: s.Address, CAFile: s.TLS.CAFile, ServerName: s.TLS.ServerName, Plaintext: s.TLS.Plaintext.allowed(),
			Software: stream.Software{Name: "bridgehost doctor", Version: Version},
		},
	}
	if s.TLS.Direct {
		o.Stream.Security = stream.DirectTLS
	}
	if s.Mode == modeComponent {
		o.Stream.Mode, o.Stream.Domain, o.Stream.Secret = stream.Component, s.Domain, s.Secret
	} else {
		o.Stream.Mode, o.Stream.Domain, o.Stream.User, o.Stream.Secret = stream.Client, s.account.Domainpart(), s.account.Localpart(), s.Password
	}
	if d.Server == "" {
		o.Server = s.server()
	}
	private, err := networks(s.Upload.Allow)
	if err != nil {
		return nil, &sdk.ConfigError{Faults: []sdk.Fault{{Key: "upload.allow", Problem: err.Error(), Remedy: `write for example "10.0.0.0/8"`}}}
	}
	o.Guard = netguard.New(private...)
	if s.TLS.CAFile != "" {
		if o.Roots, err = readRoots(s.TLS.CAFile); err != nil {
			return nil, &sdk.ConfigError{Faults: []sdk.Fault{{Key: "tls.ca_file", Problem: err.Error(), Remedy: "write the path of a PEM file"}}}
		}
	}
	o.Rooms, o.Nodes = placesOf(cfg.Places)
	return doctor.Run(ctx, o), nil
}

// readRoots reads the authorities that the operator named.
func readRoots(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", file)
	}
	return roots, nil
}

// placesOf gives the rooms and the pubsub services among a link's places.
func placesOf(places []sdk.PlaceUse) (rooms, services []string) {
	for _, p := range places {
		at, err := parsePlace(p.ID)
		switch {
		case err != nil, at.kind == placeChat:
		case at.kind == placeRoom:
			rooms = append(rooms, at.jid)
		case strings.Contains(at.jid, "@"): // a person's own nodes
		case !slices.Contains(services, at.jid):
			services = append(services, at.jid)
		}
	}
	return rooms, services
}
