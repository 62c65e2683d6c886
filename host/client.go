package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"bridgehost/host/config"
	"bridgehost/host/internal/admin"
	"bridgehost/host/internal/store/sqlite"
)

// QueueFilter selects deliveries; see Client.
type QueueFilter = admin.QueueFilter

// Client asks a running host by its admin listener. When none runs, the verbs
// that need no running host open the database of the data folder themselves.
type Client struct {
	cfg  *config.Config
	base string
	http *http.Client
}

// NewClient makes a client for the host of a configuration.
func NewClient(cfg *config.Config) (*Client, error) {
	if cfg.Admin.Listen == "" {
		return &Client{cfg: cfg}, nil
	}
	host, port, err := net.SplitHostPort(cfg.Admin.Listen)
	if err != nil {
		return nil, fmt.Errorf("admin address: %w", err)
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return &Client{cfg: cfg, base: "http://" + net.JoinHostPort(host, port), http: &http.Client{Timeout: 30 * time.Second}}, nil
}

// errNotRunning says that nothing answers at the admin address.
var errNotRunning = errors.New("no bridgehost answers at the admin address of this configuration; start it with: bridgehost run")

// call asks the listener and decodes the answer.
func (c *Client) call(ctx context.Context, method, path string, body, into any) error {
	if c.base == "" {
		return errors.New("the configuration has no [admin] listen, so a running host cannot be asked; add it")
	}
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, in)
	if err != nil {
		return err
	}
	req.Header.Set("X-Bridgehost", "1")
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return errNotRunning
		}
		return fmt.Errorf("ask the running host: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("ask the running host: %w", err)
	}
	if resp.StatusCode >= 400 {
		var fault struct{ Error string }
		if json.Unmarshal(text, &fault) == nil && fault.Error != "" {
			return errors.New(fault.Error)
		}
		return fmt.Errorf("the running host answers %s", resp.Status)
	}
	return json.Unmarshal(text, into)
}

// offline opens the database when no host runs, and runs f on it.
func (c *Client) offline(ctx context.Context, err error, f func(db *sqlite.DB) error) error {
	if c.base != "" && !errors.Is(err, errNotRunning) {
		return err
	}
	db, openErr := sqlite.Open(ctx, c.cfg.DataDir(), sqlite.Options{Reserve: -1})
	if openErr != nil {
		return errors.Join(err, openErr)
	}
	return errors.Join(f(db), db.Close())
}

// Status asks for the state of the running host.
func (c *Client) Status(ctx context.Context) (*admin.Status, error) {
	st := &admin.Status{}
	return st, c.call(ctx, http.MethodGet, "/status?format=json", nil, st)
}

// Queue lists deliveries.
func (c *Client) Queue(ctx context.Context, f QueueFilter) (rows []admin.QueueRow, err error) {
	q := url.Values{"link": {f.Link}, "place": {f.Place}, "limit": {strconv.Itoa(f.Limit)}, "id": f.IDs}
	if f.Dead {
		q.Set("dead", "1")
	}
	err = c.call(ctx, http.MethodGet, "/api/queue?"+q.Encode(), nil, &rows)
	if err != nil {
		err = c.offline(ctx, err, func(db *sqlite.DB) (err error) {
			rows, err = listQueue(ctx, db, f)
			return err
		})
	}
	return rows, err
}

// Retry makes deliveries due now and returns how many.
func (c *Client) Retry(ctx context.Context, f QueueFilter) (int, error) {
	return c.change(ctx, "/api/queue/retry", f)
}

// Drop removes deliveries for good and returns how many.
func (c *Client) Drop(ctx context.Context, f QueueFilter) (int, error) {
	return c.change(ctx, "/api/queue/drop", f)
}

func (c *Client) change(ctx context.Context, path string, f QueueFilter) (int, error) {
	var out struct{ Changed int }
	err := c.call(ctx, http.MethodPost, path, f, &out)
	return out.Changed, err
}

// Explain tells the life of an item.
func (c *Client) Explain(ctx context.Context, item string) (e *admin.Explanation, err error) {
	e = &admin.Explanation{}
	err = c.call(ctx, http.MethodGet, "/api/explain?"+url.Values{"item": {item}}.Encode(), nil, e)
	if err != nil {
		err = c.offline(ctx, err, func(db *sqlite.DB) error {
			*e, err = explain(ctx, db, item)
			return err
		})
	}
	return e, err
}

// Reload makes the running host read its configuration again.
func (c *Client) Reload(ctx context.Context) (string, error) {
	var out struct{ Changes string }
	err := c.call(ctx, http.MethodPost, "/api/reload", nil, &out)
	return out.Changes, err
}

// Restart starts a link anew, also one that has failed.
func (c *Client) Restart(ctx context.Context, link string) error {
	return c.call(ctx, http.MethodPost, "/api/restart?"+url.Values{"link": {link}}.Encode(), nil, &struct{}{})
}
