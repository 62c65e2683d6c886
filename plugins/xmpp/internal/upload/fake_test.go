package upload

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"bridgehost/plugins/xmpp/internal/packet"
	"bridgehost/plugins/xmpp/internal/xmltok"
	"bridgehost/sdk/netguard"
)

const (
	server  = "example.org"
	service = "upload.example.org"
	from    = "bridge.example.org"
)

// fakeServer is an XMPP server with an upload service, and the HTTP side of it.
type fakeServer struct {
	http *httptest.Server

	mu       sync.Mutex
	asked    []string // "items example.org", "info upload.example.org", "slot NAME TYPE SIZE"
	slot     func(n int) string
	slots    int
	refuse   string // inner XML of <error/> in place of a slot
	maxSize  string
	none     bool
	statuses []int // of the next PUTs; then 201
	files    map[string]string
	headers  []http.Header
}

func newFake(t *testing.T) *fakeServer {
	f := &fakeServer{files: map[string]string{}, maxSize: "1000000"}
	f.http = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.http.Close)
	f.slot = func(n int) string {
		return fmt.Sprintf(`<slot xmlns='%s'><put url='%s/p/%d'><header name='Authorization'>Basic x</header><header name='Host'>evil</header></put><get url='%s/g/%d'/></slot>`,
			NS, f.http.URL, n, f.http.URL, n)
	}
	return f
}

func (f *fakeServer) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	code := http.StatusCreated
	if len(f.statuses) > 0 {
		code, f.statuses = f.statuses[0], f.statuses[1:]
	}
	if code == http.StatusFound {
		w.Header().Set("Location", "/elsewhere")
	}
	if code == http.StatusCreated {
		f.files[r.URL.Path] = string(body)
	}
	h := r.Header.Clone()
	h.Set("X-Host", r.Host)
	f.headers = append(f.headers, h)
	w.WriteHeader(code)
}

// IQ implements IQer.
func (f *fakeServer) IQ(ctx context.Context, iq *packet.IQ) (*packet.IQ, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if iq.From == "" || iq.To == "" || iq.Type != "get" {
		return nil, fmt.Errorf("bad iq %+v", iq.Attrs)
	}
	switch {
	case iq.Payload.Is(nsItems, "query"):
		f.asked = append(f.asked, "items "+iq.To)
		return answer(`<query xmlns='` + nsItems + `'><item jid='muc.example.org'/><item jid='someone@example.org'/><item jid='` + service + `'/></query>`), nil
	case iq.Payload.Is(packet.NSDiscoInfo, "query"):
		f.asked = append(f.asked, "info "+iq.To)
		if iq.To != service || f.none {
			return nil, &packet.Error{Type: "cancel", Condition: "service-unavailable"}
		}
		return answer(`<query xmlns='` + packet.NSDiscoInfo + `'><feature var='` + NS + `'/><x xmlns='jabber:x:data' type='result'>` +
			`<field var='FORM_TYPE'><value>` + NS + `</value></field><field var='max-file-size'><value>` + f.maxSize + `</value></field></x></query>`), nil
	case iq.Payload.Is(NS, "request"):
		f.asked = append(f.asked, "slot "+iq.Payload.Get("filename")+" "+iq.Payload.Get("content-type")+" "+iq.Payload.Get("size"))
		if f.refuse != "" {
			st, err := packet.DecodeBytes([]byte(`<iq type='error'><error `+f.refuse+`</error></iq>`), packet.NSClient)
			if err != nil {
				return nil, err
			}
			return nil, st.Header().Error
		}
		f.slots++
		return answer(f.slot(f.slots)), nil
	}
	return nil, &packet.Error{Type: "cancel", Condition: "feature-not-implemented"}
}

func answer(payload string) *packet.IQ {
	e, err := xmltok.Parse([]byte(payload))
	if err != nil {
		panic(err)
	}
	return &packet.IQ{Attrs: packet.Attrs{Type: "result"}, Payload: e}
}

func (f *fakeServer) questions() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.asked, "; ")
}

// loopback is the guard of an operator who excepted this machine.
func loopback() *netguard.Guard { return netguard.New(netip.MustParsePrefix("127.0.0.1/32")) }

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
