package lease

import (
	"strings"
	"time"
	"unicode/utf8"
)

// maxReportBytes bounds the error in a report: with it an item stays below the
// 1 KB that one write unit pays for.
const maxReportBytes = 400

// Report is what a holder says about its shard for others to see. It is a hint:
// nothing is ever decided by it, and one that cannot be read counts as none.
type Report struct {
	State string
	Since time.Time // to the millisecond
	Error string    // of the failure that lasts, cut after 400 bytes; "" = none
}

// encodeReport gives the attribute of a report.
func encodeReport(r Report) attributes {
	a := attributes{"State": text(r.State), "Since": text(r.Since.UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano))}
	if r.Error != "" {
		a["Error"] = text(bounded(r.Error))
	}
	return a
}

// decodeReport returns nil for what is no report.
func decodeReport(a attributes) *Report {
	all := row{a: a}
	r, ok := all.child(attrReport)
	if !ok {
		return nil
	}
	since, err := time.Parse(time.RFC3339Nano, r.text("Since"))
	report := Report{State: r.text("State"), Since: since, Error: r.text("Error")}
	if err != nil || r.err != nil || report.State == "" {
		return nil
	}
	return &report
}

// bounded cuts a text between two characters.
func bounded(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= maxReportBytes {
		return s
	}
	end := maxReportBytes
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// Report gives what the next write of the lease, most likely its renewal, will
// tell others about the shard. It makes no write of its own.
func (l *Lease) Report(r Report) {
	if r.State == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report = &r
}
