package sign

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"bridgehost/plugins/activitypub/internal/keys"
)

// cavageKey is the public key of draft-cavage-12 §C.
const cavageKey = `-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDCFENGw33yGihy92pDjZQhl0C3
6rPJj+CvfSC8+q28hxA161QFNUd13wuCTUcq0Qd2qsBe/2hFyc2DCJJg0h1L78+6
Z4UMR7EOcpfdUE9Hf3m/hs+FUR45uBJeDK1HSFHD8bHKD6kv8FPGfJTotc+2xjJw
oYi+1hqp1fIekaxsyQIDAQAB
-----END PUBLIC KEY-----`

func parsePEM(t *testing.T, text string) crypto.PublicKey {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// cavageRequest is the request of draft-cavage-12 §C.
func cavageRequest() *Request {
	return &Request{Method: "POST", Target: "/foo?param=value&pet=dog", Host: "example.com", Body: []byte(`{"hello": "world"}`),
		Header: map[string][]string{
			"Date": {"Sun, 05 Jan 2014 21:31:40 GMT"}, "Content-Type": {"application/json"}, "Content-Length": {"18"},
			"Digest": {"SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="},
		}}
}

func TestCavageVectors(t *testing.T) {
	key := parsePEM(t, cavageKey)
	for _, c := range []struct{ name, headers, signature string }{
		{"C.1 default", "date", "SjWJWbWN7i0wzBvtPl8rbASWz5xQW6mcJmn+ibttBqtifLN7Sazz6m79cNfwwb8DMJ5cou1s7uEGKKCs+FLEEaDV5lp7q25WqS+lavg7T8hc0GppauB6hbgEKTwblDHYGEtbGmtdHgVCk9SuS13F0hZ8FD0k/5OxEPXe5WozsbM="},
		{"C.2 basic", "(request-target) host date", "qdx+H7PHHDZgy4y/Ahn9Tny9V3GP6YgBPyUXMmoxWtLbHpUnXS2mg2+SbrQDMCJypxBLSPQR2aAjn7ndmw2iicw3HMbe8VfEdKFYRqzic+efkb3nndiv/x1xSHDJWeSWkx3ButlYSuBskLu6kd9Fswtemr3lgdDEmn04swr2Os0="},
		// The draft prints (created) and (expires) in the list of C.3 but did not sign them.
		{"C.3 all", "(request-target) host date content-type digest content-length", "vSdrb+dS3EceC9bcwHSo4MlyKS59iFIrhgYkz8+oVLEEzmYZZvRs8rgOp+63LEM3v+MFHB32NfpB2bEKBIvB1q52LaEUHFv120V01IL+TAD48XaERZFukWgHoBTLMhYS2Gb51gWxpeIq8knRmPnYePbF5MOkR0Zkly4zKH7s1dE="},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := cavageRequest()
			base, err := cavageBase(r, strings.Fields(c.headers), r.Target, nil)
			if err != nil {
				t.Fatal(err)
			}
			sig, _ := base64.StdEncoding.DecodeString(c.signature)
			cl := &claim{alg: "rsa-sha256", sig: sig, bases: [][]byte{base}}
			if err := cl.prove(key); err != nil {
				t.Fatal(err)
			}
			cl.sig[0] ^= 1
			if err := cl.prove(key); ReasonOf(err) != BadSignature {
				t.Fatalf("changed signature: got %v", err)
			}
			r.Header["Signature"] = []string{`keyId="Test",algorithm="rsa-sha256",headers="` + c.headers + `",signature="` + c.signature + `"`}
			_, err = readCavage(r)
			if covered := strings.Contains(c.headers, "digest"); covered != (err == nil) {
				t.Fatalf("covered enough %v, got %v", covered, err)
			}
		})
	}
}

