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
