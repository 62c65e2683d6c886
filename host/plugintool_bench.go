package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/codec/eventjson"
)

// BenchResult tells how long a plugin takes.
type BenchResult struct {
	Start time.Duration `json:"start"` // until the first link was open, compiled anew
	Calls int           `json:"calls"` // events
	Mean  time.Duration `json:"mean"`  // of one event, with the way over the border
	Worst time.Duration `json:"worst"` // of one batch, divided by its events
}

// benchBatch is the count of events in one call of Filter.
const benchBatch = 64

// BenchPlugin sends the events of vectors through a filter again and again, for
// about that time, with limits on, and tells what one takes. The configuration
// is that of the first vector with an event.
func BenchPlugin(ctx context.Context, path string, vectors []Vector, during time.Duration, opt TestOptions) (out BenchResult, err error) {
	var events []sdk.Event
	log := opt.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	run := &vectorRun{host: &benchHost{log: log, values: map[string][]byte{}}}
	var config []byte
	for _, v := range vectors {
		if v.Event == nil || v.Want.Error != "" {
			continue
		}
		e, err := eventjson.Unmarshal(v.Event)
		if err != nil {
			return out, err
		}
		if len(events) == 0 {
			config = v.Config
		}
		events = append(events, e)
	}
	if len(events) == 0 {
		return out, errors.New("bench plugin: the vectors hold no event")
	}
	start := time.Now()
	if run.bench, err = openBench(ctx, path, opt.Time, run.host.log); err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, run.end(), run.bench.Close()) }()
	if err := run.open(ctx, config); err != nil {
		return out, err
	}
	if run.filter == nil {
		return out, errors.New("bench plugin: it is no filter")
	}
	out.Start = time.Since(start)
	batch := make([]sdk.Event, benchBatch)
	for i := range batch {
		batch[i] = events[i%len(events)]
	}
	begin := time.Now()
	for time.Since(begin) < during && ctx.Err() == nil {
		at := time.Now()
		if _, err := run.filter.Filter(ctx, batch); err != nil {
			return out, fmt.Errorf("bench plugin after %d events: %w", out.Calls, err)
		}
		out.Worst = max(out.Worst, time.Since(at)/benchBatch)
		out.Calls += benchBatch
	}
	out.Mean = time.Since(begin) / time.Duration(max(out.Calls, 1))
	return out, nil
}
