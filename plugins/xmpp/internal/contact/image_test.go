package contact

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"
)

// picture is an image whose pixels differ, so that it does not compress away.
func picture(w, h int, alpha uint8) image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	seed := uint32(1)
	for y := range h {
		for x := range w {
			seed = seed*1664525 + 1013904223
			img.SetNRGBA(x, y, color.NRGBA{R: uint8(seed >> 24), G: uint8(x), B: uint8(y), A: alpha})
		}
	}
	return img
}

func pngFile(t testing.TB, w, h int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, picture(w, h, 255)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// webpFile is the beginning of a WebP file, with enough behind it.
func webpFile(chunk string, at int, size ...byte) []byte {
	b := make([]byte, 64)
	copy(b, "RIFF\x38\x00\x00\x00WEBP"+chunk)
	copy(b[at:], size)
	return b
}

func TestNewAvatar(t *testing.T) {
	var jpg, gf, half bytes.Buffer
	if err := errors.Join(jpeg.Encode(&jpg, picture(1000, 500, 255), nil), gif.Encode(&gf, picture(32, 32, 255), nil), png.Encode(&half, picture(600, 600, 128))); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		data []byte
		typ  string // "" is a refusal
		w, h int
		same bool
	}{
		{"png", pngFile(t, 64, 64), "image/png", 64, 64, true},
		{"gif", gf.Bytes(), "image/gif", 32, 32, true},
		{"large png", pngFile(t, 700, 700), "image/jpeg", 192, 192, false},
		{"large png with transparency", half.Bytes(), "image/png", 192, 192, false},
		{"wide jpeg", jpg.Bytes(), "image/jpeg", 192, 96, false},
		{"webp", webpFile("VP8X", 24, 63, 0, 0, 31, 0, 0), "image/webp", 64, 32, true},
		{"lossy webp", webpFile("VP8 ", 26, 64, 0, 32, 0), "image/webp", 64, 32, true},
		{"lossless webp", webpFile("VP8L", 21, 63, 0xC0, 7, 0), "image/webp", 64, 32, true},
		{"huge webp", webpFile("VP8X", 24, 255, 255, 0, 31, 0, 0), "", 0, 0, false},
		{"webp that is too large to send", webpFile("VP8X", 24, 255, 3, 0, 31, 0, 0), "", 0, 0, false},
		{"webp of nothing", webpFile("ABCD", 24), "", 0, 0, false},
		{"svg", []byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), "", 0, 0, false},
		{"html", []byte("<html>" + strings.Repeat("x", 100)), "", 0, 0, false},
		{"nothing", nil, "", 0, 0, false},
		{"half a png", pngFile(t, 700, 700)[:5000], "", 0, 0, false},
		{"bomb", bomb(t), "", 0, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, err := NewAvatar(tc.data)
			if tc.typ == "" {
				if !errors.Is(err, errImage) {
					t.Fatalf("avatar %+v, %v, want a refusal", a, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if a.Type != tc.typ || a.Width != tc.w || a.Height != tc.h || len(a.Data) > maxSent || len(a.Hash) != 40 {
				t.Errorf("avatar %s of %d bytes, %d x %d, hash %q, want %s, %d x %d", a.Type, len(a.Data), a.Width, a.Height, a.Hash, tc.typ, tc.w, tc.h)
			}
			if tc.same != bytes.Equal(a.Data, tc.data) {
				t.Errorf("same bytes: %v, want %v", !tc.same, tc.same)
			}
		})
	}
}

// bomb is a small PNG file that says it has 65,000 x 65,000 pixels.
func bomb(t *testing.T) []byte {
	t.Helper()
	b := pngFile(t, 16, 16)
	copy(b[16:], []byte{0, 0, 0xFD, 0xE8, 0, 0, 0xFD, 0xE8})
	return b
}

// FuzzNewAvatar feeds images from strangers.
func FuzzNewAvatar(f *testing.F) {
	f.Add(pngFile(f, 8, 8))
	f.Add(webpFile("VP8X", 24, 63, 0, 0, 31, 0, 0))
	f.Add([]byte("GIF89a"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := NewAvatar(data)
		if err == nil && (a.Width <= 0 || a.Height <= 0 || len(a.Data) > maxSent || a.Width > maxSide || a.Height > maxSide) {
			t.Fatalf("avatar of %d bytes, %d x %d", len(a.Data), a.Width, a.Height)
		}
	})
}
