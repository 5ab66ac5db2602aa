package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"tributary/cmd/internal/cost"
)

func costText(r *cost.Report) string {
	var out strings.Builder
	fmt.Fprintf(&out, "CloudWatch Logs at %s %s a GB (price of %s), a month has %.0f h\n%s\n", perGB(r.Price.PerGB), r.Price.Currency, r.Price.Date,
		cost.Month.Hours(), costSource(r))
	gigabytes := gigabytesOf(r.Total.SentBytes + r.Total.SavedBytes)
	currency := r.Price.Currency
	soFar := currency + " SO FAR"
	if r.Sample != nil {
		soFar = currency + " FOR IT"
	}
	g := &grid{numbers: 1}
	g.add("SERVICE", "EVENTS", "ERRORS", "SENT GB", "SAVED GB", soFar, currency+" A MONTH", "SHARE", "SAVED A MONTH")
	line := func(name string, l cost.Line) {
		g.add(name, grouped(l.Events), grouped(l.Errors), gigabytes(l.SentBytes), gigabytes(l.SavedBytes), l.SentMoney.String(), l.SentPerMonth.String(),
			percent(l.Share), l.SavedPerMonth.String())
	}
	for _, l := range r.Services {
		line(short(printable(l.Service), 32), l)
	}
	line("(all)", r.Total)
	out.WriteString(g.String())
	if len(r.Rules) > 0 {
		out.WriteString("\n" + ruleTable(r, gigabytes))
	}
	return out.String()
}

// ruleTable shows all rules: one that decides nothing may be one that is misspelt.
func ruleTable(r *cost.Report, gigabytes func(int64) string) string {
	g := &grid{numbers: 2}
	g.add("RULE", "ACTION", "EVENTS", "KEPT BACK", "SAVED GB", "SAVED A MONTH")
	for _, l := range r.Rules {
		g.add(short(printable(l.Rule), 40), l.Action, grouped(l.Events), grouped(l.KeptBack), gigabytes(l.SavedBytes), l.SavedPerMonth.String())
	}
	return g.String()
}

// costSource says what the figures are of.
func costSource(r *cost.Report) string {
	if r.Sample != nil {
		return sampleSource(r.Sample)
	}
	least, most, notes := math.Inf(1), 0.0, ""
	for _, w := range r.Workers {
		least, most = min(least, w.Seconds), max(most, w.Seconds)
		if w.Seconds == 0 {
			notes += wrap("note: " + printable(w.URL) + " was started less than a second ago: nobody knows yet what a month would be")
		}
		if w.OtherPrice != "" {
			notes += wrap("note: " + printable(w.URL) + " itself counts at a price in " + printable(w.OtherPrice))
		}
	}
	span := seconds(most)
	if seconds(least) != span {
		span = seconds(least) + " to " + span
	}
	return fmt.Sprintf("what %s sent in %s\n%s", plural(len(r.Workers), "worker"), span, notes)
}

func sampleSource(s *cost.Sample) string {
	text := fmt.Sprintf("what these rules would send of %s that arrived at stream %s in %s, on %s\n", binary(s.Bytes), printable(s.Stream),
		seconds(s.Until.Sub(s.From).Seconds()), plural(s.Shards, "shard"))
	if s.Cut > 0 {
		text += wrap(fmt.Sprintf("note: %s of that time was read, then --max-bytes was reached on %s; EVENTS and bytes are of what was read, a month follows from it",
			percent(s.Fraction), plural(s.Cut, "shard")))
	}
	if s.Elsewhere > 0 {
		text += wrap(fmt.Sprintf("note: %s addressed to other groups are not counted", events(s.Elsewhere)))
	}
	if s.Rejects > 0 {
		text += wrap("note: not counted is what no decoder understands, and would be rejects: " + grouped(s.Rejects))
	}
	return text
}

func events(n int64) string {
	if n == 1 {
		return "1 event"
	}
	return grouped(n) + " events"
}

// seconds is a time to three figures or so.
func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}

func binary(n int64) string {
	unit, name := int64(1<<20), " MiB"
	switch {
	case n < 1<<10:
		unit, name = 1, " B"
	case n < unit:
		unit, name = 1<<10, " KiB"
	}
	return grouped((n+unit/2)/unit) + name
}

// gigabytesOf writes all bytes of a table alike: of less than a GB in all to a thousand
// bytes, else to a million.
func gigabytesOf(all int64) func(int64) string {
	decimals := 3
	if all < 1<<30 {
		decimals = 6
	}
	return func(n int64) string {
		text := strconv.FormatFloat(float64(n)/(1<<30), 'f', decimals, 64)
		if n > 0 && strings.Trim(text, "0.") == "" {
			return "<" + text[:len(text)-1] + "1"
		}
		return text
	}
}

// perGB has cents at least.
func perGB(price float64) string {
	text := strconv.FormatFloat(price, 'f', -1, 64)
	if cents := strconv.FormatFloat(price, 'f', 2, 64); len(cents) > len(text) {
		return cents
	}
	return text
}

func percent(share float64) string {
	text := strconv.FormatFloat(100*share, 'f', 1, 64)
	if share > 0 && text == "0.0" {
		return "<0.1%"
	}
	return text + "%"
}
