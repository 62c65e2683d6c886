package admin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"bridgehost/sdk"
)

// failing is a host that can do nothing.
type failing struct{ shown }

var errDisk = &sdk.Error{Op: "read database", Kind: sdk.Internal, Err: errors.New("disk gone")}

func (*failing) Queue(context.Context, QueueFilter) ([]QueueRow, error) { return nil, errDisk }
func (*failing) Retry(context.Context, QueueFilter) (int, error) {
	return 0, &sdk.Error{Op: "drop delivery", Kind: sdk.Conflict, Public: "the lane is delivering now; try again"}
}
func (*failing) Reload(context.Context) (string, error) {
	return "", &sdk.Error{Op: "reload", Kind: sdk.Invalid, Err: errors.New("line 3: wrong")}
}
func (*failing) RestartLink(_ context.Context, link string) error {
	return sdk.Errorf(sdk.NotFound, "restart link "+link, "there is no such link")
}

// TestFailuresAreAnswered with a status that says whose fault it is, and with the
// text that the command line shows.
func TestFailuresAreAnswered(t *testing.T) {
	h := &failing{}
	s, err := New(h, h, h, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	base := "http://" + l.Addr().String()
	for _, c := range []struct {
		method, target, want string
		status               int
	}{
		{"GET", "/api/queue", "disk gone", 500}, {"GET", "/status", "disk gone", 500}, {"GET", "/status?format=json", `"version": "1.2.3"`, 200},
		{"POST", "/api/queue/retry", "try again", 409}, {"POST", "/api/reload", "line 3: wrong", 400},
		{"POST", "/api/restart?link=x", "no such link", 404}, {"GET", "/style.css", "body", 200}, {"GET", "/nothing", "", 404},
	} {
		req, err := http.NewRequestWithContext(ctx, c.method, base+c.target, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Bridgehost", "1")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != c.status || !strings.Contains(string(text), c.want) {
			t.Errorf("%s %s: %d %s, want %d with %q", c.method, c.target, resp.StatusCode, text, c.status, c.want)
		}
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("serve ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("serve does not end")
	}
	if err := s.Serve(t.Context(), l); err == nil || !strings.Contains(err.Error(), "serve admin") {
		t.Errorf("on a closed listener: %v", err)
	}
}

// TestReloadAndRestart of a host that does as told.
func TestReloadAndRestart(t *testing.T) {
	for target, want := range map[string]string{"/api/reload": "nothing changed", "/api/restart?link=home": `"restarted": true`} {
		w := ask(t, &shown{}, "POST", target, "", "X-Bridgehost", "1")
		if w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

func TestBytesText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 5 << 30: "5.0 GiB", 3 << 50: "3.0 PiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}
