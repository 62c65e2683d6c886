//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"bridgehost/internal/itest"
)

// TestDoctorWhileRunning holds the data folder as a running host does. On a server
// where a second connection ends the first, doctor must not connect then.
func TestDoctorWhileRunning(t *testing.T) {
	srv := itest.Prosody(t, itest.Options{Components: map[string]string{"bridge.xmpp.test": "s3cret"}, KickOldComponent: true})
	path := doctorConfig(t, srv, "s3cret")
	data := filepath.Join(filepath.Dir(path), "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := os.OpenFile(filepath.Join(data, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Close() }) // closed below, unless the test ends early
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	before := strings.Count(string(srv.Log()), "External component successfully authenticated")
	code, text, _ := doctor(t, "-c", path, "--c2s", srv.C2S)
	if code != exitGood || !strings.Contains(text, "  -     connection") || !strings.Contains(text, "stop bridgehost for a full examination") {
		t.Errorf("code %d\n%s", code, strings.ReplaceAll(text, "\n", "\n\t"))
	}
	if after := strings.Count(string(srv.Log()), "External component successfully authenticated"); after != before {
		t.Errorf("doctor connected as the component: %d times before, %d after", before, after)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	doctor(t, "-c", path, "--c2s", srv.C2S)
	if after := strings.Count(string(srv.Log()), "External component successfully authenticated"); after != before+1 {
		t.Errorf("without a running host doctor connected %d times", after-before)
	}
}
