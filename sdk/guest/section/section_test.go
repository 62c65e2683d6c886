package section

import (
	"bytes"
	"errors"
	"testing"
)

// sample has a type section, then a custom section "other" with the byte 7.
var sample = []byte("\x00asm\x01\x00\x00\x00" + "\x01\x01\x00" + "\x00\x07\x05other\x07")

func TestSet(t *testing.T) {
	once, err := Set(sample, "mine", []byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	want := append(bytes.Clone(sample), "\x00\x08\x04mineone"...)
	if !bytes.Equal(once, want) {
		t.Errorf("first: got % x, want % x", once, want)
	}
	twice, err := Set(once, "mine", []byte("two!"))
	if err != nil {
		t.Fatal(err)
	}
	want = append(bytes.Clone(sample), "\x00\x09\x04minetwo!"...)
	if !bytes.Equal(twice, want) {
		t.Errorf("replaced: got % x, want % x", twice, want)
	}
}

func TestSetRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"empty":     nil,
		"text":      []byte("#!/bin/sh"),
		"component": []byte("\x00asm\x0d\x00\x01\x00"),
		"cut":       sample[:len(sample)-2],
		"no size":   append(bytes.Clone(sample), 0),
	} {
		if out, err := Set(b, "mine", nil); !errors.Is(err, ErrNotModule) {
			t.Errorf("%s: got % x, %v, want ErrNotModule", name, out, err)
		}
	}
}

func FuzzSet(f *testing.F) {
	f.Add(sample)
	f.Fuzz(func(t *testing.T, module []byte) {
		once, err := Set(module, "mine", []byte("x"))
		if err != nil {
			return
		}
		twice, err := Set(once, "mine", []byte("x"))
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("% x: set twice gives % x, %v, want % x", module, twice, err, once)
		}
	})
}
