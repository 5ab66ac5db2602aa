package treasuredata

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Config says where rows go, what they look like and what sending them may cost.
// GroupName, Database, Table, Nested, Metadata, MetadataPrefix, MaxColumns, BodyBytes,
// BodyRows, GzipLevel and MaxHalvings decide rows, tables, cuts and ids and are part
// of the plan; the rest may differ between two flushes of one range.
type Config struct {
	// GroupName is the consumer group, part of every id.
	GroupName string `koanf:"-" json:"-"`
	// APIEndpoint is where databases and tables are created.
	APIEndpoint string `koanf:"api_endpoint" json:"api_endpoint"`
	// ImportEndpoint takes the rows. Both endpoints are of one region.
	ImportEndpoint string `koanf:"import_endpoint" json:"import_endpoint"`
	// APIKey is the key itself. It, APIKeyFile and a function given to New exclude one
	// another.
	APIKey Secret `koanf:"api_key" json:"api_key"`
	// APIKeyFile holds the key and is read again when the key is refused.
	APIKeyFile string `koanf:"api_key_file" json:"api_key_file"`

	// Database and Table name a row's table by {service} and {kind}.
	Database string `koanf:"database" json:"database"`
	Table    string `koanf:"table" json:"table"`
	// CreateMissing creates databases and tables that are not there, which takes a key
	// that may do so.
	CreateMissing bool `koanf:"create_missing" json:"create_missing"`

	// Nested says what becomes of an object in a line: "json", one column with its text,
	// or "flatten", a column for each of its members. Arrays are always text.
	Nested string `koanf:"nested" json:"nested"`
	// Metadata lists the columns beside the line's own, see MetadataNames.
	Metadata []string `koanf:"metadata" json:"metadata"`
	// MetadataPrefix begins the names of all columns that are not the line's, but time.
	MetadataPrefix string `koanf:"metadata_prefix" json:"metadata_prefix"`
	// MaxColumns bounds the columns of a row, those of metadata included; further
	// members go into one column, rest.
	MaxColumns int `koanf:"max_columns" json:"max_columns"`

	// BodyBytes of rows, before compression, close a body; a longer row goes alone.
	BodyBytes int64 `koanf:"body_bytes" json:"body_bytes"`
	// BodyRows close a body.
	BodyRows int `koanf:"body_rows" json:"body_rows"`
	// GzipLevel is 1 (fast) to 9 (small).
	GzipLevel int `koanf:"gzip_level" json:"gzip_level"`
	// MaxHalvings bounds how many bodies of one flush are halved in search of rows that
	// are refused. Beyond it a refused body goes to the reject store as it is.
	MaxHalvings int `koanf:"max_halvings" json:"max_halvings"`

	// Parallel bounds the uploads of all shards together.
	Parallel int `koanf:"parallel" json:"parallel"`
	// EncodeBytes bounds what all shards together decode, encode and upload at a time:
	// two thirds of it lines in the clear, a third bodies. A range with more lines is
	// decoded several times. A flush that needs more goes alone.
	EncodeBytes int64 `koanf:"encode_bytes" json:"encode_bytes"`
	// AttemptTimeout bounds one request; an upload gets a second more for each MiB.
	AttemptTimeout time.Duration `koanf:"attempt_timeout" json:"attempt_timeout"`
}

// DefaultConfig lacks the group and the key.
func DefaultConfig() Config {
	return Config{
		APIEndpoint:    "https://api.treasuredata.com",
		ImportEndpoint: "https://api-import.treasuredata.com",
		Database:       "tributary",
		// A table of its own for each service keeps below the limit on a table's columns.
		Table:          "{service}_{kind}",
		CreateMissing:  true,
		Nested:         nestedJSON,
		Metadata:       []string{"service", "kind", "container_id", "container_name", "source", "host"},
		MetadataPrefix: "_",
		// What streaming import bears in a table, and TD's own plugin in a record.
		MaxColumns: 512,
		// Half of what TD's own plugin sends at most: 1–3 MiB compressed.
		BodyBytes: 16 << 20,
		// The most that TD's own plugin puts into one request, hence the only number of
		// rows known to be taken. Rows of 2 KB and more reach BodyBytes first.
		BodyRows:  8096,
		GzipLevel: 1,
		// One bad row among 8,096 takes 13: some twenty of them are found.
		MaxHalvings: 256,
		// A body of 2 MiB takes about a second: 4 MiB/s are eight shards at their limit.
		Parallel: 2,
		// 64 MiB of lines are what a shard brings in ten minutes at 0.1 MB/s, or in 15 seconds
		// at its limit: more are decoded twice. 32 MiB hold a body that does not compress at
		// all, and ten that do.
		EncodeBytes:    96 << 20,
		AttemptTimeout: 30 * time.Second,
	}
}

