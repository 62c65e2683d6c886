// Package obs is what the host shows of itself: metrics in the Prometheus form.
// The names are a public interface; no label holds an address.
package obs

import (
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"bridgehost/sdk"
)

// Metrics are the figures that the host counts. Each lives in a registry of its
// own, so that several hosts in one process do not meet.
type Metrics struct {
	Registry *prometheus.Registry

	events   *prometheus.CounterVec
	delivery *prometheus.HistogramVec
	policy   *prometheus.CounterVec
	requests *prometheus.CounterVec
}

// Gauges are figures that are read when they are asked for.
type Gauges struct {
	// Links gives the state of each link.
	Links func() []LinkGauge
	// Queues gives the waiting deliveries of each link.
	Queues func() []QueueGauge
	// CertExpiry gives the end of the listener's certificate; zero without one.
	CertExpiry func() time.Time
}

// LinkGauge is the state of one link.
type LinkGauge struct {
	Link     string
	Up       bool
	Restarts int
}

// QueueGauge is the queue of one link.
type QueueGauge struct {
	Link   string
	Depth  int
	Oldest time.Duration
	Dead   int
}

// New makes metrics; version is the program's.
func New(version string, g Gauges) *Metrics {
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bridgehost_events_total",
			Help: "Events by link, direction (in, out), kind of change and result."}, []string{"plugin", "direction", "kind", "result"}),
		delivery: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "bridgehost_delivery_seconds",
			Help:                            "Time from the storing of an event to the receipt of its delivery.",
			Buckets:                         []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60, 600, 3600},
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  100,
			NativeHistogramMinResetDuration: time.Hour}, []string{"plugin"}),
		policy: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bridgehost_policy_actions_total",
			Help: "What filters and loop safety did with events."}, []string{"rule", "action"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bridgehost_http_requests_total",
			Help: "Answers of the public listener by prefix and status."}, []string{"handler", "code"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "bridgehost_build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision(), "go": runtime.Version()}})
	build.Set(1)
	m.Registry.MustRegister(m.events, m.delivery, m.policy, m.requests, build, &gaugeCollector{g},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Published counts an event that a link published; result is stored, duplicate,
// echo, dropped, held, waiting, unrouted, or refused.
func (m *Metrics) Published(link sdk.LinkID, kind sdk.ChangeKind, result string) {
	m.events.WithLabelValues(string(link), "in", kind.String(), result).Inc()
}

// Delivery counts a delivery that is over, delivered or dead, and how long it
// took from the storing of the event.
func (m *Metrics) Delivery(link sdk.LinkID, kind sdk.ChangeKind, result string, took time.Duration) {
	m.events.WithLabelValues(string(link), "out", kind.String(), result).Inc()
	m.delivery.WithLabelValues(string(link)).Observe(took.Seconds())
}

// Policy counts what a filter or a rule did.
func (m *Metrics) Policy(rule, action string) { m.policy.WithLabelValues(rule, action).Inc() }

// Request counts an answer of the public listener.
func (m *Metrics) Request(prefix string, status int) {
	if prefix == "" {
		prefix = "none"
	}
	m.requests.WithLabelValues(prefix, strconv.Itoa(status)).Inc()
}

// revision gives the version-control revision that the binary was built from.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "unknown"
}

// gaugeCollector reads Gauges when asked.
type gaugeCollector struct{ g Gauges }

var (
	upDesc       = prometheus.NewDesc("bridgehost_plugin_up", "1 while the link works, else 0.", []string{"plugin"}, nil)
	restartsDesc = prometheus.NewDesc("bridgehost_plugin_restarts_total", "How often the link was started again.", []string{"plugin"}, nil)
	depthDesc    = prometheus.NewDesc("bridgehost_queue_depth", "Deliveries that wait.", []string{"plugin"}, nil)
	oldestDesc   = prometheus.NewDesc("bridgehost_queue_oldest_seconds", "Age of the oldest delivery that waits.", []string{"plugin"}, nil)
	deadDesc     = prometheus.NewDesc("bridgehost_dead_letters", "Deliveries that were given up and can be replayed.", []string{"plugin"}, nil)
	certDesc     = prometheus.NewDesc("bridgehost_cert_expiry_timestamp_seconds", "End of the certificate in Unix time.", []string{"certificate"}, nil)
)

// Describe implements prometheus.Collector.
func (c *gaugeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{upDesc, restartsDesc, depthDesc, oldestDesc, deadDesc, certDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *gaugeCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, label string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, label)
	}
	if c.g.Links != nil {
		for _, l := range c.g.Links() {
			up := 0.0
			if l.Up {
				up = 1
			}
			gauge(upDesc, up, l.Link)
			ch <- prometheus.MustNewConstMetric(restartsDesc, prometheus.CounterValue, float64(l.Restarts), l.Link)
		}
	}
	if c.g.Queues != nil {
		for _, q := range c.g.Queues() {
			gauge(depthDesc, float64(q.Depth), q.Link)
			gauge(oldestDesc, q.Oldest.Seconds(), q.Link)
			gauge(deadDesc, float64(q.Dead), q.Link)
		}
	}
	if c.g.CertExpiry != nil {
		if at := c.g.CertExpiry(); !at.IsZero() {
			gauge(certDesc, float64(at.Unix()), "public")
		}
	}
}