// TestRFC9421Ed25519 is RFC 9421 §B.2.6.
func TestRFC9421Ed25519(t *testing.T) {
	block, _ := pem.Decode([]byte("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE KEY-----"))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	r := &Request{Method: "POST", Target: "/foo?param=Value&Pet=dog", Host: "example.com", Body: []byte(`{"hello": "world"}`),
		Header: map[string][]string{"Date": {"Tue, 20 Apr 2021 02:07:55 GMT"}, "Content-Type": {"application/json"}, "Content-Length": {"18"}}}
	in := `sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`
	dict, err := parseDictionary(in)
	if err != nil {
		t.Fatal(err)
	}
	base, err := base9421(r, dict[0].value.([]component), dict[0].raw)
	if err != nil {
		t.Fatal(err)
	}
	const want = "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
	sig, err := signBytes(key.(ed25519.PrivateKey), base)
	if got := base64.StdEncoding.EncodeToString(sig); err != nil || got != want {
		t.Fatalf("got %s, %v, want %s", got, err, want)
	}
	r.Header["Signature-Input"], r.Header["Signature"] = []string{in}, []string{"sig-b26=:" + want + ":"}
	if _, err := read9421(r); ReasonOf(err) != Uncovered {
		t.Fatalf("@path without @query, no digest: got %v, want %s", err, Uncovered)
	}
}