const (
	nestedJSON    = "json"
	nestedFlatten = "flatten"
)

// Secret is text that is never printed.
type Secret string

const masked = "***"

// String hides the text.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// GoString hides the text.
func (s Secret) GoString() string { return fmt.Sprintf("%q", s.String()) }

// LogValue hides the text.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Validate joins all faults.
func (c Config) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	between := func(key string, v, lo, hi int64) {
		if v < lo || v > hi {
			add("%s %d is not within %d and %d", key, v, lo, hi)
		}
	}
	if c.GroupName == "" {
		add("group is missing: it is part of every id")
	}
	for _, e := range [][2]string{{"api_endpoint", c.APIEndpoint}, {"import_endpoint", c.ImportEndpoint}} {
		if _, err := parseEndpoint(e[1]); err != nil {
			add("%s %q: %w", e[0], e[1], err)
		}
	}
	if c.APIKey != "" && c.APIKeyFile != "" {
		add("api_key and api_key_file exclude one another")
	}
	for _, t := range [][2]string{{"database", c.Database}, {"table", c.Table}} {
		if _, err := parseTemplate(t[1]); err != nil {
			add("%s %q: %w", t[0], t[1], err)
		}
	}
	if c.Nested != nestedJSON && c.Nested != nestedFlatten {
		add("nested %q is neither %q nor %q", c.Nested, nestedJSON, nestedFlatten)
	}
	errs = append(errs, checkMetadata(c.Metadata, c.MetadataPrefix))
	between("max_columns", int64(c.MaxColumns), 32, 4096)
	between("body_bytes", c.BodyBytes, 64<<10, 64<<20)
	between("body_rows", int64(c.BodyRows), 1, 1<<20)
	between("gzip_level", int64(c.GzipLevel), 1, 9)
	between("max_halvings", int64(c.MaxHalvings), 0, 1<<16)
	between("parallel", int64(c.Parallel), 1, 64)
	between("encode_bytes", c.EncodeBytes, 16<<20, 64<<30)
	if c.AttemptTimeout < 100*time.Millisecond || c.AttemptTimeout > 10*time.Minute {
		add("attempt_timeout %v is not within 100ms and 10m", c.AttemptTimeout)
	}
	return errors.Join(errs...)
}

// parseEndpoint wants scheme and host, nothing else.
func parseEndpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("is no URL")
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return nil, errors.New("is not https://host or http://host:port")
	}
	if host := u.Hostname(); u.Scheme == "http" && slices.ContainsFunc([]string{".treasuredata.com", ".treasuredata.co.jp"}, func(d string) bool { return strings.HasSuffix(host, d) }) {
		return nil, errors.New("would send the key in the clear: it takes https")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// MetadataNames are the columns that Config.Metadata may list. Those that are empty
// for an event are left out of its row. labels are JSON text; time_ns is the whole
// time, of which the column time has the seconds; shard, sequence and index are the
// event's place in the stream, the same in a row that came twice.
func MetadataNames() []string {
	return []string{"service", "kind", "container_id", "container_name", "source", "host", "tag", "labels", "time_ns", "shard", "sequence", "index"}
}

// ownColumns are the names that a row may have without being asked for.
var ownColumns = []string{"incomplete", "part_line", "part_number", "part_count", "rest"}

func checkMetadata(list []string, prefix string) error {
	var errs []error
	for i, name := range list {
		if !slices.Contains(MetadataNames(), name) {
			errs = append(errs, fmt.Errorf("metadata %q is none of %s", name, strings.Join(MetadataNames(), ", ")))
		}
		if slices.Contains(list[:i], name) {
			errs = append(errs, fmt.Errorf("metadata %q is there twice", name))
		}
	}
	if prefix != "" && (columnName(prefix) != prefix || len(prefix) > 32) {
		errs = append(errs, fmt.Errorf("metadata_prefix %q is not up to 32 of a-z, 0-9 and _, a digit not first", prefix))
	}
	return errors.Join(errs...)
}
