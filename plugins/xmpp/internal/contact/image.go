package contact

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // XEP-0084 §4.1 names items by it; nothing is protected by it
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/gif" // decoded by image.Decode
	"image/jpeg"
	"image/png"
	"sync"
)

// Bounds of avatars. What is sent fits into a stanza in base64; what is read is never decoded before its header was checked.
const (
	maxSent   = 96 << 10 // bytes
	maxSide   = 512      // pixels of an avatar that is sent as it is
	maxDecode = 4096     // pixels of a side that is decoded to be made smaller
	smallSide = 192      // pixels of an avatar that was made smaller
)

// Avatar is an image that clients can be given.
type Avatar struct {
	Data          []byte
	Type          string // media type, as the data itself says (XEP-0153 §5)
	Hash          string // SHA-1 in lower-case hex: the item's id of XEP-0084 and the hash of XEP-0153
	Width, Height int
}

// errImage is wrapped by every error about an image that is none, or too large.
var errImage = errors.New("no usable image")

// decoding lets one image at a time take the memory that decoding needs.
var decoding sync.Mutex

// NewAvatar makes an avatar of an image file: PNG, JPEG, GIF, or WebP. A large one is made smaller; a WebP file that is too large is
// refused.
func NewAvatar(data []byte) (*Avatar, error) {
	typ, w, h, err := header(data)
	if err != nil {
		return nil, err
	}
	if w <= 0 || h <= 0 || w > maxDecode || h > maxDecode {
		return nil, fmt.Errorf("%w: %d x %d pixels", errImage, w, h)
	}
	if len(data) > maxSent || w > maxSide || h > maxSide {
		if typ == "image/webp" {
			return nil, fmt.Errorf("%w: WebP of %d bytes, %d x %d pixels", errImage, len(data), w, h)
		}
		if data, typ, w, h, err = smaller(data); err != nil {
			return nil, err
		}
	}
	sum := sha1.Sum(data) //nolint:gosec // see the import
	return &Avatar{Data: data, Type: typ, Hash: hex.EncodeToString(sum[:]), Width: w, Height: h}, nil
}

// header reads the type and the size of an image without decoding it.
func header(data []byte) (typ string, w, h int, err error) {
	if len(data) >= 30 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP" {
		w, h = webp(data)
		return "image/webp", w, h, nil
	}
	cfg, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return "", 0, 0, fmt.Errorf("%w: %w", errImage, err)
	}
	return "image/" + format, cfg.Width, cfg.Height, nil
}

// webp reads the size of a WebP file (RFC 9649 §2), 0 if it is unreadable. data has at least 30 bytes.
func webp(data []byte) (w, h int) {
	le := binary.LittleEndian
	switch string(data[12:16]) {
	case "VP8X":
		return 1 + int(data[24]) + int(data[25])<<8 + int(data[26])<<16, 1 + int(data[27]) + int(data[28])<<8 + int(data[29])<<16
	case "VP8L":
		bits := le.Uint32(data[21:])
		return 1 + int(bits&0x3fff), 1 + int(bits>>14&0x3fff)
	case "VP8 ":
		return int(le.Uint16(data[26:]) & 0x3fff), int(le.Uint16(data[28:]) & 0x3fff)
	}
	return 0, 0
}

// smaller decodes an image and writes it anew, so that neither side is longer than smallSide.
func smaller(data []byte) (out []byte, typ string, w, h int, err error) {
	decoding.Lock()
	defer decoding.Unlock()
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, "", 0, 0, fmt.Errorf("%w: %w", errImage, err)
	}
	small := shrink(img)
	w, h = small.Bounds().Dx(), small.Bounds().Dy()
	var b bytes.Buffer
	if small.Opaque() {
		typ, err = "image/jpeg", jpeg.Encode(&b, small, &jpeg.Options{Quality: 85})
	} else {
		typ, err = "image/png", png.Encode(&b, small)
	}
	switch {
	case err != nil:
		return nil, "", 0, 0, fmt.Errorf("%w: %w", errImage, err)
	case b.Len() > maxSent:
		return nil, "", 0, 0, fmt.Errorf("%w: still %d bytes", errImage, b.Len())
	}
	return b.Bytes(), typ, w, h, nil
}

// shrink gives each pixel of the result the mean of those that it stands for.
func shrink(img image.Image) *image.NRGBA {
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	if long := max(w, h); long > smallSide {
		w, h = max(1, w*smallSide/long), max(1, h*smallSide/long)
	}
	out := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		y0, y1 := b.Min.Y+y*b.Dy()/h, b.Min.Y+max(y*b.Dy()/h+1, (y+1)*b.Dy()/h)
		for x := range w {
			x0, x1 := b.Min.X+x*b.Dx()/w, b.Min.X+max(x*b.Dx()/w+1, (x+1)*b.Dx()/w)
			out.Set(x, y, mean(img, x0, y0, x1, y1))
		}
	}
	return out
}

func mean(img image.Image, x0, y0, x1, y1 int) color.Color {
	var r, g, b, a, n uint64
	for y := y0; y < y1; y++ {
		for x := x0; x < x1; x++ {
			pr, pg, pb, pa := img.At(x, y).RGBA()
			r, g, b, a, n = r+uint64(pr), g+uint64(pg), b+uint64(pb), a+uint64(pa), n+1
		}
	}
	n = max(n, 1)
	return color.RGBA64{R: uint16(r / n), G: uint16(g / n), B: uint16(b / n), A: uint16(a / n)} //nolint:gosec // means of 16 bits
}
