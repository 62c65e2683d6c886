package admin

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"bridgehost/sdk"
)

//go:embed web
var assets embed.FS

// maxQueueRows bounds a listing of the queue.
const maxQueueRows = 1000

// Server answers on the admin listener.
type Server struct {
	host    Host
	restart Restarter
	metrics http.Handler
	log     *slog.Logger
	page    *template.Template
	mux     *http.ServeMux
}

// New makes a server.
func New(host Host, restart Restarter, metrics http.Handler, log *slog.Logger) (*Server, error) {
	page, err := template.New("status.html").Funcs(template.FuncMap{"ago": ago, "bytes": bytesText, "round": rounded}).ParseFS(assets, "web/status.html")
	if err != nil {
		return nil, fmt.Errorf("admin page: %w", err)
	}
	s := &Server{host: host, restart: restart, metrics: metrics, log: log, page: page, mux: http.NewServeMux()}
	s.mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { s.json(w, 200, map[string]bool{"live": true}) })
	s.mux.HandleFunc("GET /readyz", s.ready)
	s.mux.HandleFunc("GET /startupz", s.ready)
	s.mux.HandleFunc("GET /status", s.status)
	s.mux.HandleFunc("GET /{$}", s.status)
	s.mux.HandleFunc("GET /style.css", s.style)
	s.mux.Handle("GET /metrics", metrics)
	s.mux.HandleFunc("GET /api/queue", s.queue)
	s.mux.HandleFunc("POST /api/queue/retry", s.change(host.Retry))
	s.mux.HandleFunc("POST /api/queue/drop", s.change(host.Drop))
	s.mux.HandleFunc("GET /api/explain", s.explain)
	s.mux.HandleFunc("POST /api/reload", s.reload)
	s.mux.HandleFunc("POST /api/restart", s.restartLink)
	return s, nil
}

// Serve answers on l until ctx ends. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{Handler: guard(s.mux), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve admin on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		_ = srv.Close() // connections that idle do not matter any more
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve admin on %s: %w", l.Addr(), err)
	}
	return nil
}

// guard refuses what a web page elsewhere could make a browser do: requests
// under a foreign Host (DNS rebinding), and changes without the header that a
// form of another site cannot set.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		h.Set("Cache-Control", "no-store")
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if ip := net.ParseIP(strings.Trim(host, "[]")); ip == nil && host != "localhost" {
			http.Error(w, "this listener answers under an address or localhost only", http.StatusMisdirectedRequest)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Header.Get("X-Bridgehost") == "" {
			http.Error(w, "the header X-Bridgehost is missing", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	st := s.host.Status(r.Context())
	code := http.StatusOK
	if !st.Ready {
		code = http.StatusServiceUnavailable
	}
	s.json(w, code, map[string]any{"ready": st.Ready, "reason": st.Reason, "store": st.Store})
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	st := s.host.Status(r.Context())
	if r.URL.Query().Get("format") == "json" || strings.Contains(r.Header.Get("Accept"), "application/json") {
		s.json(w, http.StatusOK, st)
		return
	}
	dead, err := s.host.Queue(r.Context(), QueueFilter{Dead: true, Limit: 50})
	if err != nil {
		s.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := s.page.Execute(w, map[string]any{"Status": st, "Dead": dead, "Now": time.Now()}); err != nil {
		s.log.Warn("admin page not written", "error", err)
	}
}

func (s *Server) style(w http.ResponseWriter, _ *http.Request) {
	css, err := assets.ReadFile("web/style.css")
	if err != nil {
		s.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = w.Write(css)
}

func (s *Server) queue(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, err := strconv.Atoi(q.Get("limit"))
	if err != nil || limit < 1 || limit > maxQueueRows {
		limit = 100
	}
	rows, err := s.host.Queue(r.Context(), QueueFilter{IDs: q["id"], Link: q.Get("link"), Place: q.Get("place"), Dead: q.Get("dead") != "", Limit: limit})
	if err != nil {
		s.fail(w, err)
		return
	}
	s.json(w, http.StatusOK, rows)
}

// change answers a request that retries or drops deliveries.
func (s *Server) change(do func(context.Context, QueueFilter) (int, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var f QueueFilter
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
		d.DisallowUnknownFields()
		if err := d.Decode(&f); err != nil {
			s.fail(w, &sdk.Error{Op: "read filter", Kind: sdk.Invalid, Err: err})
			return
		}
		n, err := do(r.Context(), f)
		if err != nil {
			s.fail(w, err)
			return
		}
		s.json(w, http.StatusOK, map[string]int{"changed": n})
	}
}

func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	e, err := s.host.Explain(r.Context(), r.URL.Query().Get("item"))
	if err != nil {
		s.fail(w, err)
		return
	}
	s.json(w, http.StatusOK, e)
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	text, err := s.host.Reload(r.Context())
	if err != nil {
		s.fail(w, err)
		return
	}
	s.json(w, http.StatusOK, map[string]string{"changes": text})
}

func (s *Server) restartLink(w http.ResponseWriter, r *http.Request) {
	if err := s.restart.RestartLink(r.Context(), r.URL.Query().Get("link")); err != nil {
		s.fail(w, err)
		return
	}
	s.json(w, http.StatusOK, map[string]bool{"restarted": true})
}

// fail answers with the error's text and the status of its kind.
func (s *Server) fail(w http.ResponseWriter, err error) {
	code := http.StatusInternalServerError
	switch sdk.KindOf(err) {
	case sdk.NotFound:
		code = http.StatusNotFound
	case sdk.Invalid:
		code = http.StatusBadRequest
	case sdk.Conflict:
		code = http.StatusConflict
	case sdk.Overloaded:
		code = http.StatusServiceUnavailable
	}
	if errors.Is(err, context.Canceled) {
		return
	}
	s.json(w, code, map[string]string{"error": err.Error()})
}

func (s *Server) json(w http.ResponseWriter, code int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		s.log.Error("answer not encoded", "error", err)
		code, body = http.StatusInternalServerError, []byte(`{"error":"answer not encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n'))
}

// ago gives a time as people say it.
func ago(now, t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return now.Sub(t).Round(time.Second).String() + " ago"
}

// rounded gives a span in whole seconds, empty when there is none.
func rounded(d time.Duration) string {
	if d <= 0 {
		return "–"
	}
	return d.Round(time.Second).String()
}

// bytesText gives a size with a unit.
func bytesText(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/unit, 0
	for v >= unit && i < 4 {
		v, i = v/unit, i+1
	}
	return fmt.Sprintf("%.1f %ciB", v, "KMGTP"[i])
}
