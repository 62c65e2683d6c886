package keys

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// Bounds of RSA keys that are read. A weak key harms its owner alone, and Bridgy Fed has 1,024 bits; above the higher bound checking is
// slow enough to be a weapon.
const (
	minRSABits = 1024
	maxRSABits = 8192
)

// ErrUnusable is in the chain of every refusal of a key.
var ErrUnusable = errors.New("no usable key")

// Multicodec prefixes of public keys, as varints (FEP-521a).
const (
	codecEd25519 = "\xed\x01"
	codecRSA     = "\x85\x24"
)

// PublicPEM writes a public key as SPKI in PEM, the form of publicKeyPem.
func PublicPEM(key crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("encode public key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}

// ParsePublicPEM reads a public key in PEM, SPKI or PKCS#1, and refuses kinds and sizes that are not usable here.
func ParsePublicPEM(text string) (crypto.PublicKey, error) {
	// A few servers write the line ends of JSON twice escaped.
	block, _ := pem.Decode([]byte(strings.ReplaceAll(text, `\n`, "\n")))
	if block == nil {
		return nil, fmt.Errorf("%w: no PEM", ErrUnusable)
	}
	if block.Type == "RSA PUBLIC KEY" {
		key, err := x509.ParsePKCS1PublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: PKCS#1: %w", ErrUnusable, err)
		}
		return usable(key)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: SPKI: %w", ErrUnusable, err)
	}
	return usable(key)
}

func usable(key crypto.PublicKey) (crypto.PublicKey, error) {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return k, nil
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return nil, fmt.Errorf("%w: RSA of %d bits", ErrUnusable, bits)
		}
		return k, nil
	default:
		return nil, fmt.Errorf("%w: %T", ErrUnusable, key)
	}
}

// Multikey writes a public key as publicKeyMultibase of a Multikey (FEP-521a).
func Multikey(key crypto.PublicKey) (string, error) {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return EncodeMultibase(append([]byte(codecEd25519), k...)), nil
	case *rsa.PublicKey:
		return EncodeMultibase(append([]byte(codecRSA), x509.MarshalPKCS1PublicKey(k)...)), nil
	default:
		return "", fmt.Errorf("encode multikey: %w: %T", ErrUnusable, key)
	}
}

// ParseMultikey reads publicKeyMultibase: Ed25519 or RSA.
func ParseMultikey(text string) (crypto.PublicKey, error) {
	b, err := DecodeMultibase(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	switch s := string(b); {
	case strings.HasPrefix(s, codecEd25519) && len(b) == len(codecEd25519)+ed25519.PublicKeySize:
		return ed25519.PublicKey(b[len(codecEd25519):]), nil
	case strings.HasPrefix(s, codecRSA):
		key, err := x509.ParsePKCS1PublicKey(b[len(codecRSA):])
		if err != nil {
			return nil, fmt.Errorf("%w: multikey: %w", ErrUnusable, err)
		}
		return usable(key)
	default:
		return nil, fmt.Errorf("%w: multikey of another kind", ErrUnusable)
	}
}
