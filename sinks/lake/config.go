package lake

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"tributary/schema/columns"
	"tributary/sinks/objects"
)

// Config says where the lake lies and what writing it may cost. Bucket, Prefix,
// Template, TimeWindow and Columns decide names and rows and are part of the plan; the
// rest may differ between two flushes of one range.
type Config struct {
	// Bucket is the S3 bucket; it must exist.
	Bucket string `koanf:"bucket" json:"bucket"`
	// Prefix comes before every object's name; empty is the bucket's root.
	Prefix string `koanf:"prefix" json:"prefix"`
	// Template names a partition by {kind}, {service}, {date}, {year}, {month},
	// {day} and {hour}. {kind} must be there, because the rows do not repeat it.
	// "hive" and "applications" stand for a whole template, see Layout.
	Template string `koanf:"template" json:"template"`
	// TimeWindow is how far an event's time may lie from its record's arrival; the
	// partition of an event farther away goes by the arrival.
	TimeWindow time.Duration `koanf:"time_window" json:"time_window"`
	// Columns says which members of a line become columns.
	Columns columns.Mapping `koanf:"columns" json:"columns"`
	// RowGroupBytes of lines close a row group.
	RowGroupBytes int64 `koanf:"row_group_bytes" json:"row_group_bytes"`
	// PageBytes close a page of one column.
	PageBytes int64 `koanf:"page_bytes" json:"page_bytes"`
	// EncodeBytes bounds what all shards together encode and upload at a time. Two
	// thirds of it at most are lines in the clear: a range with more of them is decoded
	// several times. A flush that needs more goes alone.
	EncodeBytes     int64 `koanf:"encode_bytes" json:"encode_bytes"`
	objects.Options `koanf:",squash"`
}

// DefaultConfig lacks only the bucket.
func DefaultConfig() Config {
	return Config{
		Prefix:   "lake",
		Template: layouts["hive"],
		// A forwarder cut off for a night delivers into the true hours. It also
		// bounds the objects of a flush: 49 hours of 3 kinds at most.
		TimeWindow: 24 * time.Hour,
		Columns:    columns.DefaultMapping(),
		// 64 MiB of JSON are 8–20 MiB compressed, which readers take in one piece;
		// the compressed pages of an open row group stay in memory.
		RowGroupBytes: 64 << 20,
		// Smaller pages cost size (3 % at 256 KiB) and help only point look-ups.
		PageBytes: 1 << 20,
		// 32 MiB of lines are what a shard brings in five minutes at 0.1 MB/s, or in six
		// seconds at its limit; the object that grows beside them takes a quarter of its
		// lines at most, being there twice for a while.
		EncodeBytes: 48 << 20,
		Options:     objects.DefaultOptions(),
	}
}

// layouts are the templates that have a name.
var layouts = map[string]string{
	"hive": "kind={kind}/dt={date}/hour={hour}",
	// What older pipelines of logs by service look like; many small objects.
	"applications": "applications/{service}/{kind}/{year}/{month}/{day}/{hour}",
}

// Layout is the template in full. Plans hold that: what a name stands for may
// change.
func (c Config) Layout() string {
	if named, ok := layouts[c.Template]; ok {
		return named
	}
	return c.Template
}

// Validate joins all faults.
func (c Config) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Bucket == "" {
		add("bucket is missing: name an existing S3 bucket")
	}
	if c.Prefix != "" {
		if err := checkPath(c.Prefix); err != nil {
			add("prefix %q: %w", c.Prefix, err)
		}
	}
	if _, err := parseTemplate(c.Layout()); err != nil {
		add("template %q: %w", c.Template, err)
	}
	// A week of hours is already 337 objects a flush for each kind.
	if c.TimeWindow < time.Minute || c.TimeWindow > 7*24*time.Hour {
		add("time_window %v is not within 1m and 168h", c.TimeWindow)
	}
	if err := c.Columns.Validate(); err != nil {
		add("columns: %w", err)
	}
	between := func(key string, v, lo, hi int64) {
		if v < lo || v > hi {
			add("%s %d is not within %d and %d", key, v, lo, hi)
		}
	}
	between("row_group_bytes", c.RowGroupBytes, 1<<20, 1<<30)
	between("page_bytes", c.PageBytes, minPage, 16<<20)
	between("encode_bytes", c.EncodeBytes, 16<<20, 64<<30)
	return errors.Join(append(errs, c.Options.Validate())...)
}

// checkPath refuses what would not survive as a path in S3 tools or in a
// directory: "a//b" and "../b" are keys of their own in S3 and nowhere else.
func checkPath(p string) error {
	for seg := range strings.SplitSeq(p, "/") {
		switch seg {
		case "":
			return errors.New("has an empty part: no slash at an end, no two in a row")
		case ".", "..":
			return fmt.Errorf("has a part %q", seg)
		case rangesFolder:
			return fmt.Errorf("has a part %q, which belongs to the range manifests", seg)
		}
	}
	for _, r := range p {
		if r < 0x20 || r == 0x7f || r == '\\' {
			return fmt.Errorf("has the character %q", r)
		}
	}
	return nil
}
