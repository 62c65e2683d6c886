package convert

import (
	"fmt"
	"strings"

	"bridgehost/sdk"
)

func (c *composer) poll(p *sdk.Poll) string {
	if p == nil {
		return ""
	}
	c.lose(sdk.LossPoll, "shown as text, without a way to vote")
	var b strings.Builder
	for i, o := range p.Options {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%d. %s", i+1, oneLine(o.Text))
		if o.Votes > 0 {
			fmt.Fprintf(&b, " (%d)", o.Votes)
		}
	}
	return b.String()
}

func (c *composer) calendar(e *sdk.CalendarEvent) string {
	if e == nil {
		return ""
	}
	c.lose(sdk.LossCalendar, "shown as text")
	lines := []string{oneLine(e.Name)}
	layout := "2006-01-02 15:04 MST"
	if e.AllDay {
		layout = "2006-01-02"
	}
	if !e.Start.IsZero() {
		when := e.Start.Format(layout)
		if !e.End.IsZero() {
			when += " – " + e.End.Format(layout)
		}
		lines = append(lines, when)
	}
	for _, line := range []string{oneLine(e.Location), e.OnlineURL, e.URL} {
		if line != "" {
			lines = append(lines, line)
		}
	}
	if e.Description != nil && e.Description.Plain != "" {
		lines = append(lines, e.Description.Plain)
	}
	return strings.Join(lines, "\n")
}
