package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bridgehost/internal/itest"
)

// plainLinks is one text hook and one room of a component.
func plainLinks(t testing.TB, s *itest.Server, room string) string {
	t.Helper()
	return withSecret(t, xmppLink("home", s, "bridge.test")+"create_rooms = true\n[link.hooks]\nplugin = \"webhook\"\n"+hook("plain")+
		oneWay("hooks:plain", "home:"+room, ""))
}

// TestProsodyDown stops Prosody. Posts are still accepted, and when it is back
// all arrive by themselves, soon, in order and once.
func TestProsodyDown(t *testing.T) {
	server := itest.Prosody(t, itest.Options{Components: map[string]string{"bridge.test": secret}, Users: map[string]string{"watcher": "pw"}})
	room := server.Room("ops")
	b := newBridge(t, plainLinks(t, server, room))
	b.start()
	b.ready()
	b.accept("plain-token", "n 0")
	b.until("the first is delivered", func() bool { waiting, _ := b.depth("home"); return waiting == 0 })
	server.Stop()
	const posts = 300
	for i := 1; i < posts; i++ {
		b.accept("plain-token", fmt.Sprintf("n %d", i))
		time.Sleep(20 * time.Millisecond) // spread over several attempts to connect
	}
	b.waitLink("home", "down", "")
	server.Start()
	back := time.Now()
	b.until("all is delivered", func() bool { waiting, _ := b.depth("home"); return waiting == 0 })
	took := time.Since(back)
	t.Logf("%d messages delivered %v after Prosody was back", posts-1, took.Round(time.Millisecond))
	within(t, "delivery after the outage", took, 8*time.Second)
	watcher := itest.Slix(t, server.Account("watcher"))
	watcher.Join(room, "watcher")
	archive := watcher.Archive(room)
	for i, m := range archive {
		if want := fmt.Sprintf("n %d", i); m.Body != want {
			t.Fatalf("message %d of the room is %q, want %q", i, m.Body, want)
		}
	}
	if len(archive) != posts {
		t.Errorf("%d messages in the room, want %d", len(archive), posts)
	}
}

// smallDisk puts the data folder of a bridge on a file system of its own.
func (b *bridge) smallDisk(size string) string {
	b.t.Helper()
	dir := filepath.Join(b.dir, "data")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		b.t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		b.t.Skipf("a small file system needs root: mount: %v", err)
	}
	b.t.Cleanup(func() {
		b.kill()
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			b.t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// fill writes a file until the disk has only so much left.
func fill(t testing.TB, dir string, left int64) string {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 4096)
	for {
		var fs syscall.Statfs_t
		if err := syscall.Statfs(dir, &fs); err != nil {
			t.Fatal(err)
		}
		if int64(fs.Bavail)*fs.Bsize <= left {
			break
		}
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestDiskFull fills the disk of the data folder, up to the reserve and up to
// the last byte. Posts are refused with 503 and Retry-After, what was accepted
// is delivered once, and when there is space again all goes on by itself.
func TestDiskFull(t *testing.T) {
	for _, c := range []struct {
		name, reserve string
		left          int64
	}{
		{"reserve", `disk_reserve = "8MiB"`, 7 << 20},
		{"last byte", `disk_reserve = "0B"`, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := itest.Prosody(t, itest.Options{Components: map[string]string{"bridge.test": secret}, Users: map[string]string{"watcher": "pw"}})
			room := server.Room("ops")
			watcher := itest.Slix(t, server.Account("watcher"))
			watcher.Join(room, "watcher")
			b := newBridgeWith(t, c.reserve, plainLinks(t, server, room))
			disk := b.smallDisk("32m")
			b.start()
			b.ready()
			var accepted []string
			post := func(text string) answer {
				a, err := b.post(t.Context(), "/post/plain-token", "text/plain", text)
				if err != nil {
					t.Fatal(err)
				}
				if a.status == 202 {
					accepted = append(accepted, text)
				}
				return a
			}
			post("before")
			filler := fill(t, disk, c.left)
			var refused answer
			for i := 0; refused.status != 503; i++ {
				if i == 5000 {
					t.Fatal("5,000 posts were accepted on a full disk")
				}
				refused = post(fmt.Sprintf("full %d", i))
			}
			var doc struct{ Error, Detail string }
			if err := json.Unmarshal([]byte(refused.body), &doc); err != nil || doc.Error == "" || !strings.Contains(doc.Detail, "storage") || refused.header.Get("Retry-After") == "" {
				t.Errorf("refusal %s with header %v (%v)", refused.body, refused.header, err)
			}
			t.Logf("after %d more posts: %s", len(accepted)-1, strings.TrimSpace(refused.body))
			if code := b.get("/livez", nil); code != 200 {
				t.Errorf("livez %d on a full disk", code)
			}
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			freed := time.Now()
			b.until("posts are accepted again", func() bool { return post("after").status == 202 })
			t.Logf("accepted again %v after there was space", time.Since(freed).Round(time.Millisecond))
			b.ready()
			b.drained()
			for _, text := range accepted {
				watcher.WaitBody(room, text)
			}
			if n := len(watcher.Messages(room)); n != len(accepted) {
				t.Errorf("%d messages in the room, %d were accepted", n, len(accepted))
			}
		})
	}
}

// alive reports whether a process runs; a zombie does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// TestNoOrphans kills the host: its plugins are gone within two seconds, and
// the next start works at once. While one host runs a second one is refused.
func TestNoOrphans(t *testing.T) {
	server := itest.Prosody(t, itest.Options{Components: map[string]string{"bridge.test": secret}, Users: map[string]string{"watcher": "pw"}})
	b := newBridge(t, plainLinks(t, server, server.Room("ops")))
	b.start()
	b.ready()
	out, err := exec.Command(binary(t), "run", "-c", b.configFile()).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "data") || !strings.Contains(string(out), "another") {
		t.Errorf("a second host in the same data folder: %v\n%s", err, out)
	}
	t.Logf("second start: %s", strings.TrimSpace(string(out)))
	b.accept("plain-token", "the first one goes on")
	pids := b.children()
	if len(pids) != 2 {
		t.Fatalf("children %v, want xmpp and webhook", pids)
	}
	b.kill()
	killed := time.Now()
	for name, pid := range pids {
		for alive(pid) {
			if time.Since(killed) > 2*time.Second {
				t.Fatalf("%s (%d) lives on after the host was killed", name, pid)
			}
			time.Sleep(time.Millisecond)
		}
	}
	t.Logf("plugins gone %v after the kill", time.Since(killed).Round(time.Millisecond))
	b.start()
	b.ready()
}
