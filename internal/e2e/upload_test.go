package e2e

import (
	"bytes"
	"strings"
	"testing"

	"bridgehost/internal/itest"
)

// newUploading is a gateway whose second link puts files of the first server on its own.
func newUploading(t *testing.T, start starter, change func(*itest.Options)) (juliet, romeo *side, b *bridge) {
	t.Helper()
	one := itest.Prosody(t, gatewayOptions("127.0.0.2", "one.test", "juliet"))
	opts := gatewayOptions("127.0.0.3", "two.test", "romeo")
	if change != nil {
		change(&opts)
	}
	two := start(t, opts)
	juliet = &side{server: one, bridge: "bridge.one.test", peer: virtual("romeo@two.test", "bridge.one.test")}
	romeo = &side{server: two, bridge: "bridge.two.test", peer: virtual("juliet@one.test", "bridge.two.test")}
	uploads := strings.TrimSpace(gatewayLink("two", two, romeo.bridge)) +
		"\nmedia = \"upload\"\n[link.two.config.upload]\nplaintext = true\nallow = [\"127.0.0.0/8\"]\n\n"
	b = newBridge(t, withSecret(t, gatewayLink("one", one, juliet.bridge)+uploads+"[[gateway]]\nlinks = [\"one\", \"two\"]\n"))
	b.start()
	b.connected()
	juliet.login(t, "juliet")
	romeo.login(t, "romeo")
	return juliet, romeo, b
}

// share has juliet share a file, and returns its address and what romeo gets.
func share(juliet, romeo *side, name string, data []byte) (url string, got itest.Event) {
	url = juliet.user.Upload(juliet.server.UploadDomain, name, "text/plain", data)
	juliet.user.ShareFile(juliet.peer, itest.File{Name: name, MediaType: "text/plain", Size: len(data), URLs: []string{url}})
	return url, romeo.wait("file "+name, func(e itest.Event) bool { return e.OOB != "" || len(e.Files) > 0 })
}

// TestFilesMove: files of one server are put on the upload service of the other; one that it does not take keeps its address.
func TestFilesMove(t *testing.T) {
	for name, start := range gatewayServers {
		t.Run(name, func(t *testing.T) {
			juliet, romeo, _ := newUploading(t, start, func(o *itest.Options) { o.MaxUpload = 20_000 })
			data := bytes.Repeat([]byte("a rose by any other name "), 400)
			url, got := share(juliet, romeo, "rose.txt", data)
			if got.OOB == url || !strings.Contains(got.OOB, romeo.server.HTTP) {
				t.Fatalf("the file is at %s, want it on %s", got.OOB, romeo.server.HTTP)
			}
			if len(got.Files) != 1 || got.Files[0].Name != "rose.txt" || got.Files[0].Size != len(data) {
				t.Errorf("file %+v", got.Files)
			}
			if fetched, mediaType := itest.Download(t, got.OOB); !bytes.Equal(fetched, data) || !strings.HasPrefix(mediaType, "text/plain") {
				t.Errorf("%d bytes of %s, want the %d of the file", len(fetched), mediaType, len(data))
			}
			url, got = share(juliet, romeo, "big.txt", bytes.Repeat(data, 3))
			if got.OOB != url {
				t.Errorf("a file over the limit of the service is at %s, want %s", got.OOB, url)
			}
			juliet.say(romeo, itest.Message{Body: "and on it goes"})
		})
	}
}

// TestNoUploadService: where there is no upload service, files keep their addresses and texts cross.
func TestNoUploadService(t *testing.T) {
	juliet, romeo, _ := newUploading(t, itest.Prosody, func(o *itest.Options) { o.Upload = false })
	url, got := share(juliet, romeo, "rose.txt", []byte("a rose"))
	if got.OOB != url {
		t.Errorf("the file is at %s, want %s", got.OOB, url)
	}
	juliet.say(romeo, itest.Message{Body: "and on it goes"})
}
