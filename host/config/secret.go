package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// secretFault says why a secret cannot be had; it never holds the secret.
type secretFault struct{ problem, remedy string }

// secretForms are the keys of a table that stands for a secret.
var secretForms = []string{"file", "env", "credential"}

// isSecret reports whether a table stands for a secret: one of its forms alone,
// in an inline table, or as the value of a key that is named like a secret.
func isSecret(m map[string]any, path string, kind tableKind) bool {
	if len(m) != 1 || kind != inlined && !secretKey.MatchString(lastKey(path)) {
		return false
	}
	for _, f := range secretForms {
		if _, ok := m[f].(string); ok {
			return true
		}
	}
	return false
}

// nearlySecret finds a table that was meant to stand for a secret: the value of a
// key that is named like one, with a form that is spelt wrongly.
func nearlySecret(m map[string]any, path string, kind tableKind) (form, near string) {
	if len(m) != 1 || kind != inlined || !secretKey.MatchString(lastKey(path)) {
		return "", ""
	}
	for form = range m {
		near = Nearest(form, secretForms)
	}
	return form, near
}

// resolveSecret reads a secret: a string, { file = … }, { env = … } or
// { credential = … }. Relative files are below the folder of the TOML file.
func resolveSecret(v any, tomlFile string) (string, *secretFault) {
	switch v := v.(type) {
	case string:
		return v, nil
	case map[string]any:
		if isSecret(v, "", inlined) {
			return readSecret(v, tomlFile)
		}
		for form := range v {
			if near := Nearest(form, secretForms); near != "" && len(v) == 1 {
				return "", &secretFault{fmt.Sprintf("%q is no form of a secret", form), fmt.Sprintf("did you mean %q?", near)}
			}
		}
	}
	return "", &secretFault{"this is no secret", `write { file = "PATH" }, { env = "NAME" } or { credential = "NAME" }`}
}

func readSecret(m map[string]any, tomlFile string) (string, *secretFault) {
	if name, ok := m["env"].(string); ok {
		value, set := os.LookupEnv(name)
		if !set || value == "" {
			remedy := "set it, or use { file = … }"
			if near := Nearest(name, environment()); near != "" {
				remedy = fmt.Sprintf("did you mean %q?", near)
			}
			return "", &secretFault{fmt.Sprintf("the environment variable %s is not set", name), remedy}
		}
		return value, nil
	}
	path, ok := m["file"].(string)
	if !ok {
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		if dir == "" {
			return "", &secretFault{"credentials come from systemd, and $CREDENTIALS_DIRECTORY is not set", "start by systemd with LoadCredential=, or use { file = … }"}
		}
		name, _ := m["credential"].(string)
		if name == "" || strings.ContainsAny(name, "/\x00") {
			return "", &secretFault{fmt.Sprintf("%q is no name of a credential", name), "write the name that LoadCredential= gives it"}
		}
		path = filepath.Join(dir, name)
	} else if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(tomlFile), path)
	}
	return readSecretFile(path)
}

// environment lists the names of the variables that are set.
func environment() []string {
	var out []string
	for _, e := range os.Environ() {
		if name, value, ok := strings.Cut(e, "="); ok && value != "" {
			out = append(out, name)
		}
	}
	return out
}

// maxSecret bounds a secret.
const maxSecret = 64 << 10

// readSecretFile reads a file that only its owner and group may read.
func readSecretFile(path string) (string, *secretFault) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not block
	if err != nil {
		return "", &secretFault{fmt.Sprintf("the secret's file cannot be read: %v", err), nearestFile(path)}
	}
	defer file.Close()       // read only
	info, err := file.Stat() // of what is read, not of what has the name by now
	if err != nil {
		return "", &secretFault{fmt.Sprintf("the secret's file cannot be read: %v", err), nearestFile(path)}
	}
	if !info.Mode().IsRegular() {
		return "", &secretFault{path + " is no file", "name a file that holds the secret alone"}
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return "", &secretFault{fmt.Sprintf("the file %s can be used by everybody (mode %04o)", path, mode), "chmod 600 " + path}
	}
	text, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return "", &secretFault{fmt.Sprintf("the secret's file cannot be read: %v", err), "let the program's user read it"}
	}
	if len(text) > maxSecret {
		return "", &secretFault{fmt.Sprintf("the file %s is larger than 64 KiB", path), "put the secret alone into it"}
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" {
		return "", &secretFault{fmt.Sprintf("the file %s is empty", path), "put the secret into it"}
	}
	return secret, nil
}
