package lake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"tributary/schema"
	"tributary/schema/columns"
)

// formatVersion counts the formats of objects and manifests together. It grows
// with every change of columns, order or names. Format 1 had the line in one piece.
const formatVersion = 2

// maxPlan is what the lease table's state item holds.
const maxPlan = 64 << 10

// plan is everything that decides names and rows. A replay gets the plan of the
// first attempt back as text, so settings of memory and time-outs stay out.
type plan struct {
	Format     int          `json:"format"`
	Bucket     string       `json:"bucket"`
	Prefix     string       `json:"prefix"`
	Template   string       `json:"template"`
	TimeWindow string       `json:"time_window"`
	Rules      schema.Rules `json:"rules"` // for events that no forwarder classified
	// Columns are missing in format 1.
	Columns *columns.Mapping `json:"columns,omitempty"`
}

func planText(cfg Config, rules schema.Rules) (string, error) {
	text, err := json.Marshal(plan{
		Format:     formatVersion,
		Bucket:     cfg.Bucket,
		Prefix:     cfg.Prefix,
		Template:   cfg.Template,
		TimeWindow: cfg.TimeWindow.String(),
		Rules:      rules,
		Columns:    &cfg.Columns,
	})
	if err != nil {
		return "", fmt.Errorf("write plan: %w", err)
	}
	if len(text) > maxPlan {
		return "", fmt.Errorf("plan has %d bytes, more than %d: shorten rules and columns", len(text), maxPlan)
	}
	return string(text), nil
}

// layoutPlan is a plan ready for use, by any number of sinks.
type layoutPlan struct {
	format     int
	bucket     string
	prefix     string // empty, or ends in a slash
	template   template
	window     time.Duration
	classifier *schema.Classifier
	layouts    [kinds]*layout
	splitters  *columns.Splitters
	idle       [kinds]sync.Pool // of *columns.Splitter
}

// kinds is the number of kinds, unset included.
const kinds = int(schema.KindAudit) + 1

// splitter returns one for lines of a kind, with what it has seen of them; done
// gives it back.
func (lp *layoutPlan) splitter(k schema.Kind) *columns.Splitter {
	if s, ok := lp.idle[k].Get().(*columns.Splitter); ok {
		return s
	}
	return lp.splitters.New(k)
}

func (lp *layoutPlan) done(k schema.Kind, s *columns.Splitter, m *metrics) {
	s.Misfits(func(column string, n int64) { m.misfits.WithLabelValues(column).Add(float64(n)) })
	lp.idle[k].Put(s)
}

// readPlan is strict: a plan of a newer build holds decisions this one would
// not follow, and the rows would come out differently.
func readPlan(text string) (*layoutPlan, error) {
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal([]byte(text), &version); err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	if version.Format < 1 || version.Format > formatVersion {
		return nil, fmt.Errorf("read plan: it has format %d, this build writes 1 to %d: a newer one made it, use that", version.Format, formatVersion)
	}
	var p plan
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("read plan: more text after its end")
	}
	return p.compile()
}

func (p plan) compile() (*layoutPlan, error) {
	lp := &layoutPlan{format: p.Format, bucket: p.Bucket}
	if p.Prefix != "" {
		lp.prefix = p.Prefix + "/"
	}
	var err error
	if lp.template, err = parseTemplate(p.Template); err != nil {
		return nil, fmt.Errorf("plan: template %q: %w", p.Template, err)
	}
	if lp.window, err = time.ParseDuration(p.TimeWindow); err != nil {
		return nil, fmt.Errorf("plan: time_window: %w", err)
	}
	if lp.classifier, err = p.Rules.Compile(); err != nil {
		return nil, fmt.Errorf("plan: rules: %w", err)
	}
	if err := lp.compileColumns(p); err != nil {
		return nil, fmt.Errorf("plan: columns: %w", err)
	}
	return lp, nil
}

func (lp *layoutPlan) compileColumns(p plan) (err error) {
	if (p.Columns != nil) != (p.Format > 1) {
		return fmt.Errorf("format %d with columns %v", p.Format, p.Columns)
	}
	if p.Format == 1 {
		old := newLayout(1, oldTable())
		for k := range lp.layouts {
			lp.layouts[k] = old
		}
		lp.splitters, err = columns.Mapping{Level: []string{"level", "severity", "log_level"}}.Compile(schema.Rules{})
		return err
	}
	for k := range lp.layouts {
		lp.layouts[k] = newLayout(p.Format, tableOf(schema.Kind(k), p.Columns.Promote))
	}
	lp.splitters, err = p.Columns.Compile(p.Rules)
	return err
}
