package host

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bridgehost/host/internal/filter"
	"bridgehost/host/internal/gateway"
	"bridgehost/host/internal/intake"
	"bridgehost/host/internal/launch/proc"
	"bridgehost/host/internal/launch/wasm"
	"bridgehost/host/internal/obs"
	"bridgehost/host/internal/outbox"
	"bridgehost/host/internal/route"
	"bridgehost/host/internal/store/sqlite"
	"bridgehost/host/internal/supervise"
	"bridgehost/sdk"
	"bridgehost/sdk/web"
)

// open opens the database and makes the parts; close undoes it.
func (h *Host) open(ctx context.Context) error {
	data := h.config().DataDir()
	for _, dir := range []string{data, filepath.Join(data, "links")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make data folder: %w", err)
		}
	}
	reserve := int64(h.config().Host.DiskReserve)
	if reserve == 0 {
		reserve = -1 // none; to the database 0 means its own default
	}
	db, err := sqlite.Open(ctx, data, sqlite.Options{Now: h.opt.Now, Log: h.log, Reserve: reserve})
	if err != nil {
		return err
	}
	h.db, h.informer.store = db, db
	if h.runtime, err = proc.OpenRuntime(h.runtimeDir()); err != nil {
		return errors.Join(err, db.Close())
	}
	h.modules, err = wasm.NewHost(wasm.Options{Dir: filepath.Join(data, "wasm"), Now: h.opt.Now})
	if err != nil {
		return errors.Join(err, h.runtime.Close(), db.Close())
	}
	h.metrics = obs.New(h.opt.Version, obs.Gauges{Links: h.linkGauges, Queues: h.queueGauges, CertExpiry: h.certExpiry})
	h.outbox = outbox.New(outbox.Deps{Store: db, Archive: db, Inform: h.informer.inform, Observe: h.metrics.Delivery, Hears: h.informer.hears, Now: h.opt.Now, Log: h.log,
		Options: outbox.Options{MaxAge: time.Duration(h.config().Host.MaxAge), PoisonAfter: max(2, h.config().Host.CrashLimit-1)}})
	h.filters = filter.New(filter.Options{Now: h.opt.Now})
	h.sup = supervise.New(supervise.Options{
		Launcher:   &launcher{builtins: h.builtins, inProcess: h.opt.InProcess, runtime: h.runtime.Dir(), wasm: h.modules, log: h.log},
		Attachment: h, NewHost: h.newLinkHost, Crashes: h.config().Host.CrashLimit, Window: time.Duration(h.config().Host.CrashWindow), Pause: time.Duration(h.config().Host.CrashPause),
		Now: h.opt.Now, Log: h.log,
	})
	h.web = gateway.New(gateway.Options{TrustedProxies: h.config().HTTP.Proxies(), Observe: h.metrics.Request, Now: h.opt.Now, Log: h.log})
	h.intake = intake.New(intake.Deps{Store: db, Queue: h.outbox, Filters: h.filters, Places: places{h.sup},
		Observe: h.metrics.Published, Policy: h.metrics.Policy,
		Inform: h.informer.inform, Hears: h.informer.hears, Now: h.opt.Now, Log: h.log})
	h.intake.SetTable(table(h.config()))
	return nil
}

// close frees what open made.
func (h *Host) close() error {
	return errors.Join(h.modules.Close(context.Background()), h.runtime.Close(), h.db.Close())
}

// listenPublic opens the public listener, nil when there is none.
func (h *Host) listenPublic(ctx context.Context) (net.Listener, error) {
	l, err := listen(ctx, h.config().HTTP.Listen)
	if l == nil || err != nil || h.config().HTTP.Certificate == "" {
		return l, err
	}
	h.cert, err = gateway.LoadCertificate(h.config().HTTP.Certificate, h.config().HTTP.Key, h.log)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return tls.NewListener(l, &tls.Config{GetCertificate: h.cert.Get, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}), nil
}

// newLinkHost makes the view of the host for one link.
func (h *Host) newLinkHost(spec supervise.Spec, report func(...sdk.Report)) sdk.Host {
	log := h.log.With("link", spec.Link)
	return &linkHost{link: spec.Link, publish: h.intake.Publish, report: report, wake: h.outbox.Wake, resolve: h.resolve,
		reports: newReportLog(log, h.opt.Now), store: h.db.KV(spec.Link), log: log}
}

