package upload

import (
	"net/http"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"bridgehost/plugins/xmpp/internal/xmltok"
)

func FuzzSlot(f *testing.F) {
	f.Add("<slot xmlns='urn:xmpp:http:upload:0'><put url='https://a/p'><header name='Cookie'>a</header></put><get url='https://a/g'/></slot>")
	f.Add("<slot xmlns='urn:xmpp:http:upload:0'><put url='javascript:1'/><get url='https://a/g'/></slot>")
	f.Fuzz(func(t *testing.T, s string) {
		e, err := xmltok.Parse([]byte(s))
		if err != nil {
			return
		}
		_, _ = parseService(e)
		sl, err := parseSlot(e)
		if err != nil {
			return
		}
		for name, values := range sl.header {
			if name != "Authorization" && name != "Cookie" && name != "Expires" || strings.ContainsAny(strings.Join(values, ""), "\r\n\x00") {
				t.Errorf("header %q: %q", name, values)
			}
		}
		for _, u := range []string{sl.put.Scheme, sl.get.Scheme} {
			if u != "http" && u != "https" {
				t.Errorf("scheme %q", u)
			}
		}
		if _, err := http.NewRequest(http.MethodPut, sl.put.String(), nil); err != nil {
			t.Errorf("address that cannot be used: %v", err)
		}
	})
}

func FuzzFileName(f *testing.F) {
	f.Add("../a\u202e.png", "image/png")
	f.Fuzz(func(t *testing.T, name, mediaType string) {
		got := FileName(name, mediaType)
		if got == "" || len(got) > maxName || !utf8.ValidString(got) || strings.ContainsAny(got, `/\`) || strings.HasPrefix(got, ".") {
			t.Errorf("%q gave %q", name, got)
		}
		for _, r := range got {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
				t.Errorf("%q gave %q", name, got)
			}
		}
		if again := FileName(got, mediaType); again != got {
			t.Errorf("%q gave %q, which gave %q", name, got, again)
		}
	})
}
