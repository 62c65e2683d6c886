package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"
)

// memory is a Store in memory.
type memory struct {
	mu   sync.Mutex
	m    map[string][]byte
	fail error
}

func (s *memory) Get(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[key], nil
}

func (s *memory) Set(_ context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	if s.m == nil {
		s.m = map[string][]byte{}
	}
	if value == nil {
		delete(s.m, key)
		return nil
	}
	s.m[key] = value
	return nil
}

// TestFEP521a uses the vectors of FEP-521a.
func TestFEP521a(t *testing.T) {
	raw, _ := hex.DecodeString("2e6fcce36701dc791488e0d0b1745cc1e33a4c1c9fcc41c63bd343dbbe0970e6")
	der, _ := hex.DecodeString("3082010a0282010100b1b5fcd8d4d5e88ca5c4287b31f578865caf6a78826a3b8ff7b1b23aa4af4e6a0474139f945bd9d3a911ffd0fa72db78e4593a86c91f9da836186ebd3402d51f6a3844247ab5088b46929c311b43604fed84499f06f0f39bf55590e2187f1bbe229ba8f49fd2e570cd0e3733c76bfede80e1e7e0881e4538ea1bc5782be9512f8bf132526e05f4923564fe6e1e21bf7087adebb660fa533fca06d0a8e66991e1312d70b64a61da8ca77c028cdf939601e2cffe2855759b1d479f0847bcac59d7d62427a431d4e3dfd2697428b9dd6309a7b1167db99fe01af1ff1b739566fb949e47089d1dae84aef1214ef7f5773e86a0d3e9da246f9bec09d60c705891183d0203010001")
	big, err := x509.ParsePKCS1PublicKey(der)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		key        any
	}{
		{"ed25519", "z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK", ed25519.PublicKey(raw)},
		{"rsa", "z4MXj1wBzi9jUstyPMS4jQqB6KdJaiatPkAtVtGc6bQEQEEsKTic4G7Rou3iBf9vPmT5dbkm9qsZsuVNjq8HCuW1w24nhBFGkRE4cd2Uf2tfrB3N7h4mnyPp1BF3ZttHTYv3DLUPi1zMdkULiow3M1GfXkoC6DoxDUm1jmN6GBj22SjVsr6dxezRVQc7aj9TxE7JLbMH1wh5X3kA58H3DFW8rnYMakFGbca5CB2Jf6CnGQZmL7o5uJAdTwXfy2iiiyPxXEGerMhHwhjTA1mKYobyk2CpeEcmvynADfNZ5MBvcCS7m3XkFCMNUYBS9NQ3fze6vMSUPsNa6GVYmKx2x6JrdEjCk3qRMMmyjnjCMfR4pXbRMZa3i", big},
	} {
		got, err := Multikey(c.key)
		if err != nil || got != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.name, got, err, c.want)
		}
		back, err := ParseMultikey(c.want)
		if err != nil || !back.(interface{ Equal(crypto.PublicKey) bool }).Equal(c.key) {
			t.Errorf("%s: read back %v, %v", c.name, back, err)
		}
	}
}

func TestPEM(t *testing.T) {
	p, err := Generate(time.Unix(1e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	text, err := PublicPEM(&p.RSA.PublicKey)
	if err != nil || !strings.HasPrefix(text, "-----BEGIN PUBLIC KEY-----\n") {
		t.Fatalf("got %q, %v", text, err)
	}
	for name, in := range map[string]string{"spki": text, "escaped": strings.ReplaceAll(text, "\n", `\n`), "crlf": strings.ReplaceAll(text, "\n", "\r\n")} {
		key, err := ParsePublicPEM(in)
		if err != nil || !p.RSA.PublicKey.Equal(key) {
			t.Errorf("%s: got %v, %v", name, key, err)
		}
	}
	weak, _ := PublicPEM(&rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 767), E: 65537})
	huge, _ := PublicPEM(&rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 16383), E: 65537})
	for name, in := range map[string]string{"empty": "", "weak": weak, "huge": huge, "certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if _, err := ParsePublicPEM(in); !errors.Is(err, ErrUnusable) {
			t.Errorf("%s: got %v, want ErrUnusable", name, err)
		}
	}
	if s := fmt.Sprintf("%v %+v %#v", p, p, p); strings.Contains(s, p.RSA.D.String()) || !strings.Contains(s, "2001-09-09") {
		t.Errorf("printing a pair shows %q", s)
	}
}

