package seal

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

var now = time.Unix(1_700_000_000, 0)

func scheme(t *testing.T, opt Options) *Scheme {
	t.Helper()
	if opt.Window == 0 {
		opt.Window = 5 * time.Minute
	}
	s, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func headers(set map[string]string) map[string][]string {
	out := map[string][]string{}
	for k, v := range set {
		out[http.CanonicalHeaderKey(k)] = []string{v}
	}
	return out
}

// TestVectors holds signatures that the senders' own documents give.
func TestVectors(t *testing.T) {
	gh := scheme(t, Options{Scheme: GitHub, Secrets: []string{"It's a Secret to Everybody"}})
	// GitHub, "Validating webhook deliveries", test values.
	if _, err := gh.Verify(headers(map[string]string{"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}), []byte("Hello, World!"), now); err != nil {
		t.Errorf("github: %v", err)
	}
	// Standard Webhooks specification, example of a symmetric signature.
	std := scheme(t, Options{Scheme: Standard, Secrets: []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}})
	h := headers(map[string]string{"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
		"webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="})
	if _, err := std.Verify(h, []byte(`{"test": 2432232314}`), time.Unix(1614265330, 0)); err != nil {
		t.Errorf("standard: %v", err)
	}
}

func TestWH03Signatures(t *testing.T) {
	body := []byte(`{"a":1}`)
	secrets := []string{"new secret 123", "old secret 123"}
	std := []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
	for _, opt := range []Options{
		{Scheme: GitHub, Secrets: secrets}, {Scheme: Gitea, Secrets: secrets}, {Scheme: Standard, Secrets: std},
		{Scheme: Generic, Secrets: secrets, Header: "x-sig", Prefix: "v0=", Algorithm: "sha512", Encoding: "base64", TimeHeader: "x-time"},
	} {
		s := scheme(t, opt)
		good := headers(s.Sign("msg_1", body, now))
		signed, err := s.Verify(good, body, now)
		if err != nil || len(signed.Once) == 0 {
			t.Errorf("%s: own signature: %v, once %v", opt.Scheme, err, signed.Once)
		}
		refuse := func(what string, h map[string][]string, b []byte, at time.Time) {
			t.Helper()
			var r *Refusal
			if _, err := s.Verify(h, b, at); !errors.As(err, &r) || r.Remedy == "" {
				t.Errorf("%s, %s: %v, want a refusal", opt.Scheme, what, err)
			}
		}
		name := s.opt.Header
		with := func(values ...string) map[string][]string {
			h := map[string][]string{}
			for k, v := range good {
				h[k] = v
			}
			h[name] = values
			return h
		}
		refuse("missing", with(), body, now)
		refuse("two headers", with(good[name][0], good[name][0]), body, now)
		refuse("empty", with(""), body, now)
		refuse("wrong", with(strings.Replace(good[name][0], good[name][0][len(good[name][0])-6:], "aaaaaa", 1)), body, now)
		refuse("prefix alone", with(s.opt.Prefix), body, now)
		refuse("other body", good, []byte(`{"a":2}`), now)
		other := scheme(t, Options{Scheme: opt.Scheme, Secrets: []string{"d2hzZWMgb3RoZXI="}, Header: opt.Header, Prefix: opt.Prefix,
			Algorithm: opt.Algorithm, Encoding: opt.Encoding, TimeHeader: opt.TimeHeader})
		refuse("other secret", headers(other.Sign("msg_1", body, now)), body, now)
		if s.opt.TimeHeader != "" {
			refuse("six minutes old", good, body, now.Add(6*time.Minute))
			refuse("six minutes ahead", good, body, now.Add(-6*time.Minute))
			if _, err := s.Verify(good, body, now.Add(4*time.Minute)); err != nil {
				t.Errorf("%s: four minutes old: %v", opt.Scheme, err)
			}
		}
	}
	rotated := scheme(t, Options{Scheme: GitHub, Secrets: secrets[1:]})
	both := scheme(t, Options{Scheme: GitHub, Secrets: secrets})
	if _, err := both.Verify(headers(rotated.Sign("", body, now)), body, now); err != nil {
		t.Errorf("the older of two secrets: %v", err)
	}
	mac := hmac.New(sha1.New, []byte(secrets[0]))
	mac.Write(body)
	sum := hex.EncodeToString(mac.Sum(nil))
	for _, h := range []map[string]string{{"X-Hub-Signature": "sha1=" + sum}, {"X-Hub-Signature-256": "sha1=" + sum}, {"X-Hub-Signature-256": "sha256=" + sum}} {
		if _, err := both.Verify(headers(h), body, now); err == nil {
			t.Errorf("SHA-1 accepted: %v", h)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for want, opt := range map[string]Options{
		"secret is missing":  {Scheme: GitHub},
		"shorter than 8":     {Scheme: GitHub, Secrets: []string{"short"}},
		"not base64":         {Scheme: Standard, Secrets: []string{"whsec_*****"}},
		"not known; use one": {Scheme: "gitlab", Secrets: []string{"long enough"}},
		"name of the header": {Scheme: Generic, Secrets: []string{"long enough"}},
		`algorithm "sha1"`:   {Scheme: Generic, Secrets: []string{"long enough"}, Header: "X", Algorithm: "sha1"},
		`encoding "base32"`:  {Scheme: Generic, Secrets: []string{"long enough"}, Header: "X", Encoding: "base32"},
	} {
		if _, err := New(opt); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New(%+v) = %v, want %q", opt, err, want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", "1700000000", "id", []byte("Hello"))
	f.Add("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1,AAAA", "-1", "a.b", []byte{})
	var all []*Scheme
	for _, opt := range []Options{
		{Scheme: GitHub, Secrets: []string{"It's a Secret"}}, {Scheme: Gitea, Secrets: []string{"It's a Secret"}},
		{Scheme: Standard, Secrets: []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}},
		{Scheme: Generic, Secrets: []string{"It's a Secret"}, Header: "X-Sig", TimeHeader: "X-Time", Encoding: "base64"},
	} {
		s, err := New(opt)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, s)
	}
	f.Fuzz(func(t *testing.T, sig, stamp, id string, body []byte) {
		for _, s := range all {
			h := map[string][]string{s.opt.Header: {sig}, "Webhook-Id": {id}, "X-Github-Delivery": {id}}
			if s.opt.TimeHeader != "" {
				h[s.opt.TimeHeader] = []string{stamp}
			}
			// Without the key nobody makes a signature, whatever the headers are.
			if _, err := s.Verify(h, body, now); err == nil {
				t.Fatalf("%s accepts %q", s.opt.Scheme, sig)
			}
		}
	})
}
