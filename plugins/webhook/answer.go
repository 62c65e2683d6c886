package webhook

import (
	"cmp"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"encoding/json"

	"bridgehost/sdk"
	"bridgehost/sdk/web"
)

// problem is an error answer, a problem document (RFC 9457). The member error
// repeats title and detail for clients of the predecessor, which looked there.
type problem struct {
	Type   string   `json:"type"`
	Title  string   `json:"title"`
	Status int      `json:"status"`
	Detail string   `json:"detail"`
	Remedy string   `json:"remedy,omitempty"`
	Error  string   `json:"error"`
	ID     string   `json:"id,omitempty"` // of the message that the answer is about
	State  string   `json:"state,omitempty"`
	Places []string `json:"places,omitempty"` // that have the message nevertheless
}

// receipt is a good answer.
type receipt struct {
	Success   bool     `json:"success"`
	ID        string   `json:"id,omitempty"`
	State     string   `json:"state"` // accepted, delivered, ignored
	Updated   bool     `json:"updated,omitempty"`
	Duplicate bool     `json:"duplicate,omitempty"`
	Places    []string `json:"places,omitempty"`
	Detail    string   `json:"detail,omitempty"`
}

// refuse makes an error answer.
func refuse(status int, detail, remedy string) *web.Response {
	return refusal(&problem{Status: status, Detail: detail, Remedy: remedy}, 0)
}

func refusal(p *problem, after time.Duration) *web.Response {
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	p.Error = p.Title + ": " + p.Detail
	r := answer(p.Status, "application/problem+json", p)
	if after > 0 {
		r.Header["Retry-After"] = []string{strconv.Itoa(int(math.Max(1, math.Ceil(after.Seconds()))))}
	}
	return r
}

func answer(status int, media string, body any) *web.Response {
	data, err := json.Marshal(body)
	if err != nil { // the types above always encode
		data = []byte(`{}`)
	}
	return &web.Response{Status: status, Header: map[string][]string{"Content-Type": {media}}, Body: append(data, '\n')}
}

func accepted(status int, r *receipt) *web.Response {
	r.Success = true
	return answer(status, "application/json", r)
}

// notStored answers a Publish that failed: nothing of the message was kept.
func notStored(err error) *web.Response {
	kind := sdk.KindOf(err)
	after, why := 2*time.Second, "the host cannot take more now"
	var e *sdk.Error
	if errors.As(err, &e) {
		after, why = cmp.Or(e.After, after), cmp.Or(e.Public, why)
	}
	switch {
	case kind == sdk.Overloaded || kind == sdk.RateLimited:
		return refusal(&problem{Status: http.StatusServiceUnavailable, Detail: "the message was not stored: " + why, Remedy: "send it again later"}, after)
	case kind.Temporary():
		return refusal(&problem{Status: http.StatusServiceUnavailable, Detail: "the message was not stored", Remedy: "send it again"}, after)
	case kind == sdk.TooLarge:
		return refuse(http.StatusRequestEntityTooLarge, "the message is larger than the host takes", "send less")
	default:
		return refuse(http.StatusInternalServerError, "the host refused the message", "the operator finds the reason in the log")
	}
}
