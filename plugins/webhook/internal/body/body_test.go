package body

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"bridgehost/plugins/webhook/internal/jsonval"
	"bridgehost/plugins/webhook/internal/render"
)

func TestDecode(t *testing.T) {
	const formType = "application/x-www-form-urlencoded"
	multi := "--B\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n1\r\n--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nä\r\n" +
		"--B\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n2\r\n--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.bin\"\r\n\r\n\xff\xfe\r\n--B--\r\n"
	for _, c := range []struct{ name, ct, in, want string }{
		{"object", "application/json", `{"b":1,"a":[]}`, `{"b": 1, "a": []}`},
		{"empty object", "application/json; charset=UTF-8", `{}`, `{}`},
		{"string", "application/json", `"x"`, `"x"`},
		{"vendor", "application/vnd.github+json", `[1]`, `[1]`},
		{"form", formType, "b=1&a=%C3%A4+x&b=2&e", `{"b": ["1", "2"], "a": "ä x", "e": ""}`},
		{"github form", formType, "payload=%7B%22a%22%3A1%7D", `{"a": 1}`},
		{"payload that is text", formType, "payload=hello", `{"payload": "hello"}`},
		{"multipart", "multipart/form-data; boundary=B", multi, `{"b": ["1", "2"], "a": "ä", "f": "x.bin (file, 2 bytes)"}`},
		{"text", "text/plain", "a\nb", `"a\nb"`},
	} {
		v, err := Decode(c.ct, "", []byte(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got, err := render.CompactJSON(v, 1<<20); err != nil || got != c.want {
			t.Errorf("%s: got %s, %v; want %s", c.name, got, err, c.want)
		}
	}
}

// TestWH04Bodies holds bodies that must be refused, with their status.
func TestWH04Bodies(t *testing.T) {
	for _, c := range []struct {
		name, ct, enc, in string
		status            int
		detail            string
	}{
		{"no type", "", "", "{}", 415, "missing"},
		{"other type", "application/xml", "", "<a/>", 415, `"application/xml"`},
		{"broken type", "a/b/c;;", "", "{}", 415, "malformed"},
		{"latin-1", "text/plain; charset=iso-8859-1", "", "x", 415, "charset"},
		{"gzip", "application/json", "gzip", "x", 415, "encoding"},
		{"empty", "application/json", "", "", 400, "empty"},
		{"blank text", "text/plain", "", " \n", 400, "empty"},
		{"duplicate keys", "application/json", "", `{"a":1,"a":2}`, 400, "line 1, column 8"},
		{"deep", "application/json", "", strings.Repeat("[", 200_000), 400, "deeper than 64"},
		{"bad utf-8 in json", "application/json", "", "\"\xff\"", 400, "UTF-8"},
		{"bad utf-8 in text", "text/plain", "", "\xff", 400, "UTF-8"},
		{"bad utf-8 in form", "application/x-www-form-urlencoded", "", "a=%ff", 400, "UTF-8"},
		{"bad escape", "application/x-www-form-urlencoded", "", "a=%zz", 400, "escaped"},
		{"form without fields", "application/x-www-form-urlencoded", "", "&&", 400, "no fields"},
		{"many fields", "application/x-www-form-urlencoded", "", strings.Repeat("a=1&", 1001), 413, "fields"},
		{"no boundary", "multipart/form-data", "", "x", 400, "boundary"},
		{"cut multipart", "multipart/form-data; boundary=B", "", "--B\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n1", 400, "no end"},
		{"payload broken", "application/x-www-form-urlencoded", "", "payload={x", 400, "field payload"},
		{"many values", "application/json", "", "[" + strings.Repeat("0,", jsonval.MaxValues) + "0]", 413, "too large"},
	} {
		_, err := Decode(c.ct, c.enc, []byte(c.in))
		var p *Problem
		if !errors.As(err, &p) || p.Status != c.status || !strings.Contains(p.Detail, c.detail) || p.Remedy == "" {
			t.Errorf("%s: got %+v, want %d with %q and a remedy", c.name, err, c.status, c.detail)
		}
	}
}

func FuzzBody(f *testing.F) {
	for _, ct := range []string{"application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=B", "text/plain", ""} {
		f.Add(ct, []byte(`{"a":[1,"x"]}`))
		f.Add(ct, []byte("payload={\"a\":1}&b=2"))
		f.Add(ct, []byte("--B\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n1\r\n--B--\r\n"))
	}
	f.Fuzz(func(t *testing.T, ct string, data []byte) {
		v, err := Decode(ct, "", data)
		if err != nil {
			var p *Problem
			if !errors.As(err, &p) || p.Status < 400 || p.Status > 499 || !utf8.ValidString(p.Detail) {
				t.Fatalf("error is no problem of the sender: %v", err)
			}
			return
		}
		for _, write := range []func(jsonval.Value, int) (string, error){render.JSON, render.YAML} {
			text, err := write(v, 1<<20)
			if err == nil && (text == "" || !utf8.ValidString(text) || render.Clean(text) != text) {
				t.Fatalf("text %q of %q", text, data)
			}
		}
	})
}
