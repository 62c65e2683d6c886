package itest

import (
	"context"
	"os"
	"os/exec"
	"strings"
)

// SendXMPP sends one message with go-sendxmpp: to a room as nick, or to a person when nick is empty.
func SendXMPP(t TB, account Account, to, nick, body string) {
	t.Helper()
	program := requireProgram(t, "go-sendxmpp", "go-sendxmpp", "/usr/bin/go-sendxmpp")
	ctx, cancel := context.WithTimeout(t.Context(), WaitTimeout)
	defer cancel()
	args := []string{"-u", account.JID, "-p", account.Password, "-j", account.Address}
	if account.DirectTLS {
		args = append(args, "-t")
	}
	if nick != "" {
		args = append(args, "-c", "-a", nick)
	}
	cmd := exec.CommandContext(ctx, program, append(args, to)...)
	cmd.Stdin = strings.NewReader(body)
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+account.CAFile, "HOME="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go-sendxmpp to %s: %v\n%s", to, err, out)
	}
}
