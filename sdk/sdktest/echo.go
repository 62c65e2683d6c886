package sdktest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/web"
)

// Echo is a plugin with every facet, for tests of transports and hosts. What is
// delivered gets a receipt and is published again in place "echo"; its commands
// (see Command) make it misbehave.
type Echo struct{}

// EchoConfig is the configuration of Echo.
type EchoConfig struct {
	Prefix string `json:"prefix"` // of what it publishes; may not contain a space
}

var _ sdk.Plugin = Echo{}

// Describe implements sdk.Plugin.
func (Echo) Describe() sdk.Manifest {
	return sdk.Manifest{
		ID: "echo", Version: "1.0.0", Description: "Repeats what it hears.",
		ContractMin: sdk.ContractVersionMin, ContractMax: sdk.ContractVersion,
		Takes:     []sdk.ChangeKind{sdk.KindItemCreated, sdk.KindItemUpdated},
		Gives:     []sdk.ChangeKind{sdk.KindItemCreated},
		Facets:    []string{"deliverer", "filter", "placer", "informed", "resolver", "backfiller", "commander", "web"},
		Abilities: []string{"log", "kv"},
		Schema:    json.RawMessage(`{"type":"object","properties":{"prefix":{"type":"string"}}}`),
		Sample:    "prefix = \"re:\"\n",
		Commands:  []sdk.CommandInfo{{Name: "say", Usage: "say TEXT", Help: "Answers the text."}},
	}
}

// Open implements sdk.Plugin.
func (Echo) Open(cfg sdk.Config, h sdk.Host) (sdk.Link, error) {
	var c EchoConfig
	if len(cfg.JSON) > 0 {
		if err := json.Unmarshal(cfg.JSON, &c); err != nil {
			return nil, &sdk.ConfigError{Faults: []sdk.Fault{{Key: "", Problem: err.Error(), Remedy: `prefix = "re:"`}}}
		}
	}
	if strings.Contains(c.Prefix, " ") {
		return nil, &sdk.ConfigError{Faults: []sdk.Fault{
			{Key: "prefix", Problem: "contains a space", Remedy: `prefix = "re:"`},
			{Key: "prefix", Problem: "is not what it should be"},
		}}
	}
	return &echoLink{config: c, host: h}, nil
}

type echoLink struct {
	config EchoConfig
	host   sdk.Host
}

var (
	_ sdk.Deliverer  = (*echoLink)(nil)
	_ sdk.Filter     = (*echoLink)(nil)
	_ sdk.Placer     = (*echoLink)(nil)
	_ sdk.Informed   = (*echoLink)(nil)
	_ sdk.Resolver   = (*echoLink)(nil)
	_ sdk.Backfiller = (*echoLink)(nil)
	_ sdk.Commander  = (*echoLink)(nil)
	_ web.Handler    = (*echoLink)(nil)
)

// Run implements sdk.Link.
func (l *echoLink) Run(ctx context.Context) error {
	if err := l.host.Report(ctx, sdk.Report{State: sdk.StateUp, Reason: "echo runs"}); err != nil {
		return fmt.Errorf("run echo: %w", err)
	}
	<-ctx.Done()
	return nil
}

// Deliver implements sdk.Deliverer. A delivery to place "busy" fails for now,
// one to place "gone" for ever.
func (l *echoLink) Deliver(ctx context.Context, batch []sdk.Delivery) ([]sdk.Receipt, error) {
	receipts := make([]sdk.Receipt, len(batch))
	for i := range batch {
		d := &batch[i]
		receipts[i] = sdk.Receipt{Delivery: d.ID}
		switch d.Place {
		case "busy":
			receipts[i].Err = &sdk.Error{Op: "deliver", Kind: sdk.RateLimited, Public: "slow down", After: 3 * time.Second}
			receipts[i].Unsent = true
			continue
		case "gone":
			receipts[i].Err = sdk.Errorf(sdk.Gone, "deliver", "the place is gone")
			continue
		case "sink":
		default:
			if err := l.repeat(ctx, d); err != nil {
				return receipts[:i], err
			}
		}
		if it := d.Event.Item(); it != nil {
			receipts[i].Copies = []sdk.Copy{{Item: it.ID, Remote: sdk.RemoteID("copy-" + string(d.ID))}}
		}
	}
	return receipts, nil
}

func (l *echoLink) repeat(ctx context.Context, d *sdk.Delivery) error {
	text := l.config.Prefix
	if it := d.Event.Item(); it != nil {
		text += it.Body()
	}
	return l.host.Publish(ctx, sdk.Event{
		Time: d.Event.Time, Place: sdk.Ref{ID: "echo"}, Actor: sdk.Actor{Home: sdk.Ref{ID: "echo"}, Name: "Echo"},
		Dedup: "echo-" + string(d.ID), Change: sdk.ItemCreated{Item: sdk.Item{
			Origin: sdk.Ref{ID: sdk.RemoteID("echo-" + string(d.ID))}, Text: sdk.NewText(text)}},
	})
}

// Filter implements sdk.Filter: it writes items in capitals and drops those
// that say "drop".
func (l *echoLink) Filter(_ context.Context, events []sdk.Event) ([]sdk.Verdict, error) {
	verdicts := make([]sdk.Verdict, len(events))
	for i := range events {
		it := events[i].Item()
		switch {
		case it == nil || it.Text == nil:
		case it.Body() == "drop":
			verdicts[i] = sdk.Verdict{Verb: sdk.Drop, Reason: "asked to"}
		default:
			out := *it
			out.Text = sdk.NewText(strings.ToUpper(it.Body()))
			changed := events[i].WithItem(out)
			verdicts[i] = sdk.Verdict{Verb: sdk.Replace, Event: &changed}
		}
	}
	return verdicts, nil
}

