package upload

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"bridgehost/internal/itest"
	"bridgehost/plugins/xmpp/internal/stream"
	"bridgehost/sdk"
)

const component = "bridge.xmpp.test"

// component connects a component to the server for the length of the test.
func connect(t *testing.T, srv *itest.Server) *stream.Session {
	t.Helper()
	up := make(chan struct{}, 16)
	s, err := stream.New(stream.Options{
		Mode: stream.Component, Address: srv.Component, Domain: component, Secret: "s3cret", Plaintext: stream.PlaintextLoopback,
		OnState: func(st stream.State) {
			if st.Phase == stream.Up {
				up <- struct{}{}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, stream.Handler{}) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	select {
	case <-up:
	case err := <-done:
		t.Fatalf("component: %v", err)
	case <-time.After(30 * time.Second):
		t.Fatal("component does not come up")
	}
	return s
}

// withUpload are servers with an upload service whose HTTP side is on address.
func withUpload(t *testing.T) map[string]func() *itest.Server {
	port := func() (address, number string) {
		address, err := itest.FreeAddress("127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		_, number, err = net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		return address, number
	}
	opts := itest.Options{Components: map[string]string{component: "s3cret"}}
	return map[string]func() *itest.Server{
		"prosody": func() *itest.Server {
			address, number := port()
			opts.Extra = fmt.Sprintf("http_ports = { %s }\nhttp_interfaces = { \"127.0.0.1\" }\nhttp_external_url = \"http://%s/\"\nhttp_default_host = \"upload.xmpp.test\"\n",
				number, address)
			opts.ExtraHosts = "Component \"upload.xmpp.test\" \"http_file_share\"\n\thttp_file_share_size_limit = 400000\n"
			return itest.Prosody(t, opts)
		},
		"ejabberd": func() *itest.Server {
			address, number := port()
			opts.ExtraHosts = ""
			opts.Extra = fmt.Sprintf("  mod_http_upload:\n    put_url: http://%s/upload\n    max_size: 400000\n    access: all\n", address) + ejabberdHTTP(t, number)
			return itest.Ejabberd(t, opts)
		},
	}
}

// ejabberdHTTP is more configuration: a listener for uploads in a file of its own, since a key may stand only once in a file.
func ejabberdHTTP(t *testing.T, port string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "upload.yml")
	content := "listen:\n  -\n    port: " + port + "\n    ip: \"127.0.0.1\"\n    module: ejabberd_http\n    request_handlers:\n      /upload: mod_http_upload\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return "include_config_file:\n  - \"" + file + "\"\n"
}

func TestRealServers(t *testing.T) {
	for name, start := range withUpload(t) {
		t.Run(name, func(t *testing.T) {
			srv := start()
			u := New(connect(t, srv), Options{Server: srv.Domain, Guard: loopback(), Timeout: 30 * time.Second})
			t.Cleanup(u.Close)
			limit, ok := u.Available(t.Context(), component)
			if !ok || limit != 400000 {
				t.Errorf("available %v, limit %d", ok, limit)
			}
			const text = "a file that crossed\n"
			m := sdk.Media{Data: []byte(text), Name: "note & täxt.txt", Type: "text/plain"}
			got, err := u.Rehost(t.Context(), `bob\40m.example@`+component, m)
			if err != nil {
				t.Fatal(err)
			}
			if back := read(t, got.URL); back != text {
				t.Errorf("%s gives %q", got.URL, back)
			}
			big := sdk.Media{Data: make([]byte, 400001)}
			if _, err := u.Upload(t.Context(), component, big); err == nil || err.Kind != sdk.TooLarge {
				t.Errorf("too large: %v", err)
			}
			// The service says so as well, when it is asked in spite of its limit.
			s := Service{Address: "upload." + srv.Domain}
			_, slotErr := u.slot(t.Context(), component, s, "a.bin", octets, 400001)
			if sdk.KindOf(slotErr) != sdk.TooLarge {
				t.Errorf("slot for a large file: %v", slotErr)
			}
		})
	}
}

func read(t *testing.T, address string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: status %d, %v", address, resp.StatusCode, err)
	}
	return string(body)
}
