package gateway

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// writePair writes a certificate that ends at until, with its key, as files of the
// time at.
func writePair(t *testing.T, dir string, until, at time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: until.Add(-24 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), at)
	put(t, filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), at)
}

func put(t *testing.T, path string, text []byte, at time.Time) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

// TestCertificateIsReadAgain when its files change, and stays in use while they
// are broken or away, as during a renewal that writes one after the other.
func TestCertificateIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		first, second := time.Now().Add(time.Hour).UTC(), time.Now().Add(100*time.Hour).UTC()
		writePair(t, dir, first, time.Now())
		var log bytes.Buffer
		c, err := LoadCertificate(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		want := func(until time.Time, said string) {
			t.Helper()
			got, err := c.Get(nil)
			if err != nil || !got.Leaf.NotAfter.Equal(until.Truncate(time.Second)) || !c.Expiry().Equal(got.Leaf.NotAfter) {
				t.Errorf("in use is one that ends %v, %v; want %v", c.Expiry(), err, until)
			}
			if text := log.String(); (said == "") != (text == "") || !strings.Contains(text, said) {
				t.Errorf("log %q, want %q", text, said)
			}
			log.Reset()
		}
		want(first, "")
		time.Sleep(certificateAge)
		put(t, filepath.Join(dir, "cert.pem"), []byte("half a certifi"), time.Now())
		want(first, "the old one stays in use")
		want(first, "") // looked at once a second only
		if err := os.Remove(filepath.Join(dir, "key.pem")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(certificateAge)
		want(first, "no such file")
		writePair(t, dir, second, time.Now())
		want(first, "")
		time.Sleep(certificateAge)
		want(second, "")
	})
}

func TestCertificateThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	if _, err := LoadCertificate(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), log); err == nil || !os.IsNotExist(unwrapAll(err)) {
		t.Errorf("missing files: %v", err)
	}
	put(t, filepath.Join(dir, "cert.pem"), []byte("x"), time.Now())
	put(t, filepath.Join(dir, "key.pem"), []byte("x"), time.Now())
	if _, err := LoadCertificate(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), log); err == nil || !strings.Contains(err.Error(), "cert.pem") {
		t.Errorf("broken files: %v", err)
	}
}

// unwrapAll gives the last error of a chain.
func unwrapAll(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		err = u.Unwrap()
	}
}
