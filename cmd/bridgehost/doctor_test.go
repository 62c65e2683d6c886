package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bridgehost/internal/itest"
	"bridgehost/plugins/xmpp"
)

// doctorConfig writes a configuration with one XMPP link and gives its path.
func doctorConfig(t *testing.T, srv *itest.Server, secret string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bridgehost.toml")
	content := fmt.Sprintf(`[link.home]
plugin = "xmpp"
[link.home.config]
mode = "component"
address = %q
domain = "bridge.xmpp.test"
secret = %q
tls.ca_file = %q

[link.hooks]
plugin = "webhook"
[link.hooks.config.hook.ci]
token = "0123456789abcdef0123456789abcdef"

[[route]]
from = "hooks:ci"
to = ["home:ops@muc.xmpp.test"]
`, srv.Component, secret, srv.CAFile)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// doctor runs the command.
func doctor(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"doctor"}, args...), strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func TestDoctor(t *testing.T) {
	srv := itest.Prosody(t, itest.Options{Components: map[string]string{"bridge.xmpp.test": "s3cret"}})
	path := doctorConfig(t, srv, "s3cret")
	code, text, stderr := doctor(t, "-c", path, "--c2s", srv.C2S)
	if code != exitFound || stderr != "" {
		t.Errorf("code %d, errors %q", code, stderr)
	}
	for _, want := range []string{
		"link home: component bridge.xmpp.test on Prosody",
		"  ok    secret          bridge.xmpp.test: the server accepts the connection\n",
		"  FAIL  room            ops@muc.xmpp.test: does not exist",
		"            create_rooms = true\n",
		"  FAIL  upload          xmpp.test: has no upload service",
		"            Component \"upload.xmpp.test\" \"http_file_share\"\n",
		"  ok    c2s             " + srv.C2S + ": is open and encrypted\n",
		" failed, ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "s3cret") {
		t.Error("the secret is in the report")
	}
	code, text, _ = doctor(t, "-c", path, "--json", "--problems", "home")
	var reports []xmpp.Report
	if err := json.Unmarshal([]byte(text), &reports); err != nil || code != exitFound {
		t.Fatalf("code %d, %v in %s", code, err, text)
	}
	if len(reports) != 1 || reports[0].Link != "home" || reports[0].Server != "prosody" || reports[0].Count(xmpp.FindingOK) != 0 || reports[0].Count(xmpp.FindingFail) != 2 {
		t.Errorf("reports %+v", reports)
	}
}

func TestDoctorWrongSecret(t *testing.T) {
	srv := itest.Prosody(t, itest.Options{Components: map[string]string{"bridge.xmpp.test": "s3cret"}})
	code, text, _ := doctor(t, "-c", doctorConfig(t, srv, "wrong"))
	if code != exitFound || !strings.Contains(text, "FAIL  secret          bridge.xmpp.test: the server knows another secret") || strings.Contains(text, "wrong") {
		t.Errorf("code %d\n%s", code, text)
	}
}

func TestDoctorUsage(t *testing.T) {
	dir := t.TempDir()
	if code, _, stderr := doctor(t, "-c", filepath.Join(dir, "none.toml")); code != exitConfig {
		t.Errorf("missing file: code %d, %s", code, stderr)
	}
	path := filepath.Join(dir, "b.toml")
	if err := os.WriteFile(path, []byte("[link.home]\nplugin = \"xmpp\"\n[link.home.config]\nmode = \"component\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := doctor(t, "-c", path); code != exitConfig || !strings.Contains(stderr, "secret") {
		t.Errorf("faults: code %d, %s", code, stderr)
	}
	if code, _, stderr := doctor(t, "-c", path, "other"); code != exitUsage || !strings.Contains(stderr, "there is: home") {
		t.Errorf("unknown link: code %d, %s", code, stderr)
	}
	if code, _, _ := doctor(t, "--nonsense"); code != exitUsage {
		t.Errorf("unknown flag: code %d", code)
	}
	code, text, _ := doctor(t, "--help")
	if code != exitGood || strings.Count(text, "  bridgehost doctor ") < 3 || !strings.Contains(text, "Exit codes: 0") {
		t.Errorf("help: code %d\n%s", code, text)
	}
}
