package wire

import (
	"fmt"
	"sync"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec for all other messages
	"google.golang.org/grpc/mem"
)

// outFrame is an encoded frame on its way out; sending consumes it.
type outFrame struct{ data *[]byte }

// inFrame is a frame that came in, not read yet.
type inFrame struct{ data []byte }

// frameCodec passes frames through as bytes and leaves all other messages (those
// of go-plugin's own services) to the codec of protobuf. Its name is that
// codec's, so nothing of it shows on the wire.
type frameCodec struct{ proto encoding.CodecV2 }

func newFrameCodec() frameCodec { return frameCodec{proto: encoding.GetCodecV2("proto")} }

// Name implements encoding.CodecV2.
func (frameCodec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (c frameCodec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*outFrame)
	if !ok {
		return c.proto.Marshal(v)
	}
	return mem.BufferSlice{mem.NewBuffer(f.data, frames)}, nil
}

// Unmarshal implements encoding.CodecV2.
func (c frameCodec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*inFrame)
	if !ok {
		return c.proto.Unmarshal(data, v)
	}
	if data.Len() > MaxFrame {
		return fmt.Errorf("frame of %d bytes: the limit is %d", data.Len(), MaxFrame)
	}
	f.data = data.Materialize()
	return nil
}

// framePool keeps the buffers of sent frames for the next ones.
type framePool struct{ pool sync.Pool }

var frames = &framePool{}

// Get implements mem.BufferPool.
func (p *framePool) Get(length int) *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok && cap(*b) >= length {
		*b = (*b)[:length]
		return b
	}
	b := make([]byte, length, max(length, firstFrame))
	return &b
}

// Put implements mem.BufferPool. Large buffers are left to the collector.
func (p *framePool) Put(b *[]byte) {
	if cap(*b) <= 2*fullFrame {
		p.pool.Put(b)
	}
}

var (
	_ encoding.CodecV2 = frameCodec{}
	_ mem.BufferPool   = (*framePool)(nil)
)