// SetPlaces implements sdk.Placer: it stores how many places there are.
func (l *echoLink) SetPlaces(ctx context.Context, places []sdk.PlaceUse) error {
	return l.host.Store().Set(ctx, "places", []byte(strconv.Itoa(len(places))))
}

// Inform implements sdk.Informed: it stores the reason of each outcome under
// the key of its event.
func (l *echoLink) Inform(ctx context.Context, outcomes []sdk.Outcome) error {
	for _, o := range outcomes {
		if err := l.host.Store().Set(ctx, "outcome/"+o.Dedup, []byte(o.Reason)); err != nil {
			return err
		}
	}
	return nil
}

// Resolve implements sdk.Resolver: it knows all but "nobody".
func (l *echoLink) Resolve(_ context.Context, address string) (sdk.Resolved, error) {
	if address == "nobody" {
		return sdk.Resolved{}, &sdk.Error{Op: "resolve nobody", Kind: sdk.NotFound, Public: "there is no such person"}
	}
	return sdk.Resolved{Actor: &sdk.Actor{Home: sdk.Ref{ID: sdk.RemoteID(address)}, Name: address}}, nil
}

// Backfill implements sdk.Backfiller: it publishes limit items.
func (l *echoLink) Backfill(ctx context.Context, place sdk.RemoteID, since time.Time, limit int) (int, error) {
	for i := range limit {
		name := fmt.Sprintf("back-%s-%d", place, i)
		err := l.host.Publish(ctx, sdk.Event{
			Time: since.Add(time.Duration(i+1) * time.Second), Place: sdk.Ref{ID: place}, Dedup: name,
			Actor:  sdk.Actor{Home: sdk.Ref{ID: "echo"}},
			Change: sdk.ItemCreated{Item: sdk.Item{Origin: sdk.Ref{ID: sdk.RemoteID(name)}, Text: sdk.NewText(name)}},
		})
		if err != nil {
			return i, err
		}
	}
	return limit, nil
}

// Command implements sdk.Commander. The commands:
//
//	say WORD…    answers the words
//	fail KIND    fails with that number of sdk.Kind, Public "public", After 7 s
//	hang         does not answer before its context ends
//	stuck        never answers
//	panic        panics
//	exit         ends the process with status 7
//	env          answers the process's environment, a line each
//	pid          answers the process's id
//	log WORD     logs the word at level info
//	print WORD   prints the word on standard output and standard error
//	get KEY, set KEY VALUE, keys PREFIX   use the host's store
//	publish N    publishes N items, one after the other
func (l *echoLink) Command(ctx context.Context, call sdk.Invocation) (string, error) {
	arg := strings.Join(call.Args, " ")
	switch call.Name {
	case "say":
		return arg, nil
	case "pid":
		return strconv.Itoa(os.Getpid()), nil
	case "env":
		return strings.Join(os.Environ(), "\n"), nil
	case "log":
		l.host.Log().InfoContext(ctx, arg, slog.Group("where", "line", 42))
		return "", nil
	case "print":
		fmt.Println(arg)
		fmt.Fprintln(os.Stderr, arg)
		return "", nil
	case "get":
		v, err := l.host.Store().Get(ctx, arg)
		return fmt.Sprintf("%t %s", v != nil, v), err
	case "set":
		return "", l.host.Store().Set(ctx, call.Args[0], []byte(call.Args[1]))
	case "keys":
		keys, err := l.host.Store().Keys(ctx, arg, "")
		return strings.Join(keys, " "), err
	case "publish":
		n, err := strconv.Atoi(arg)
		if err == nil {
			_, err = l.Backfill(ctx, "echo", time.Unix(0, 0), n)
		}
		return "", err
	default:
		return misbehave(ctx, call.Name, arg)
	}
}

func misbehave(ctx context.Context, name, arg string) (string, error) {
	switch name {
	case "fail":
		n, err := strconv.Atoi(arg)
		if err != nil {
			return "", sdk.Errorf(sdk.Invalid, "fail", "%w", err)
		}
		return "", fmt.Errorf("wrapped: %w", &sdk.Error{Op: "fail on demand", Kind: sdk.Kind(n), Public: "public",
			After: 7 * time.Second, Err: fmt.Errorf("kind %d", n)})
	case "hang":
		<-ctx.Done()
		return "", ctx.Err()
	case "stuck":
		select {}
	case "panic":
		panic("echo was asked to panic")
	case "exit":
		os.Exit(7)
	}
	return "", &sdk.Error{Op: "command " + name, Kind: sdk.NotFound, Public: "there is no such command"}
}

// WebRoutes implements web.Handler.
func (l *echoLink) WebRoutes() []web.Route {
	return []web.Route{{Prefix: "/echo", Methods: []string{"POST"}, MaxBody: 1 << 20, Tokens: [][32]byte{{1, 2, 3}}}}
}

// ServeWeb implements web.Handler: it answers the request's body.
func (l *echoLink) ServeWeb(_ context.Context, r *web.Request) (*web.Response, error) {
	return &web.Response{Status: 200, Header: map[string][]string{"Content-Type": r.Header["Content-Type"],
		"X-Client": {r.Client.String()}}, Body: r.Body}, nil
}
