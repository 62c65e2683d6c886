package webhook

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"bridgehost/sdk"
	"bridgehost/sdk/netguard"
)

// sender posts the deliveries of one outgoing hook.
type sender struct {
	out    *out
	link   sdk.LinkID
	client *http.Client
	now    func() time.Time
}

func newSenders(link sdk.LinkID, outs map[string]*out, now func() time.Time) map[sdk.RemoteID]*sender {
	m := map[sdk.RemoteID]*sender{}
	for name, o := range outs {
		m[sdk.RemoteID(name)] = &sender{out: o, link: link, now: now, client: &http.Client{
			Transport:     o.guard.Transport(o.timeout),
			CheckRedirect: o.guard.Redirects(0, o.plain),
			Timeout:       o.timeout,
		}}
	}
	return m
}

// plainSecret gives a secret that is no base64 the form that Standard Webhooks wants.
func plainSecret(s string) string { return "whsec_" + base64.StdEncoding.EncodeToString([]byte(s)) }

// Deliver implements sdk.Deliverer: one POST for each delivery, in order. After
// a temporary error the rest of the batch stays unsent.
func (l *link) Deliver(ctx context.Context, batch []sdk.Delivery) ([]sdk.Receipt, error) {
	receipts := make([]sdk.Receipt, 0, len(batch))
	var stop *sdk.Error
	for i := range batch {
		d := &batch[i]
		if stop != nil {
			receipts = append(receipts, sdk.Receipt{Delivery: d.ID, Err: stop, Unsent: true})
			continue
		}
		s := l.senders[d.Place]
		if s == nil {
			receipts = append(receipts, sdk.Receipt{Delivery: d.ID, Unsent: true,
				Err: sdk.Errorf(sdk.NotFound, "deliver to "+string(d.Place), "there is no out.%s in the configuration", d.Place)})
			continue
		}
		r := s.withinDeadline(ctx, d)
		if r.Err != nil && r.Err.Kind.Temporary() {
			stop = r.Err
		}
		receipts = append(receipts, r)
	}
	return receipts, nil
}

// withinDeadline posts one delivery as long as the host waits for its receipt;
// a receipt that comes later would be lost, and the message sent twice.
func (s *sender) withinDeadline(ctx context.Context, d *sdk.Delivery) sdk.Receipt {
	if !d.Deadline.IsZero() {
		end := d.Deadline.Add(-receiptTime)
		if !s.now().Before(end) {
			return sdk.Receipt{Delivery: d.ID, Unsent: true, Err: sdk.Errorf(sdk.Transient, "post to "+s.out.url.Host, "no time is left in this batch")}
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, end.Sub(s.now()))
		defer cancel()
	}
	return s.deliver(ctx, d)
}

// receiptTime is kept back from a delivery's deadline for the way of the receipt.
const receiptTime = 500 * time.Millisecond

// deliver posts one delivery.
func (s *sender) deliver(ctx context.Context, d *sdk.Delivery) sdk.Receipt {
	r := sdk.Receipt{Delivery: d.ID}
	if !s.wants(d.Event.Kind()) {
		r.Loss = []sdk.Loss{{Kind: sdk.LossKindless, Detail: "the outgoing hook does not take " + d.Event.Kind().String()}}
		return r
	}
	doc, loss := document(sdk.Ref{Link: s.link, ID: d.Place}, d)
	body, err := json.Marshal(doc)
	if err != nil {
		r.Err, r.Unsent = sdk.Errorf(sdk.Internal, "encode delivery "+string(d.ID), "%w", err), true
		return r
	}
	r.Loss = loss
	if e, unsent := s.post(ctx, string(d.ID), d.Event.Kind(), body); e != nil && !taken(d, e) {
		r.Err, r.Unsent, r.Loss = e, unsent, nil
		return r
	}
	if item := d.Event.Item(); item != nil && d.Event.Kind() == sdk.KindItemCreated {
		// The receiver knows the item by the host's id, which is in the document.
		r.Copies = []sdk.Copy{{Item: item.ID, Remote: sdk.RemoteID(item.ID)}}
	}
	return r
}

// wants: signals only when they are asked for by name.
func (s *sender) wants(k sdk.ChangeKind) bool {
	if s.out.kinds != nil {
		return s.out.kinds[k]
	}
	return k != sdk.KindSignal
}

