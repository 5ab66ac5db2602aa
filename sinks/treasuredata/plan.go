package treasuredata

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"

	"tributary/schema"
)

// formatVersion counts the formats of rows, names, cuts and ids together.
const formatVersion = 1

// maxPlan is what the lease table's state item holds.
const maxPlan = 64 << 10

// plan is everything that decides rows, tables, cuts and ids. A replay gets the plan
// of the first attempt back as text. Endpoints and keys stay out: whoever mends them
// mends the pending range too.
type plan struct {
	Format         int          `json:"format"`
	Group          string       `json:"group"`
	Database       string       `json:"database"`
	Table          string       `json:"table"`
	Nested         string       `json:"nested"`
	Metadata       []string     `json:"metadata"`
	MetadataPrefix string       `json:"metadata_prefix"`
	MaxColumns     int          `json:"max_columns"`
	BodyBytes      int64        `json:"body_bytes"`
	BodyRows       int          `json:"body_rows"`
	GzipLevel      int          `json:"gzip_level"`
	MaxHalvings    int          `json:"max_halvings"`
	Rules          schema.Rules `json:"rules"` // for events that no forwarder classified
}

func planText(c Config, rules schema.Rules) (string, error) {
	text, err := json.Marshal(plan{
		Format: formatVersion, Group: c.GroupName, Database: c.Database, Table: c.Table,
		Nested: c.Nested, Metadata: append([]string{}, c.Metadata...), MetadataPrefix: c.MetadataPrefix, MaxColumns: c.MaxColumns,
		BodyBytes: c.BodyBytes, BodyRows: c.BodyRows, GzipLevel: c.GzipLevel, MaxHalvings: c.MaxHalvings,
		Rules: rules,
	})
	if err != nil {
		return "", fmt.Errorf("write plan: %w", err)
	}
	if len(text) > maxPlan {
		return "", fmt.Errorf("plan has %d bytes, more than %d: shorten the rules", len(text), maxPlan)
	}
	return string(text), nil
}

// layout is a plan ready for use, by any number of sinks.
type layout struct {
	plan
	database   template
	table      template
	classifier *schema.Classifier
	columns    *columns
	idle       sync.Pool // of *gzip.Writer
}

// compressor returns one that writes to w; done gives it back.
func (l *layout) compressor(w io.Writer) *gzip.Writer {
	if z, ok := l.idle.Get().(*gzip.Writer); ok {
		z.Reset(w)
		return z
	}
	z, err := gzip.NewWriterLevel(w, l.GzipLevel)
	if err != nil {
		panic("treasuredata: gzip refuses a level that was checked: " + err.Error())
	}
	return z
}

func (l *layout) done(z *gzip.Writer) { l.idle.Put(z) }

// readPlan is strict: a plan of a newer build holds decisions this one would not
// follow, and the rows would come out differently.
func readPlan(text string) (*layout, error) {
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal([]byte(text), &version); err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	if version.Format < 1 || version.Format > formatVersion {
		return nil, fmt.Errorf("read plan: it has format %d, this build writes %d: a newer one made it, use that", version.Format, formatVersion)
	}
	var p plan
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	return p.compile()
}

// compile holds the plan against what a configuration may say.
func (p plan) compile() (*layout, error) {
	c := DefaultConfig()
	c.GroupName, c.Database, c.Table = p.Group, p.Database, p.Table
	c.Nested, c.Metadata, c.MetadataPrefix, c.MaxColumns = p.Nested, p.Metadata, p.MetadataPrefix, p.MaxColumns
	c.BodyBytes, c.BodyRows, c.GzipLevel, c.MaxHalvings = p.BodyBytes, p.BodyRows, p.GzipLevel, p.MaxHalvings
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	l := &layout{plan: p, columns: newColumns(p)}
	var err error
	if l.database, err = parseTemplate(p.Database); err != nil {
		return nil, fmt.Errorf("plan: database: %w", err)
	}
	if l.table, err = parseTemplate(p.Table); err != nil {
		return nil, fmt.Errorf("plan: table: %w", err)
	}
	if l.classifier, err = p.Rules.Compile(); err != nil {
		return nil, fmt.Errorf("plan: rules: %w", err)
	}
	return l, nil
}
