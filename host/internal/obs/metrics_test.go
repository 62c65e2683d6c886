package obs

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"bridgehost/sdk"
)

// exposed gives the metrics as Prometheus reads them.
func exposed(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(m.Registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, text)
	}
	return string(text)
}

// TestNamesAndValues holds the names and labels that dashboards rely on.
func TestNamesAndValues(t *testing.T) {
	m := New("1.2.3", Gauges{
		Links: func() []LinkGauge { return []LinkGauge{{"home", true, 2}, {"hooks", false, 0}} },
		Queues: func() []QueueGauge {
			return []QueueGauge{{Link: "home", Depth: 7, Oldest: 90 * time.Second, Dead: 3}}
		},
		CertExpiry: func() time.Time { return time.Unix(1_700_000_000, 0) },
	})
	m.Request("/hook/", 202)
	m.Request("/hook/", 202)
	m.Request("", 404)
	m.Published("home", sdk.KindItemCreated, "stored")
	m.Delivery("home", sdk.KindItemCreated, "delivered", 30*time.Millisecond)
	m.Policy("guard", "drop")
	text := exposed(t, m)
	for _, want := range []string{
		`bridgehost_build_info{`, `version="1.2.3"`,
		`bridgehost_plugin_up{plugin="home"} 1`, `bridgehost_plugin_up{plugin="hooks"} 0`, `bridgehost_plugin_restarts_total{plugin="home"} 2`,
		`bridgehost_queue_depth{plugin="home"} 7`, `bridgehost_queue_oldest_seconds{plugin="home"} 90`, `bridgehost_dead_letters{plugin="home"} 3`,
		`bridgehost_cert_expiry_timestamp_seconds{certificate="public"} 1.7e+09`,
		`bridgehost_http_requests_total{code="202",handler="/hook/"} 2`, `bridgehost_http_requests_total{code="404",handler="none"} 1`,
		`bridgehost_events_total{direction="in",kind="item-created",plugin="home",result="stored"} 1`,
		`bridgehost_delivery_seconds_bucket{plugin="home",le="0.05"} 1`, `bridgehost_delivery_seconds_bucket{plugin="home",le="0.025"} 0`,
		`bridgehost_policy_actions_total{action="drop",rule="guard"} 1`, `process_open_fds`, `go_goroutines`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

// TestWithoutGauges: a host without links, queues or certificate shows none of
// their series, rather than zeros.
func TestWithoutGauges(t *testing.T) {
	for name, g := range map[string]Gauges{"none": {}, "no certificate": {CertExpiry: func() time.Time { return time.Time{} }}} {
		text := exposed(t, New("x", g))
		for _, not := range []string{"bridgehost_plugin_up", "bridgehost_queue_depth", "bridgehost_cert_expiry"} {
			if strings.Contains(text, "\n"+not) {
				t.Errorf("%s: metrics have %s", name, not)
			}
		}
	}
}
