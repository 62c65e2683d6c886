package richtext

import (
	"strings"
	"testing"
	"time"

	"bridgehost/sdk"
)

// TestHostileStyling wants time in proportion to the length: 256 KiB of what could take its square.
func TestHostileStyling(t *testing.T) {
	const n = 256 << 10
	for _, unit := range []string{"*a ", " *a", "*", "*_~`", "*a* ", ">", "> ", "> *a*\n", "```\n", "```\na\n```\n", "_*a*_ *_b_*\n", "*a\n", ">\n```\n", "`*`*", "a* *"} {
		body := strings.Repeat(unit, n/len(unit))
		start := time.Now()
		text, _ := ParseStyling(body)
		PrintStyling(text)
		text.Spans = append(text.Spans, sdk.Span{Kind: sdk.SpanItalic, End: n})
		PrintStyling(text)
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%q repeated takes %v", unit, d)
		} else {
			t.Logf("%q repeated takes %v", unit, d)
		}
	}
}

// BenchmarkHTML reads and writes a MiB of posts.
func BenchmarkHTML(b *testing.B) {
	post := `<p>Tea at <b>four</b>, see <a href="https://tea.example/" rel="nofollow"><span class="invisible">https://</span>tea.example</a> &amp; bring <em>cups</em><br>or not.</p>`
	src := strings.Repeat(post, (1<<20)/len(post))
	b.SetBytes(int64(len(src)))
	doc := ParseHTML(src, HTML{})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			ParseHTML(src, HTML{})
		}
	})
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			PrintHTML(doc.Text, Print{})
		}
	})
	b.Run("write styling", func(b *testing.B) {
		for b.Loop() {
			PrintStyling(doc.Text)
		}
	})
}