// TestRFC9421Message checks the components of RFC 9421 §2.2 with the message of §4.3.
func TestRFC9421Message(t *testing.T) {
	r := &Request{Method: "POST", Target: "/foo?param=Value&Pet=dog", Host: "Origin.Host.internal.example:443", Body: []byte(`{"hello": "world"}`),
		Header: map[string][]string{"Content-Digest": {"sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"},
			"X-Two": {" a ", "b"}}}
	for name, want := range map[string]string{"@method": "POST", "@authority": "origin.host.internal.example", "@path": "/foo", "@scheme": "https",
		"@query": "?param=Value&Pet=dog", "@request-target": "/foo?param=Value&Pet=dog", "x-two": "a, b",
		"@target-uri": "https://origin.host.internal.example/foo?param=Value&Pet=dog"} {
		if got, ok := component9421(r, name); got != want || !ok {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"@status", "@query-param", "X-Two", "missing", ""} {
		if _, ok := component9421(r, name); ok {
			t.Errorf("%s: has a value", name)
		}
	}
	if err := checkContentDigest(r.values("Content-Digest"), r.Body); err != nil {
		t.Error(err)
	}
}

// TestRFC9421RSA is the signature of the proxy in RFC 9421 §4.3, with the key of §B.1.1.
func TestRFC9421RSA(t *testing.T) {
	key, err := keys.ParsePublicPEM(`-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEAhAKYdtoeoy8zcAcR874L8cnZxKzAGwd7v36APp7Pv6Q2jdsPBRrw
WEBnez6d0UDKDwGbc6nxfEXAy5mbhgajzrw3MOEt8uA5txSKobBpKDeBLOsdJKFq
MGmXCQvEG7YemcxDTRPxAleIAgYYRjTSd/QBwVW9OwNFhekro3RtlinV0a75jfZg
kne/YiktSvLG34lw2zqXBDTC5NHROUqGTlML4PlNZS5Ri2U4aCNx2rUPRcKIlE0P
uKxI4T+HIaFpv8+rdV6eUgOrB2xeI1dSFFn/nnv5OoZJEIB+VmuKn3DCUcCZSFlQ
PSXSfBDiUGhwOw76WuSSsf1D4b/vLoJ10wIDAQAB
-----END RSA PUBLIC KEY-----`)
	if err != nil {
		t.Fatal(err)
	}
	r := &Request{Method: "POST", Target: "/foo?param=Value&Pet=dog", Host: "origin.host.internal.example", Body: []byte(`{"hello": "world"}`),
		Header: map[string][]string{"Content-Type": {"application/json"}, "Content-Length": {"18"},
			"Forwarded":      {"for=192.0.2.123;host=example.com;proto=https"},
			"Content-Digest": {"sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"}}}
	in, err := parseDictionary(`proxy_sig=("@method" "@authority" "@path" "content-digest" "content-type" "content-length" "forwarded");created=1618884480;keyid="test-key-rsa";alg="rsa-v1_5-sha256";expires=1618884540`)
	if err != nil {
		t.Fatal(err)
	}
	out, err := parseDictionary("proxy_sig=:S6ZzPXSdAMOPjN/6KXfXWNO/f7V6cHm7BXYUh3YD/fRad4BCaRZxP+JH+8XY1I6+8Cy+CM5g92iHgxtRPz+MjniOaYmdkDcnL9cCpXJleXsOckpURl49GwiyUpZ10KHgOEe11sx3G2gxI8S0jnxQB+Pu68U9vVcasqOWAEObtNKKZd8tSFu7LB5YAv0RAGhB8tmpv7sFnIm9y+7X5kXQfi8NMaZaA8i2ZHwpBdg7a6CMfwnnrtflzvZdXAsD3LH2TwevU+/PBPv0B6NMNk93wUs/vfJvye+YuI87HU38lZHowtznbLVdp770I6VHR6WfgS9ddzirrswsE1w5o0LV/g==:")
	if err != nil {
		t.Fatal(err)
	}
	base, err := base9421(r, in[0].value.([]component), in[0].raw)
	if err != nil {
		t.Fatal(err)
	}
	c := &claim{form: RFC9421, sig: out[0].value.([]byte), bases: [][]byte{base}}
	if err := c.params9421(in[0].params); err != nil || c.keyID != "test-key-rsa" || !c.expires.Equal(time.Unix(1618884540, 0)) {
		t.Fatalf("got %+v, %v", c, err)
	}
	if err := c.prove(key); err != nil {
		t.Fatal(err)
	}
}

// fixed is a KeySource with fixed keys.
type fixed map[string]PublicKey

func (f fixed) PublicKey(_ context.Context, id string, _ bool) (PublicKey, error) {
	k, ok := f[id]
	if !ok {
		return PublicKey{}, errors.New("404")
	}
	return k, nil
}

const (
	fepSecret = "z3u2en7t5LR2WtQH5PfFqMqwVHBeXouLzo6haApm8XHqvjxq"
	fepPublic = "z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2"
	fepValue  = "z42ffGu6AUKPCFcFPiabmUvnGLPJzC7e4DGWC52NUasSSH37UMa9c58tdgVszUcZfytxa4fQ5TYHaJENCxUDe9SdL"
	fepAlice  = "https://server.example/users/alice"
	fepKey    = fepAlice + "#ed25519-key"
	fepDoc    = `{
    "@context": ["https://www.w3.org/ns/activitystreams", "https://w3id.org/security/data-integrity/v2"],
    "id": "https://server.example/activities/1",
    "type": "Create",
    "actor": "https://server.example/users/alice",
    "object": {
        "id": "https://server.example/objects/1",
        "type": "Note",
        "attributedTo": "https://server.example/users/alice",
        "content": "Hello world",
        "location": {"type": "Place", "longitude": -71.184902, "latitude": 25.273962}
    }
}`
)

// TestFEP8b32 uses the vectors of FEP-8b32, both ways.
func TestFEP8b32(t *testing.T) {
	seed, err := keys.DecodeMultibase(fepSecret)
	if err != nil || len(seed) != 34 {
		t.Fatalf("%d bytes, %v", len(seed), err)
	}
	now := time.Date(2023, 2, 24, 23, 36, 38, 0, time.UTC)
	doc, err := AddProof([]byte(fepDoc), fepKey, ed25519.NewKeyFromSeed(seed[2:]), now)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Proof map[string]any
	}
	if err := json.Unmarshal(doc, &got); err != nil || got.Proof["proofValue"] != fepValue {
		t.Fatalf("got %v, %v, want %s", got.Proof["proofValue"], err, fepValue)
	}
	pub, err := keys.ParseMultikey(fepPublic)
	if err != nil {
		t.Fatal(err)
	}
	src := fixed{fepKey: {ID: fepKey, Owner: fepAlice, Key: pub}}
	p, err := VerifyProof(t.Context(), doc, src, now.AddDate(2, 0, 0))
	if want := (Proof{Method: fepKey, Owner: fepAlice, Made: now}); err != nil || !reflect.DeepEqual(p, want) {
		t.Fatalf("got %+v, %v, want %+v", p, err, want)
	}
	swap := func(old, now string) []byte {
		if !strings.Contains(string(doc), old) {
			t.Fatalf("%s is not in the document", old)
		}
		return []byte(strings.Replace(string(doc), old, now, 1))
	}
	for name, c := range map[string]struct {
		doc  []byte
		src  fixed
		now  time.Time
		want Reason
	}{
		"AP-10 linked-data signature beside": {swap(`"type": "Create"`, `"signature":{"type":"RsaSignature2017","signatureValue":"AAAA"},"type": "Create"`), src, now, ""},
		"AP-10 linked-data signature alone":  {swap(`"proof":`, `"signature":`), src, now, NoProof},
		"text changed":                       {swap("Hello world", "Hello World"), src, now, BadSignature},
		"actor changed":                      {swap(`"actor": "https://server.example/users/alice"`, `"actor": "https://server.example/users/bob"`), src, now, ActorMismatch},
		"member added":                       {swap(`"type": "Create"`, `"to":"x","type": "Create"`), src, now, BadSignature},
		"created changed":                    {swap("2023-02-24T23:36:38Z", "2023-02-24T23:36:39Z"), src, now, BadSignature},
		"other suite":                        {swap("eddsa-jcs-2022", "eddsa-rdfc-2022"), src, now, NoProof},
		"other purpose":                      {swap(`"proofPurpose":"assertionMethod"`, `"proofPurpose":"authentication"`), src, now, Malformed},
		"value of other base":                {swap(fepValue, "u"+fepValue[1:]), src, now, Malformed},
		"key twice":                          {swap(`"type": "Create"`, `"actor":"x","type": "Create"`), src, now, Malformed},
		"context of the proof differs":       {swap(`"https://w3id.org/security/data-integrity/v2"],`, `"https://evil.example/c"],`), src, now, Malformed},
		"from the future":                    {doc, src, now.Add(-time.Hour), Future},
		"no key":                             {doc, fixed{}, now, NoKey},
		"owner of another host":              {doc, fixed{fepKey: {ID: fepKey, Owner: "https://good.example/alice", Key: pub}}, now, KeyOwner},
		"no JSON":                            {[]byte("{"), src, now, Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := VerifyProof(t.Context(), c.doc, c.src, c.now); ReasonOf(err) != c.want || (err == nil) != (c.want == "") {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
	if _, err := AddProof(doc, fepKey, ed25519.NewKeyFromSeed(seed[2:]), now); err == nil {
		t.Fatal("a second proof was added")
	}
}

// TestJCS has the examples of RFC 8785 §3.2.2, §3.2.3 and §B.
func TestJCS(t *testing.T) {
	for in, want := range map[string]string{
		`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`:                                        `{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
		`{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`: "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u0080\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\ufb33\":\"Hebrew Letter Dalet With Dagesh\"}",
		`[-0, 5e-324, 1.7976931348623157e308, 9007199254740992, 295147905179352830000, 1e21, 1e20, 0.000001, 1e-7, 333333333.3333332, -1.5]`:                                                                         `[0,5e-324,1.7976931348623157e+308,9007199254740992,295147905179352830000,1e+21,100000000000000000000,0.000001,1e-7,333333333.3333332,-1.5]`,
	} {
		got, err := Canonical([]byte(in))
		if err != nil || string(got) != want {
			t.Errorf("%s\n got %s, %v\nwant %s", in, got, err, want)
		}
	}
	for _, in := range []string{``, `{"a":1,"a":2}`, `1e400`, "\"\xff\"", `{} {}`, `[1,]`, strings.Repeat("[", 100) + strings.Repeat("]", 100)} {
		if got, err := Canonical([]byte(in)); err == nil {
			t.Errorf("%.20q: got %s, want an error", in, got)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	f.Add([]byte(fepDoc))
	f.Add([]byte(`{"a":[1e-7,-0,"\u0000"]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		once, err := Canonical(doc)
		if err != nil {
			return
		}
		if twice, err := Canonical(once); err != nil || string(twice) != string(once) {
			t.Fatalf("%q becomes %q, %v", once, twice, err)
		}
	})
}
