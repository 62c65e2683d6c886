package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/settings"
)

// config is the link's config table.
type config struct {
	Interval time.Duration `cfg:"interval" doc:"time between two lines" min:"1s" max:"24h"`
	Name     string        `cfg:"name" doc:"name of who tells the time" min:"1" max:"64"`
	File     string        `cfg:"file" doc:"what is delivered is appended to this file; empty = nothing may be delivered"`
}

// defaults is the configuration of an empty table.
func defaults() config { return config{Interval: time.Minute, Name: "Clock"} }

type plugin struct{}

var _ sdk.Plugin = plugin{}

// Describe implements sdk.Plugin.
func (plugin) Describe() sdk.Manifest {
	schema, err := settings.Schema(defaults())
	if err != nil {
		panic(err) // a defect of this file, found by its tests
	}
	return sdk.Manifest{
		ID: "clock", Version: "0.1.0", Description: "Tells the time, and writes down what it hears.",
		ContractMin: sdk.ContractVersionMin, ContractMax: sdk.ContractVersion,
		Takes:  []sdk.ChangeKind{sdk.KindItemCreated},
		Gives:  []sdk.ChangeKind{sdk.KindItemCreated},
		Facets: []string{"deliverer"},
		Schema: schema,
		Sample: "interval = \"1m\"\nfile = \"/var/lib/clock/heard.txt\"\n",
	}
}

// Open implements sdk.Plugin. It does no I/O: bridgehost check calls it too.
func (plugin) Open(cfg sdk.Config, h sdk.Host) (sdk.Link, error) {
	c := defaults()
	if err := settings.Decode(cfg.JSON, &c); err != nil {
		return nil, err
	}
	l := &link{config: c, host: h, now: time.Now}
	for _, p := range cfg.Places {
		if p.Source {
			l.places = append(l.places, p.ID)
		}
		if p.Target && c.File == "" {
			return nil, &sdk.ConfigError{Faults: []sdk.Fault{{Key: "file", Problem: "a route leads to " + string(p.ID) + ", and there is no file to write to",
				Remedy: `add file = "/var/lib/clock/heard.txt"`}}}
		}
	}
	return l, nil
}

// link is one clock.
type link struct {
	config config
	host   sdk.Host
	places []sdk.RemoteID
	now    func() time.Time

	mu   sync.Mutex // guards book: deliveries for several places come at the same time
	book *book
}

var (
	_ sdk.Link      = (*link)(nil)
	_ sdk.Deliverer = (*link)(nil)
)

// Run implements sdk.Link: it works until ctx ends.
func (l *link) Run(ctx context.Context) error {
	defer l.closeBook()
	if err := l.host.Report(ctx, sdk.Report{State: sdk.StateUp}); err != nil {
		return fmt.Errorf("report state: %w", err)
	}
	for {
		now := l.now()
		tick := now.Truncate(l.config.Interval)
		if err := l.tell(ctx, tick); err != nil && ctx.Err() == nil {
			// The host is short of something; the next tick comes anyway.
			l.host.Log().Warn("time was not published", "error", err)
		}
		timer := time.NewTimer(tick.Add(l.config.Interval).Sub(now))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// tell publishes the time of a tick. Dedup makes the same tick, told again after
// a restart, the same event.
func (l *link) tell(ctx context.Context, tick time.Time) error {
	stamp := tick.UTC().Format(time.RFC3339)
	var events []sdk.Event
	for _, place := range l.places {
		id := sdk.RemoteID(string(place) + "@" + stamp)
		events = append(events, sdk.Event{
			Time: tick, Place: sdk.Ref{ID: place}, Dedup: string(id),
			Actor: sdk.Actor{Home: sdk.Ref{ID: "clock"}, Kind: sdk.ActorService, Name: l.config.Name},
			Change: sdk.ItemCreated{Item: sdk.Item{
				Origin: sdk.Ref{ID: id}, Text: sdk.NewText("It is " + stamp), Created: tick,
			}},
		})
	}
	if len(events) == 0 {
		return nil
	}
	return l.host.Publish(ctx, events...)
}

// Deliver implements sdk.Deliverer. A receipt without an error promises that the
// line is on disk.
func (l *link) Deliver(_ context.Context, batch []sdk.Delivery) ([]sdk.Receipt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	receipts := make([]sdk.Receipt, len(batch))
	var failed *sdk.Error
	for i := range batch {
		receipts[i] = sdk.Receipt{Delivery: batch[i].ID}
		if failed != nil { // what comes after it must wait for it
			receipts[i].Err, receipts[i].Unsent = failed, true
			continue
		}
		failed = l.write(&batch[i], &receipts[i])
		receipts[i].Err = failed
	}
	if l.book != nil {
		if err := l.book.sync(); err != nil {
			return nil, &sdk.Error{Op: "deliver", Kind: sdk.Transient, Err: err}
		}
	}
	return receipts, nil
}

// write adds one delivery to the book and says what was lost.
func (l *link) write(d *sdk.Delivery, r *sdk.Receipt) *sdk.Error {
	item := d.Event.Item()
	if item == nil || d.Event.Kind() != sdk.KindItemCreated {
		r.Loss = []sdk.Loss{{Kind: sdk.LossKindless, Detail: "a file only grows"}}
		return nil
	}
	if err := l.openBook(); err != nil {
		r.Unsent = true
		return &sdk.Error{Op: "deliver", Kind: sdk.Transient, Err: err}
	}
	// After a crash in the wrong moment the same delivery comes again, and the
	// line may be there already.
	if !d.Uncertain || !l.book.has(d.ID) {
		author := d.Event.Actor.Name
		if author == "" {
			author = d.Event.Actor.Handle
		}
		if err := l.book.add(d.ID, d.Event.Time, d.Place, author, item.Body()); err != nil {
			l.closeLocked() // half a line may be there; opening it again repairs that
			return &sdk.Error{Op: "deliver", Kind: sdk.Transient, Err: err}
		}
	}
	r.Copies = []sdk.Copy{{Item: item.ID, Remote: sdk.RemoteID(d.ID)}}
	if len(item.Media) > 0 {
		r.Loss = append(r.Loss, sdk.Loss{Kind: sdk.LossMedia, Detail: "files are left out"})
	}
	if item.Text != nil && len(item.Text.Spans) > 0 {
		r.Loss = append(r.Loss, sdk.Loss{Kind: sdk.LossMarkup})
	}
	return nil
}

// openBook opens the file at the first delivery. The caller holds mu.
func (l *link) openBook() (err error) {
	if l.book == nil {
		l.book, err = openBook(l.config.File)
	}
	return err
}

// closeBook closes the file.
func (l *link) closeBook() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closeLocked()
}

func (l *link) closeLocked() {
	if l.book != nil {
		if err := l.book.close(); err != nil {
			l.host.Log().Warn("file was not closed", "error", err)
		}
		l.book = nil
	}
}

// oneLine keeps a field from becoming several.
func oneLine(s string) string {
	return strings.NewReplacer("\\", `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s)
}
