package activitypub

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"bridgehost/plugins/activitypub/internal/sign"
	"bridgehost/sdk/web"
)

// BenchmarkInbox takes direct messages of one far actor: signature, origin, records
// on disk, and Publish of a host in memory.
func BenchmarkInbox(b *testing.B) {
	a, _ := pair(b)
	e := newEvil(b)
	go func() {
		for range a.host.Events() { // drained so that Publish does not wait
		}
	}()
	mallory, ours := e.id("mallory"), a.web.URL+"/ap/u/juliet"
	key := sign.Key{ID: mallory + "#main-key", Signer: e.keys["mallory"].RSA}
	requests := make([]*web.Request, b.N+1)
	for i := range requests {
		body := []byte(fmt.Sprintf(`{"@context":"https://www.w3.org/ns/activitystreams","id":"%[1]s/c/%[3]d","type":"Create","actor":%[1]q,"to":[%[2]q],`+
			`"object":{"id":"%[1]s/n/%[3]d","type":"Note","attributedTo":%[1]q,"content":"<p>poison</p>","to":[%[2]q]}}`, mallory, ours, i))
		r := &sign.Request{Method: http.MethodPost, Target: "/ap/inbox", Host: a.domain, Header: map[string][]string{"Content-Type": {"application/activity+json"}}, Body: body}
		if err := sign.Sign(r, sign.Cavage, key, time.Now()); err != nil {
			b.Fatal(err)
		}
		requests[i] = &web.Request{Method: r.Method, Prefix: "/ap", Path: "/inbox", Target: r.Target, Host: r.Host, Header: r.Header, Body: body}
	}
	if resp, err := a.link.ServeWeb(b.Context(), requests[b.N]); err != nil || resp.Status != http.StatusAccepted {
		b.Fatalf("the first: %+v, %v", resp, err)
	}
	var next atomic.Int64
	b.ResetTimer()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := a.link.ServeWeb(b.Context(), requests[next.Add(1)-1])
			if err != nil || resp.Status != http.StatusAccepted {
				b.Errorf("refused: %+v, %v", resp, err)
				return
			}
		}
	})
}