var _ supervise.Attachment = (*Host)(nil)

// Attach implements supervise.Attachment: it hands the facets of a link to
// those who use them.
func (h *Host) Attach(link sdk.LinkID, m sdk.Manifest, f sdk.Facets, handler web.Handler) error {
	if handler != nil {
		if err := h.web.Attach(link, handler); err != nil {
			return err
		}
	}
	if f.Filter != nil {
		h.filters.Attach(link, f.Filter, filter.AttachOptions{Emit: h.mayEmit(link)})
	}
	h.informer.attach(link, f.Informed)
	if f.Deliverer != nil {
		h.outbox.Attach(link, f.Deliverer, outbox.AttachOptions{BatchMax: m.BatchMax, GlobalIDs: m.GlobalIDs, HostOf: remoteHost})
	}
	h.web.Arrived(link)
	return nil
}

// remoteHost names the server whose breaker a place shares with others: that of
// a URL, such as https://example.org/inbox or inbox:https://example.org/inbox. A room or an account stands for itself, since its link reaches all of
// them over one connection of its own, and a room that refuses us says nothing
// about the other rooms of its server.
func remoteHost(id sdk.RemoteID) string {
	text := string(id)
	if kind, rest, ok := strings.Cut(text, ":"); ok && strings.Contains(rest, "://") && !strings.ContainsAny(kind, "/?#") {
		text = rest
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return string(id)
	}
	return u.Host
}

// Detach implements supervise.Attachment.
func (h *Host) Detach(link sdk.LinkID, why supervise.Leave) {
	if why == supervise.Gone {
		h.web.Detach(link)
		h.web.Arrived(link)
	} else {
		h.web.Suspend(link)
	}
	h.filters.Detach(link)
	h.informer.detach(link, why)
	if why == supervise.Crashed {
		h.outbox.Crashed(link)
	} else {
		h.outbox.Detach(link)
	}
}

// mayEmit tells to which places a filter's own events may go: those of routes
// that use the filter.
func (h *Host) mayEmit(link sdk.LinkID) func(sdk.Ref) bool {
	return func(ref sdk.Ref) bool {
		if _, _, ok := sdk.SplitPeerPlace(ref.ID); ok {
			return gateUses(gates(h.config()), ref.Link, link)
		}
		for _, r := range rules(h.config()) {
			if (r.From == ref || slices.Contains(r.To, ref)) &&
				slices.ContainsFunc(r.Filters, func(f route.FilterUse) bool { return f.Link == link }) {
				return true
			}
		}
		return false
	}
}

// gateUses reports whether a gateway with the link at one end uses the filter.
func gateUses(all []route.Gate, at, filter sdk.LinkID) bool {
	return slices.ContainsFunc(all, func(g route.Gate) bool {
		return slices.Contains(g.Links[:], at) && slices.ContainsFunc(g.Filters, func(f route.FilterUse) bool { return f.Link == filter })
	})
}

// places tells what links reported of their places.
type places struct{ sup *supervise.Supervisor }

// Place implements route.Places.
func (p places) Place(ref sdk.Ref) (sdk.Place, bool) {
	c, ok := p.sup.Capabilities(ref)
	return sdk.Place{Ref: ref, Capabilities: c}, ok
}

func (h *Host) certExpiry() time.Time {
	if h.cert == nil {
		return time.Time{}
	}
	return h.cert.Expiry()
}

func (h *Host) linkGauges() []obs.LinkGauge {
	var out []obs.LinkGauge
	for _, s := range h.sup.Status() {
		out = append(out, obs.LinkGauge{Link: string(s.Link), Up: s.State == sdk.StateUp, Restarts: s.Restarts})
	}
	return out
}

func (h *Host) queueGauges() []obs.QueueGauge {
	var out []obs.QueueGauge
	for _, q := range h.queues(context.Background()) {
		out = append(out, obs.QueueGauge{Link: q.Link, Depth: q.Depth, Oldest: q.Oldest, Dead: q.Dead})
	}
	return out
}
