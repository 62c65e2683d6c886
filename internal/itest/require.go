package itest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// RequireEnv is the environment variable that turns a missing server or client from a skipped test into a failed one.
const RequireEnv = "BRIDGEHOST_REQUIRE_SERVERS"

// missing skips the test with the reason, or fails it where the servers are required.
func missing(t TB, format string, args ...any) {
	t.Helper()
	reason := fmt.Sprintf(format, args...)
	if os.Getenv(RequireEnv) == "1" {
		t.Fatalf("%s (required, since %s=1; scripts/install-test-deps installs it)", reason, RequireEnv)
	}
	t.Skipf("%s (scripts/install-test-deps installs it)", reason)
}

// requireProgram returns the path of the first candidate that is an executable, looked up in PATH when it has no slash.
func requireProgram(t TB, debianPackage string, candidates ...string) string {
	t.Helper()
	for _, candidate := range candidates {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	missing(t, "none of the programs %q of Debian's package %s is installed", candidates, debianPackage)
	return ""
}

// requireFile returns the first file that matches the pattern.
func requireFile(t TB, debianPackage, pattern string) string {
	t.Helper()
	matches, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatalf("file pattern %s: %v", pattern, err)
	}
	if len(matches) == 0 {
		missing(t, "no file matches %s of Debian's package %s", pattern, debianPackage)
	}
	return matches[0]
}
