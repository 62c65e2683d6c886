package sign

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"bridgehost/sdk/web"
)

const (
	bob   = "https://mastodon.example/users/bob"
	bobID = bob + "#main-key"
	body  = `{"id":"https://mastodon.example/a/1","type":"Follow","actor":"` + bob + `"}`
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// rsaKey makes one key for all tests; two of them would only cost time.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// source is a KeySource that counts.
type source struct {
	first, fresh PublicKey
	err          error
	asked        []bool
}

func (s *source) PublicKey(_ context.Context, _ string, fresh bool) (PublicKey, error) {
	s.asked = append(s.asked, fresh)
	if fresh && s.fresh.ID != "" {
		return s.fresh, s.err
	}
	return s.first, s.err
}

func bobsKey() PublicKey { return PublicKey{ID: bobID, Owner: bob, Key: &rsaKey().PublicKey} }

func post() *Request {
	return &Request{Method: "POST", Target: "/inbox", Host: "bridge.example", Body: []byte(body),
		Header: map[string][]string{"Content-Type": {"application/activity+json"}}}
}

func signed(t *testing.T, form Form, at time.Time) *Request {
	t.Helper()
	r := post()
	if err := Sign(r, form, Key{bobID, rsaKey()}, at); err != nil {
		t.Fatal(err)
	}
	return r
}

func verifier(src KeySource) *Verifier {
	return NewVerifier(src, []string{"Bridge.example", "127.0.0.1:8443"}, Options{Now: func() time.Time { return noon }})
}

func TestRoundTrip(t *testing.T) {
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for _, form := range []Form{Cavage, RFC9421} {
		for _, method := range []string{"POST", "GET"} {
			for _, key := range []Key{{bobID, rsaKey()}, {bobID, ed}} {
				r := post()
				r.Method, r.Target = method, "/users/juliet?page=1"
				if method == "GET" {
					r.Body = nil
				}
				if err := Sign(r, form, key, noon.Add(-time.Minute)); err != nil {
					t.Fatal(err)
				}
				src := &source{first: PublicKey{ID: bobID, Owner: bob, Key: key.Signer.Public()}}
				got, err := verifier(src).Verify(t.Context(), r)
				if err != nil || got.Owner != bob || got.KeyID != bobID || got.Form != form || !got.At.Equal(noon.Add(-time.Minute)) {
					t.Errorf("%v %s %T: got %+v, %v", form, method, key.Signer, got, err)
				}
				if Peek(r) != bobID {
					t.Errorf("%v: peek gives %q", form, Peek(r))
				}
			}
		}
	}
}

func TestAdapters(t *testing.T) {
	hr, _ := http.NewRequest(http.MethodPost, "https://bridge.example/inbox", strings.NewReader(body))
	r := FromHTTP(hr, []byte(body))
	if err := Sign(r, RFC9421, Key{bobID, rsaKey()}, noon); err != nil {
		t.Fatal(err)
	}
	in := FromWeb(&web.Request{Method: "POST", Target: "/inbox", Host: "bridge.example:443", Header: hr.Header, Body: []byte(body)})
	if _, err := verifier(&source{first: bobsKey()}).Verify(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

// TestAP01: the key of one actor, the activity of another.
func TestAP01ActorOfAnotherKey(t *testing.T) {
	got, err := verifier(&source{first: bobsKey()}).Verify(t.Context(), signed(t, Cavage, noon))
	if err != nil {
		t.Fatal(err)
	}
	if err := got.CheckActor(bob); err != nil {
		t.Errorf("own actor: %v", err)
	}
	for _, actor := range []string{"https://good.example/users/g", "https://mastodon.example/users/alice", ""} {
		if err := got.CheckActor(actor); ReasonOf(err) != ActorMismatch {
			t.Errorf("%q: got %v", actor, err)
		}
	}
}

// TestAP02: broken signatures in the draft's form.
func TestAP02BrokenSignatures(t *testing.T) {
	edit := func(old, now string) func(r *Request) {
		return func(r *Request) {
			s := r.Header["Signature"][0]
			if !strings.Contains(s, old) {
				panic(old + " not in " + s)
			}
			r.Header["Signature"] = []string{strings.Replace(s, old, now, 1)}
		}
	}
	head := func(name string, v ...string) func(r *Request) { return func(r *Request) { r.Header[name] = v } }
	for name, c := range map[string]struct {
		damage func(r *Request)
		want   Reason
	}{
		"absent":                     {func(r *Request) { delete(r.Header, "Signature") }, NoSignature},
		"empty":                      {head("Signature", ""), NoSignature},
		"two headers":                {func(r *Request) { r.Header["Signature"] = append(r.Header["Signature"], r.Header["Signature"][0]) }, ManySignatures},
		"algorithm none":             {edit("rsa-sha256", "none"), Algorithm},
		"algorithm hmac":             {edit("rsa-sha256", "hmac-sha256"), Algorithm},
		"algorithm of another key":   {edit("rsa-sha256", "ed25519"), Algorithm},
		"algorithm of another hash":  {edit("rsa-sha256", "rsa-sha512"), BadSignature},
		"only date signed":           {edit("(request-target) host date digest", "date"), Uncovered},
		"no request-target":          {edit("(request-target) ", ""), Uncovered},
		"no host":                    {edit(" host", ""), Uncovered},
		"no date":                    {edit(" date", ""), Uncovered},
		"no digest":                  {edit(" digest", ""), Uncovered},
		"no list of headers":         {edit(`headers="(request-target) host date digest",`, ""), Uncovered},
		"covered header twice":       {edit("host date", "host date host"), Malformed},
		"covered header missing":     {edit(" digest", " digest x-none"), Uncovered},
		"signature of GET":           {func(r *Request) { r.Method = "GET"; sign(r); r.Method = "POST" }, BadSignature},
		"path in other case":         {func(r *Request) { r.Target = "/Inbox" }, BadSignature},
		"other path":                 {func(r *Request) { r.Target = "/users/juliet/inbox" }, BadSignature},
		"query added":                {func(r *Request) { r.Target = "/inbox?x=1" }, BadSignature},
		"wrong host":                 {func(r *Request) { r.Host = "other.example" }, WrongHost},
		"host of header differs":     {head("Host", "other.example"), WrongHost},
		"our other host":             {func(r *Request) { r.Host = "127.0.0.1:8443" }, BadSignature},
		"absolute target":            {func(r *Request) { r.Target = "https://bridge.example/inbox" }, WrongHost},
		"no base64":                  {edit(`signature="`, `signature="%%%`), Malformed},
		"signature cut":              {edit(`signature="`, `signature="AAAA`), BadSignature},
		"signature empty":            {head("Signature", `keyId="`+bobID+`",headers="(request-target) host date digest",signature=""`), Malformed},
		"parameter twice":            {edit(`keyId="`, `keyId="https://good.example/users/g#k",keyId="`), Malformed},
		"keyId missing":              {edit("keyId", "keyid"), Malformed},
		"keyId acct":                 {edit(bobID, "acct:bob@mastodon.example"), BadKeyID},
		"keyId plain http":           {edit(bobID, "http://mastodon.example/users/bob#main-key"), BadKeyID},
		"keyId of ours":              {edit(bobID, "https://bridge.example/users/x#main-key"), BadKeyID},
		"keyId file":                 {edit(bobID, "file:///etc/passwd"), BadKeyID},
		"unquoted rubbish":           {head("Signature", "garbage"), Malformed},
		"Authorization alone":        {func(r *Request) { r.Header["Authorization"] = r.Header["Signature"]; delete(r.Header, "Signature") }, NoSignature},
		"created with rsa-sha256":    {edit(`(request-target) host date digest"`, `(request-target) (created) host digest",created=1`), Algorithm},
		"created covered, not given": {edit("host date", "host (created)"), Malformed},
		"two Date headers":           {head("Date", httpDate(noon), httpDate(noon)), Malformed},
		"Date no date":               {head("Date", "yesterday"), Malformed},
		"expires past":               {edit(`keyId=`, `expires=1,keyId=`), Expired},
		"headers line break":         {edit("host date", "host\ndate"), Malformed},
		"RFC 9421 header beside":     {head("Signature-Input", `sig1=("@method");created=1`), Malformed},
		"keyId with user name":       {edit("https://mastodon", "https://good.example@mastodon"), BadKeyID},
		"changed date":               {head("Date", httpDate(noon.Add(time.Second))), BadSignature},
	} {
		t.Run(name, func(t *testing.T) {
			r := signed(t, Cavage, noon)
			c.damage(r)
			src := &source{first: bobsKey()}
			_, err := verifier(src).Verify(t.Context(), r)
			if ReasonOf(err) != c.want {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			if n := len(src.asked); n > 0 && c.want != BadSignature && c.want != Algorithm {
				t.Errorf("%d key requests for what could be refused without", n)
			}
			var e *Error
			if errors.As(err, &e); strings.Contains(e.Public(), "mastodon") || strings.Contains(e.Public(), "good.example") {
				t.Errorf("the answer repeats the sender's text: %s", e.Public())
			}
		})
	}
}

func sign(r *Request) {
	if err := Sign(r, Cavage, Key{bobID, rsaKey()}, noon); err != nil {
		panic(err)
	}
}

// TestAP02BrokenMessageSignatures: the same for RFC 9421.
func TestAP02BrokenMessageSignatures(t *testing.T) {
	edit := func(old, now string) func(r *Request) {
		return func(r *Request) {
			r.Header["Signature-Input"] = []string{strings.Replace(r.Header["Signature-Input"][0], old, now, 1)}
		}
	}
	for name, c := range map[string]struct {
		damage func(r *Request)
		want   Reason
	}{
		"no Signature":           {func(r *Request) { delete(r.Header, "Signature") }, NoSignature},
		"two Signature-Input":    {func(r *Request) { r.Header["Signature-Input"] = append(r.Header["Signature-Input"], "x=()") }, ManySignatures},
		"two labels":             {edit("sig1=", `sig0=("@method");created=1;keyid="k",sig1=`), ManySignatures},
		"other label":            {edit("sig1=", "sig2="), Malformed},
		"label twice":            {edit("sig1=", `sig1=("@method"),sig1=`), Malformed},
		"no method":              {edit(`"@method" `, ""), Uncovered},
		"no target":              {edit(`"@target-uri" `, ""), Uncovered},
		"path without host":      {edit(`"@target-uri"`, `"@path"`), Uncovered},
		"no digest":              {edit(` "content-digest"`, ""), Uncovered},
		"no created":             {edit("created=", "nonce="), Uncovered},
		"created no number":      {edit("created=", `created="now";x=`), Malformed},
		"no keyid":               {edit("keyid=", "tag="), BadKeyID},
		"alg of another key":     {edit("rsa-v1_5-sha256", "ed25519"), Algorithm},
		"alg hmac":               {edit("rsa-v1_5-sha256", "hmac-sha256"), Algorithm},
		"alg empty":              {edit("rsa-v1_5-sha256", ""), Malformed},
		"alg of another padding": {edit("rsa-v1_5-sha256", "rsa-pss-sha512"), BadSignature},
		"expired":                {edit(";keyid", ";expires=1;keyid"), Expired},
		"component twice":        {edit(`"@method"`, `"@method" "@method"`), Malformed},
		"component of a part":    {edit(`"@method"`, `"@method";req`), Malformed},
		"unknown component":      {edit(`"@method"`, `"@method" "@status"`), Uncovered},
		"no list":                {edit(`("@method" "@target-uri" "content-digest")`, "1"), Malformed},
		"signature no bytes":     {func(r *Request) { r.Header["Signature"] = []string{"sig1=abc"} }, Malformed},
		"other method":           {func(r *Request) { r.Method = "PUT" }, BadSignature},
		"other path":             {func(r *Request) { r.Target = "/inbox2" }, BadSignature},
		"wrong host":             {func(r *Request) { r.Host = "evil.example" }, WrongHost},
		"other body":             {func(r *Request) { r.Body = []byte("{}") }, DigestMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			r := signed(t, RFC9421, noon)
			c.damage(r)
			if _, err := verifier(&source{first: bobsKey()}).Verify(t.Context(), r); ReasonOf(err) != c.want {
				t.Fatalf("got %v, want %s", err, c.want)
			}
		})
	}
}

// TestAP03: digests that are not that of the body.
func TestAP03Digests(t *testing.T) {
	other := Digest([]byte("other"))
	for name, c := range map[string]struct {
		values []string
		want   Reason
	}{
		"of another body":       {[]string{other}, DigestMismatch},
		"two headers":           {[]string{Digest([]byte(body)), other}, ManyDigests},
		"two in one header":     {[]string{Digest([]byte(body)) + "," + other}, ManyDigests},
		"equal twice":           {[]string{Digest([]byte(body)) + "," + Digest([]byte(body))}, ManyDigests},
		"md5 alone":             {[]string{"MD5=lb7Wwvt6sEWOWQJYUcPaSg=="}, NoDigest},
		"SHA-1 alone":           {[]string{"SHA=thvDyvhfIqlvFe+A9MYgxAfm1q5="}, NoDigest},
		"good 256, wrong 512":   {[]string{Digest([]byte(body)) + ",SHA-512=AAAA"}, DigestMismatch},
		"none":                  {nil, NoDigest},
		"no value":              {[]string{"SHA-256"}, Malformed},
		"good, with md5 beside": {[]string{"md5=AAAA, " + Digest([]byte(body))}, ""},
		"good, in lower case":   {[]string{strings.Replace(Digest([]byte(body)), "SHA", "sha", 1)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := post()
			r.Header["Date"] = []string{httpDate(noon)}
			r.Header["Digest"] = c.values
			covered := []string{"(request-target)", "host", "date", "digest"}
			if c.values == nil {
				delete(r.Header, "Digest")
				covered = covered[:3]
			}
			seal(t, r, covered)
			if _, err := verifier(&source{first: bobsKey()}).Verify(t.Context(), r); ReasonOf(err) != c.want || (err == nil) != (c.want == "") {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
	t.Run("signature and digest of body A with body B", func(t *testing.T) {
		r := signed(t, Cavage, noon)
		r.Body = []byte(strings.Replace(body, "Follow", "Delete", 1))
		if _, err := verifier(&source{first: bobsKey()}).Verify(t.Context(), r); ReasonOf(err) != DigestMismatch {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("digest unsigned", func(t *testing.T) {
		r := post()
		r.Header["Date"], r.Header["Digest"] = []string{httpDate(noon)}, []string{Digest(r.Body)}
		seal(t, r, []string{"(request-target)", "host", "date"})
		if _, err := verifier(&source{first: bobsKey()}).Verify(t.Context(), r); ReasonOf(err) != Uncovered {
			t.Fatalf("got %v", err)
		}
	})
}

// seal signs whatever is covered with Bob's key, as a careless or malicious sender would.
func seal(t *testing.T, r *Request, covered []string) {
	t.Helper()
	base, err := cavageBase(r, covered, r.Target, nil)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := signBytes(rsaKey(), base)
	if err != nil {
		t.Fatal(err)
	}
	r.Header["Signature"] = []string{`keyId="` + bobID + `",algorithm="rsa-sha256",headers="` + strings.Join(covered, " ") + `",signature="` + b64(sig) + `"`}
}

// TestAP04: repetition and times.
func TestAP04Times(t *testing.T) {
	for _, form := range []Form{Cavage, RFC9421} {
		for name, c := range map[string]struct {
			at   time.Duration
			want Reason
		}{
			"13 h old": {-13 * time.Hour, Stale}, "61 min old": {-61 * time.Minute, Stale}, "59 min old": {-59 * time.Minute, ""},
			"2 h ahead": {2 * time.Hour, Future}, "6 min ahead": {6 * time.Minute, Future}, "4 min ahead": {4 * time.Minute, ""},
		} {
			_, err := verifier(&source{first: bobsKey()}).Verify(t.Context(), signed(t, form, noon.Add(c.at)))
			if ReasonOf(err) != c.want || (err == nil) != (c.want == "") {
				t.Errorf("%v %s: got %v, want %q", form, name, err, c.want)
			}
		}
	}
}

func TestAP04Repeated(t *testing.T) {
	v := verifier(&source{first: bobsKey()})
	r := signed(t, Cavage, noon)
	for i, want := range []bool{false, false, true} {
		got, err := v.Verify(t.Context(), r)
		if err != nil || got.Repeated != want {
			t.Fatalf("time %d: repeated %v, %v, want %v", i, got.Repeated, err, want)
		}
		if i == 1 {
			v.Remember(got)
		}
	}
	small := NewVerifier(&source{first: bobsKey()}, []string{"bridge.example"}, Options{Seen: 10, Now: func() time.Time { return noon }})
	for i := range 1000 {
		small.Remember(Verified{mark: [32]byte{byte(i), byte(i >> 8)}})
	}
	if n := len(small.now) + len(small.old); n > 20 {
		t.Fatalf("%d signatures in memory, bound is 20", n)
	}
}

// TestAP09: whose key it is, and new keys.
func TestAP09Keys(t *testing.T) {
	newer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	stale := PublicKey{ID: bobID, Owner: bob, Key: &newer.PublicKey}
	for name, c := range map[string]struct {
		src   *source
		want  Reason
		asked int
	}{
		"good":                       {&source{first: bobsKey()}, "", 1},
		"owner on another host":      {&source{first: PublicKey{ID: bobID, Owner: "https://good.example/users/g", Key: &rsaKey().PublicKey}}, KeyOwner, 1},
		"another key than asked":     {&source{first: PublicKey{ID: bob + "#other", Owner: bob, Key: &rsaKey().PublicKey}}, KeyOwner, 1},
		"source refuses":             {&source{err: refuse(KeyOwner, "")}, KeyOwner, 1},
		"source cannot":              {&source{err: errors.New("timeout")}, NoKey, 1},
		"rotated: read once more":    {&source{first: stale, fresh: bobsKey()}, "", 2},
		"wrong: read once, not more": {&source{first: stale}, BadSignature, 2},
		"rotated to another wrong":   {&source{first: bobsEd(), fresh: stale}, BadSignature, 2},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verifier(c.src).Verify(t.Context(), signed(t, Cavage, noon))
			if ReasonOf(err) != c.want || (err == nil) != (c.want == "") || len(c.src.asked) != c.asked {
				t.Fatalf("got %v after %v, want %q after %d", err, c.src.asked, c.want, c.asked)
			}
		})
	}
}

func bobsEd() PublicKey {
	pub, _, _ := ed25519.GenerateKey(rand.Reader)
	return PublicKey{ID: bobID, Owner: bob, Key: pub}
}

// TestHS2019 takes the label of GoToSocial, over RSA with SHA-256, and (created) with it.
func TestHS2019(t *testing.T) {
	r := signed(t, Cavage, noon)
	r.Header["Signature"][0] = strings.Replace(r.Header["Signature"][0], "rsa-sha256", "hs2019", 1)
	if _, err := verifier(&source{first: bobsKey()}).Verify(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// TestQueryOfGet takes a GET whose signature leaves out the query, as some servers do.
func TestQueryOfGet(t *testing.T) {
	r := post()
	r.Method, r.Body, r.Target = "GET", nil, "/users/juliet/outbox"
	sign(r)
	r.Target += "?page=true"
	if _, err := verifier(&source{first: bobsKey()}).Verify(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(`keyId="https://mastodon.example/users/bob#main-key",algorithm="rsa-sha256",headers="(request-target) host date digest",signature="AAAA"`, "")
	f.Add("sig1=:AAAA:", `sig1=("@method" "@target-uri" "content-digest");created=1795262400;keyid="https://mastodon.example/k"`)
	f.Fuzz(func(t *testing.T, sig, input string) {
		r := post()
		r.Header["Date"], r.Header["Digest"], r.Header["Content-Digest"] = []string{httpDate(noon)}, []string{Digest(r.Body)}, []string{ContentDigest(r.Body)}
		r.Header["Signature"] = []string{sig}
		if input != "" {
			r.Header["Signature-Input"] = []string{input}
		}
		if _, err := verifier(&source{first: bobsKey()}).Verify(t.Context(), r); ReasonOf(err) == "" {
			t.Fatalf("got %v", err)
		}
		Peek(r)
	})
}

func BenchmarkVerify(b *testing.B) {
	r := post()
	sign(r)
	v := verifier(&source{first: bobsKey()})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func BenchmarkSign(b *testing.B) {
	r := post()
	b.ReportAllocs()
	for b.Loop() {
		sign(r)
	}
}
