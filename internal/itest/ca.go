package itest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// authority is the private certificate authority of this test process. All servers share it, so that they trust each other.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// testCA makes the authority once per process.
var testCA = sync.OnceValues(newAuthority)

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate authority key: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "bridgehost test authority"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("sign authority certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse authority certificate: %w", err)
	}
	return &authority{cert: cert, key: key, pem: encodePEM("CERTIFICATE", der)}, nil
}

// certificate is what a server needs on disk for TLS.
type certificate struct {
	caFile, certFile, keyFile string
}

// issue writes ca.pem, cert.pem and key.pem to dir: a certificate for all names, which may be IP addresses, that ends after
// lifetime.
func (a *authority) issue(dir string, lifetime time.Duration, names ...string) (certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return certificate{}, fmt.Errorf("generate server key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		return certificate{}, fmt.Errorf("choose serial number: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: names[0]},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return certificate{}, fmt.Errorf("sign certificate for %q: %w", names, err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return certificate{}, fmt.Errorf("encode key for %q: %w", names, err)
	}
	c := certificate{
		caFile:   filepath.Join(dir, "ca.pem"),
		certFile: filepath.Join(dir, "cert.pem"),
		keyFile:  filepath.Join(dir, "key.pem"),
	}
	for file, content := range map[string][]byte{
		c.caFile:   a.pem,
		c.certFile: append(encodePEM("CERTIFICATE", der), a.pem...),
		c.keyFile:  encodePEM("EC PRIVATE KEY", keyDER),
	} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return certificate{}, fmt.Errorf("write certificate file: %w", err)
		}
	}
	return c, nil
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// ServerCertificate says where a certificate of the test authority is.
type ServerCertificate struct {
	CAFile, CertFile, KeyFile string
}

// Certificate writes a certificate of the test authority to dir, for names that may be IP addresses. All servers of this
// package trust it.
func Certificate(t TB, dir string, names ...string) ServerCertificate {
	t.Helper()
	ca, err := testCA()
	if err != nil {
		t.Fatalf("make authority: %v", err)
	}
	c, err := ca.issue(dir, 12*time.Hour, names...)
	if err != nil {
		t.Fatalf("make certificate: %v", err)
	}
	return ServerCertificate{CAFile: c.caFile, CertFile: c.certFile, KeyFile: c.keyFile}
}