// post sends the body. The delivery's id is the same at every attempt, so that
// the receiver can drop a repeat (Standard Webhooks, webhook-id).
func (s *sender) post(ctx context.Context, id string, kind sdk.ChangeKind, body []byte) (e *sdk.Error, unsent bool) {
	op := "post to " + s.out.url.Host
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.out.url.String(), bytes.NewReader(body))
	if err != nil {
		return sdk.Errorf(sdk.Internal, op, "%w", err), true
	}
	req.Header.Set("User-Agent", "bridgehost/"+Version)
	for k, v := range s.out.headers {
		req.Header.Set(k, v)
	}
	now := s.now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("Idempotency-Key", id)
	req.Header.Set("X-Event-Type", kind.String())
	if s.out.seal != nil {
		for k, v := range s.out.seal.Sign(id, body, now) {
			req.Header.Set(k, v)
		}
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return transportError(op, err)
	}
	defer func() { _ = resp.Body.Close() }() // the answer has been read, or no longer matters
	// A short answer is read so that the connection can be used again.
	if _, err := io.CopyN(io.Discard, resp.Body, 64<<10); err != nil && !errors.Is(err, io.EOF) && resp.StatusCode >= 300 {
		return sdk.Errorf(sdk.Transient, op, "read the answer: %w", err), false
	}
	return statusError(op, resp, now), false
}

// taken reports that the receiver refuses a repeat because an earlier attempt
// arrived, as our own hooks do.
func taken(d *sdk.Delivery, e *sdk.Error) bool {
	return e.Kind == sdk.Conflict && (d.Attempt > 1 || d.Uncertain)
}

// transportError sorts what went wrong before there was an answer. The URL may
// hold a token, so that only the cause is kept of an url.Error.
func transportError(op string, err error) (*sdk.Error, bool) {
	var ue interface{ Unwrap() error }
	if errors.As(err, &ue) {
		if inner := ue.Unwrap(); inner != nil {
			err = inner
		}
	}
	var dial *net.OpError
	switch {
	case errors.Is(err, netguard.ErrBlockedAddr):
		return &sdk.Error{Op: op, Kind: sdk.Forbidden, Public: "the address is not on the public internet", Err: err}, true
	case errors.As(err, &dial) && dial.Op == "dial":
		return &sdk.Error{Op: op, Kind: sdk.Transient, Err: err}, true
	default:
		return &sdk.Error{Op: op, Kind: sdk.Transient, Err: err}, false
	}
}

// statusError sorts an answer: nil for 2xx; temporary for 408, 425, 429 and
// 5xx, with the receiver's Retry-After; else permanent.
func statusError(op string, resp *http.Response, now time.Time) *sdk.Error {
	code := resp.StatusCode
	if code >= 200 && code < 300 {
		return nil
	}
	e := &sdk.Error{Op: op, Kind: sdk.Invalid, Err: fmt.Errorf("answered %d %s", code, http.StatusText(code))}
	switch {
	case code == http.StatusTooManyRequests:
		e.Kind, e.After = sdk.RateLimited, retryAfter(resp.Header.Get("Retry-After"), now)
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code >= 500:
		e.Kind, e.After = sdk.Transient, retryAfter(resp.Header.Get("Retry-After"), now)
		if e.After > 0 {
			e.Kind = sdk.RateLimited
		}
	case code == http.StatusGone:
		e.Kind = sdk.Gone
	case code == http.StatusNotFound:
		e.Kind = sdk.NotFound
	case code == http.StatusUnauthorized:
		e.Kind = sdk.Unauthorized
	case code == http.StatusForbidden:
		e.Kind = sdk.Forbidden
	case code == http.StatusConflict:
		e.Kind = sdk.Conflict
	case code == http.StatusRequestEntityTooLarge:
		e.Kind = sdk.TooLarge
	case code >= 300 && code < 400:
		e.Err = fmt.Errorf("answered %d with a redirect, which is not followed; configure the new URL", code)
	}
	return e
}

// maxRetryAfter bounds what a receiver may ask for.
const maxRetryAfter = 24 * time.Hour

// retryAfter reads seconds or a date (RFC 9110 §10.2.3); 0 = not said.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(s); err == nil && n > 0 {
		return min(time.Duration(min(n, int(maxRetryAfter/time.Second)))*time.Second, maxRetryAfter)
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(0, min(t.Sub(now), maxRetryAfter))
	}
	return 0
}
