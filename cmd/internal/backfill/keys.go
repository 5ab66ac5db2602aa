package backfill

import (
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"tributary/schema"
)

// form is what an object is.
type form uint8

const (
	foreign form = iota // neither of the others
	lines
	parquet
)

// place is what an object's key tells.
type place struct {
	form      form
	service   string      // empty: the key does not tell
	kind      schema.Kind // unset likewise
	kindName  string      // as the key has it
	container string
	at        time.Time     // where the time that the key tells begins; zero: none
	span      time.Duration // how long that is
}

var (
	// applications/<service>/<kind>/YYYY/MM/DD/HH/…, below whatever folder. A lake with
	// the template "applications" looks alike.
	applicationsShape = regexp.MustCompile(`(?:^|/)([^/]+)/([^/]+)/(\d{4})/(\d{2})/(\d{2})/(\d{2})/[^/]+$`)
	// MM_<container>_N.gz
	minuteShape = regexp.MustCompile(`^(\d{2})_(?:(.+)_)?\d+\.`)
)

// placeOf reads a key. Its times are of a zone, which Fluentd's are unless it was told
// otherwise; a lake's are UTC.
func placeOf(key string, zone *time.Location) place {
	p := place{form: formOf(key)}
	if p.form == foreign {
		return p
	}
	if p.form == parquet {
		zone = time.UTC
	}
	if m := applicationsShape.FindStringSubmatch(key); m != nil {
		p.service, p.kindName = m[1], m[2]
		p.tell(m[3]+"-"+m[4]+"-"+m[5], m[6], zone)
		if m := minuteShape.FindStringSubmatch(path.Base(key)); m != nil && p.form == lines {
			p.container = m[2]
			if minute, err := time.ParseDuration(m[1] + "m"); err == nil && minute < time.Hour && !p.at.IsZero() {
				p.at = p.at.Add(minute)
			}
		}
	} else {
		p.hive(key)
	}
	p.kind = kindNamed(p.kindName)
	if p.form == parquet {
		// Written as a segment of a path; the rows tell it as it is.
		p.service = ""
	}
	return p
}

// hive reads segments such as kind=app.
func (p *place) hive(key string) {
	var day, hour string
	for segment := range strings.SplitSeq(path.Dir(key), "/") {
		name, value, is := strings.Cut(segment, "=")
		if text, err := url.PathUnescape(value); err == nil {
			value = text
		}
		switch {
		case !is:
		case name == "kind":
			p.kindName = value
		case name == "service":
			p.service = value
		case name == "dt":
			day = value
		case name == "hour":
			hour = value
		}
	}
	if day != "" {
		p.tell(day, hour, time.UTC)
	}
}

// tell sets the time that a day and an hour are; no hour is the whole day.
func (p *place) tell(day, hour string, zone *time.Location) {
	if hour == "" {
		if at, err := time.ParseInLocation(time.DateOnly, day, zone); err == nil {
			p.at, p.span = at.UTC(), 24*time.Hour
		}
		return
	}
	if at, err := time.ParseInLocation(time.DateOnly+" 15", day+" "+hour, zone); err == nil {
		p.at, p.span = at.UTC(), time.Hour
	}
}

func kindNamed(name string) schema.Kind {
	for _, k := range []schema.Kind{schema.KindApp, schema.KindAudit, schema.KindRaw} {
		if k.String() == name {
			return k
		}
	}
	return schema.KindUnset
}

func formOf(key string) form {
	name := strings.ToLower(path.Base(key))
	for _, ext := range []string{".gz", ".jsonl", ".ndjson", ".json"} {
		if strings.HasSuffix(name, ext) {
			return lines
		}
	}
	if strings.HasSuffix(name, ".parquet") {
		return parquet
	}
	return foreign
}

// slack is how long before and after its path's time an object of lines may hold
// others: Fluentd names a file after the slice of time that it was told to gather, up
// to an hour, and lines come late.
const slack = time.Hour

// chosen reports whether the time that a key tells may hold events that the job means.
func (j Job) chosen(p place) bool {
	if p.at.IsZero() {
		return true // its events tell
	}
	from, to := p.at, p.at.Add(p.span)
	if p.form == lines {
		from, to = p.at.Add(-slack), p.at.Add(max(p.span, slack))
	}
	return (j.Since.IsZero() || to.After(j.Since)) && (j.Until.IsZero() || from.Before(j.Until))
}

// means reports whether the job means an event of a time in nanoseconds.
func (j Job) means(at int64) bool {
	return (j.Since.IsZero() || at >= j.Since.UnixNano()) && (j.Until.IsZero() || at < j.Until.UnixNano())
}
