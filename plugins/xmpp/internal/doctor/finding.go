package doctor

import (
	"fmt"
	"io"
	"strings"
)

// Status is how a check ended.
type Status string

// Statuses.
const (
	OK   Status = "ok"
	Warn Status = "warn" // works, but less well
	Fail Status = "fail" // does not work
	Skip Status = "skip" // was not checked; the fact says why
)

// Remedy is what an operator adds to a configuration.
type Remedy struct {
	Server string   `json:"server"` // prosody, ejabberd, bridgehost or dns
	Where  string   `json:"where"`  // section of the configuration, such as `Component "muc.example.org" "muc"` or "modules:"
	Lines  []string `json:"lines"`  // exactly what to write there, indented below Where
	Remark string   `json:"remark,omitempty"`
}

// Finding is the result of one check.
type Finding struct {
	Check    string   `json:"check"`             // such as room-archive; stable
	Subject  string   `json:"subject,omitempty"` // address that was examined
	Status   Status   `json:"status"`
	Fact     string   `json:"fact"`
	Remedies []Remedy `json:"remedies,omitempty"`
}

// Report is the result of all checks of one link.
type Report struct {
	Link     string    `json:"link"`
	Mode     string    `json:"mode"` // component or client
	Domain   string    `json:"domain"`
	Server   string    `json:"server,omitempty"`   // kind of the server: prosody, ejabberd; empty = unknown
	Software string    `json:"software,omitempty"` // what the server calls itself
	Findings []Finding `json:"findings"`
}

// Count counts the findings of a status.
func (r *Report) Count(s Status) int {
	n := 0
	for _, f := range r.Findings {
		if f.Status == s {
			n++
		}
	}
	return n
}

// Find gives the first finding of a check about a subject; an empty subject is any.
func (r *Report) Find(check, subject string) (Finding, bool) {
	for _, f := range r.Findings {
		if f.Check == check && (subject == "" || f.Subject == subject) {
			return f, true
		}
	}
	return Finding{}, false
}

// add notes a finding. Of the remedies only those for the server's kind stay,
// if that kind is known.
func (r *Report) add(check, subject string, s Status, fact string, remedies ...Remedy) {
	f := Finding{Check: check, Subject: subject, Status: s, Fact: fact}
	for _, m := range remedies {
		if r.Server == "" || m.Server != kindProsody && m.Server != kindEjabberd || m.Server == r.Server {
			f.Remedies = append(f.Remedies, m)
		}
	}
	r.Findings = append(r.Findings, f)
}

// Width of a line of the text form.
const textWidth = 110

// Write writes the report for people.
func (r *Report) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "link %s: %s %s", r.Link, r.Mode, r.Domain)
	if r.Software != "" {
		fmt.Fprintf(&b, " on %s", r.Software)
	}
	b.WriteByte('\n')
	shown := map[string]bool{}
	for _, f := range r.Findings {
		f.write(&b, shown)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// labels are the words of the text form.
var labels = map[Status]string{OK: "ok", Warn: "warn", Fail: "FAIL", Skip: "-"}

// names are the servers of remedies as people write them.
var names = map[string]string{kindProsody: "Prosody", kindEjabberd: "ejabberd", "bridgehost": "bridgehost", "dns": "DNS"}

// write writes one finding. Remedies that were shown before are not repeated.
func (f Finding) write(b *strings.Builder, shown map[string]bool) {
	const indent = 24
	head := fmt.Sprintf("  %-4s  %-15s ", labels[f.Status], f.Check)
	fact := f.Fact
	if f.Subject != "" {
		fact = f.Subject + ": " + fact
	}
	for i, line := range wrap(fact, textWidth-indent) {
		if i > 0 {
			head = strings.Repeat(" ", indent)
		}
		b.WriteString(head + line + "\n")
	}
	for _, m := range f.Remedies {
		key := m.Server + "\n" + m.Where + "\n" + strings.Join(m.Lines, "\n")
		if shown[key] {
			fmt.Fprintf(b, "        %s: the same lines in %s as above\n", names[m.Server], strings.TrimSuffix(m.Where, ":"))
			continue
		}
		shown[key] = true
		fmt.Fprintf(b, "        %s, add in %s:\n", names[m.Server], strings.TrimSuffix(m.Where, ":"))
		for _, line := range m.Lines {
			b.WriteString("            " + line + "\n")
		}
		for _, line := range wrap(m.Remark, textWidth-8) {
			b.WriteString("        " + line + "\n")
		}
	}
}

// wrap breaks text between words.
func wrap(text string, width int) []string {
	var out []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > width:
			out, line = append(out, line), word
		default:
			line += " " + word
		}
	}
	if line != "" {
		out = append(out, line)
	}
	return out
}
