package wire

import (
	"context"
	"errors"
	"io"
	"testing"

	"bridgehost/sdk"
	"bridgehost/sdk/codec"
)

// script is a stream that hands out frames, then ends when it is stopped.
type script struct {
	frames [][]byte
	stop   chan struct{}
}

func newScript(frames ...[]byte) *script { return &script{frames: frames, stop: make(chan struct{})} }

func (s *script) SendMsg(any) error { return nil }

func (s *script) RecvMsg(m any) error {
	if len(s.frames) > 0 {
		m.(*inFrame).data = s.frames[0]
		s.frames = s.frames[1:]
		return nil
	}
	<-s.stop
	return io.EOF
}

// blocking answers calls when their context ends.
type blocking struct{}

func (blocking) answer(ctx context.Context, _ codec.Envelope) codec.Body {
	<-ctx.Done()
	return &codec.Done{}
}
func (blocking) note(codec.Envelope) {}

func calls(from, n uint64) []byte {
	var f []byte
	for i := range n {
		f = codec.AppendEnvelope(f, from+i, 0, &codec.Ping{})
	}
	return f
}

func TestViolationsEndTheSession(t *testing.T) {
	for name, c := range map[string]struct {
		frames [][]byte
		want   error
	}{
		"calls without credit": {[][]byte{calls(1, Window), calls(1+Window, 1)}, errWindow},
		"number used twice":    {[][]byte{calls(1, 1), calls(1, 1)}, errCallID},
		"too much credit":      {[][]byte{codec.AppendCredit(nil, maxCredit+1)}, errCredit},
		"credit adds up":       {[][]byte{codec.AppendCredit(nil, maxCredit), codec.AppendCredit(nil, 1)}, errCredit},
		"no frame":             {[][]byte{{0xff}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(c.frames...)
			err := newPeer(s, blocking{}).run(t.Context(), func() {})
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("session ended with %v, want %v", err, c.want)
			}
		})
	}
}

func TestHarmlessOddities(t *testing.T) {
	done := codec.AppendEnvelope(nil, 77, 0, &codec.Done{})     // a reply to no call
	cancel := codec.AppendEnvelope(nil, 78, 0, &codec.Cancel{}) // of no call
	note := codec.AppendEnvelope(nil, 0, 0, &codec.Ping{})
	s := newScript(done, cancel, note, nil)
	p := newPeer(s, blocking{})
	ended := make(chan error, 1)
	go func() { ended <- p.run(t.Context(), func() {}) }()
	close(s.stop)
	if err := <-ended; err != nil {
		t.Errorf("session ended with %v", err)
	}
	if err := p.call(t.Context(), &codec.Ping{}, nil); !errors.Is(err, errEnded) {
		t.Errorf("call after the end: %v", err)
	}
}

// FuzzSession feeds foreign frames to the plugin's half, which must neither
// panic nor hang.
func FuzzSession(f *testing.F) {
	f.Add(codec.AppendEnvelope(codec.AppendCredit(nil, 3), 1, 0, &codec.Describe{ContractMin: 1}))
	open := codec.AppendEnvelope(nil, 1, 0, &codec.Open{})
	f.Add(codec.AppendEnvelope(open, 2, 0, &codec.Deliver{Deliveries: []sdk.Delivery{{ID: "d"}}}))
	f.Add(codec.AppendEnvelope(open, 2, 5, &codec.Run{}))
	f.Fuzz(func(t *testing.T, frame []byte) {
		s := newScript(frame)
		close(s.stop)
		side := &pluginSide{plugin: quietPlugin{}}
		side.peer = newPeer(s, side)
		_ = side.peer.run(t.Context(), func() {})
	})
}

type quietPlugin struct{}

func (quietPlugin) Describe() sdk.Manifest                        { return sdk.Manifest{ID: "quiet"} }
func (p quietPlugin) Open(sdk.Config, sdk.Host) (sdk.Link, error) { return p, nil }
func (quietPlugin) Run(ctx context.Context) error                 { <-ctx.Done(); return nil }
func (quietPlugin) Deliver(context.Context, []sdk.Delivery) ([]sdk.Receipt, error) {
	return nil, nil
}