func TestMultibase(t *testing.T) {
	for _, b := range [][]byte{{0}, {0, 0, 1}, {255}, []byte("Hello World!"), bytes.Repeat([]byte{0xfe}, 300)} {
		back, err := DecodeMultibase(EncodeMultibase(b))
		if err != nil || !bytes.Equal(back, b) {
			t.Errorf("%x: got %x, %v", b, back, err)
		}
	}
	if got := EncodeMultibase([]byte("Hello World!")); got != "z2NEpo7TZRRrLZSi2U" {
		t.Errorf("got %s", got)
	}
	for _, s := range []string{"", "z", "m" + "AAAA", "z0", "zl", "z" + strings.Repeat("2", maxBase58)} {
		if _, err := DecodeMultibase(s); err == nil {
			t.Errorf("%.20q: no error", s)
		}
	}
}

func TestRing(t *testing.T) {
	ctx, store := t.Context(), &memory{}
	ring := New(store, Options{Cache: 1})
	if _, ok, err := ring.Find(ctx, "juliet"); ok || err != nil || len(store.m) != 0 {
		t.Fatalf("find before: %v, %v, %d values", ok, err, len(store.m))
	}
	a, err := ring.Of(ctx, "juliet")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := ring.Of(ctx, "romeo"); err != nil || b.RSA.Equal(a.RSA) {
		t.Fatalf("two actors with one key: %v", err)
	}
	again, err := New(store, Options{}).Of(ctx, "juliet")
	if err != nil || !again.RSA.Equal(a.RSA) || !again.Ed25519.Equal(a.Ed25519) || !again.Made.Equal(a.Made) {
		t.Fatalf("after a restart: other keys (%v)", err)
	}
	turned, err := ring.Rotate(ctx, "juliet")
	if err != nil || turned.RSA.Equal(a.RSA) {
		t.Fatalf("rotate: same key or %v", err)
	}
	if now, err := ring.Of(ctx, "juliet"); err != nil || !now.RSA.Equal(turned.RSA) {
		t.Fatalf("after rotation: old key or %v", err)
	}
	if err := ring.Delete(ctx, "juliet"); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := ring.Find(ctx, "juliet"); ok || err != nil {
		t.Fatalf("after deletion: %v, %v", ok, err)
	}
	store.fail = errors.New("disk full")
	if _, err := ring.Of(ctx, "nurse"); !errors.Is(err, store.fail) {
		t.Fatalf("got %v, want the store's error", err)
	}
	if _, ok := ring.cached("nurse"); ok {
		t.Fatal("a key that is not on disk is used")
	}
}

// TestRingOnce: many ask at once, one key is made.
func TestRingOnce(t *testing.T) {
	ring := New(&memory{}, Options{})
	var wg sync.WaitGroup
	got := make([]Pair, 8)
	for i := range got {
		wg.Go(func() { got[i], _ = ring.Of(t.Context(), "juliet") })
	}
	wg.Wait()
	for _, p := range got[1:] {
		if !p.RSA.Equal(got[0].RSA) {
			t.Fatal("two keys for one actor")
		}
	}
}

func TestRingFull(t *testing.T) {
	store := &memory{}
	ring := New(store, Options{})
	key := ring.bucket("juliet")
	store.m = map[string][]byte{key: []byte(`{"x":{"r":"` + strings.Repeat("AAAA", maxBucket/4) + `"}}`)}
	before := maps.Clone(store.m)
	if _, err := ring.Of(t.Context(), "juliet"); !errors.Is(err, ErrFull) {
		t.Fatalf("got %v, want ErrFull", err)
	}
	if !maps.EqualFunc(before, store.m, bytes.Equal) {
		t.Fatal("the store was changed")
	}
	store.m[key] = []byte("{")
	if _, err := ring.Of(t.Context(), "juliet"); err == nil || !bytes.Equal(store.m[key], []byte("{")) {
		t.Fatalf("damaged value: %v", err)
	}
	if len(key) != len("keys/fff") {
		t.Fatalf("bucket %s", key)
	}
}

func FuzzParsePublic(f *testing.F) {
	f.Add("z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK")
	f.Add("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n-----END PUBLIC KEY-----\n")
	f.Fuzz(func(t *testing.T, s string) {
		if key, err := ParseMultikey(s); err == nil {
			if back, err := Multikey(key); err != nil || back == "" {
				t.Fatalf("%q: %v", s, err)
			}
		}
		if key, err := ParsePublicPEM(s); err == nil {
			if _, err := PublicPEM(key); err != nil {
				t.Fatalf("%q: %v", s, err)
			}
		}
	})
}
