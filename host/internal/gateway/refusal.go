package gateway

import (
	"encoding/json"
	"net/http"
	"time"
)

// refusal is an answer that the gateway gives itself, as a problem document
// (RFC 9457). The member error repeats the detail for clients that look there.
type refusal struct {
	status       int
	detail       string
	remedy       string
	allow        string
	authenticate string
	after        time.Duration
}

// problem is the body of a refusal.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
	Error  string `json:"error"`
}

func (g *Gateway) refuse(w http.ResponseWriter, prefix string, ref *refusal) {
	title := http.StatusText(ref.status)
	body, err := json.Marshal(problem{Type: "about:blank", Title: title, Status: ref.status,
		Detail: ref.detail, Remedy: ref.remedy, Error: title + ": " + ref.detail})
	if err != nil {
		g.opt.Log.Error("problem document not encoded", "error", err)
		ref.status = http.StatusInternalServerError
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	if ref.allow != "" {
		h.Set("Allow", ref.allow)
	}
	if ref.authenticate != "" {
		h.Set("WWW-Authenticate", ref.authenticate)
	}
	if ref.after > 0 {
		h.Set("Retry-After", retryAfter(ref.after))
	}
	w.WriteHeader(ref.status)
	if _, err := w.Write(append(body, '\n')); err != nil {
		g.opt.Log.Debug("refusal not written", "prefix", prefix, "error", err)
	}
	g.opt.Observe(prefix, ref.status)
}
