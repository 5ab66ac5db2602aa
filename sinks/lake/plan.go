package lake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"tributary/schema"
)

// formatVersion counts the formats of objects and manifests together. It grows
// with every change of columns, order or names.
const formatVersion = 1

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
}

func planText(cfg Config, rules schema.Rules) (string, error) {
	text, err := json.Marshal(plan{
		Format:     formatVersion,
		Bucket:     cfg.Bucket,
		Prefix:     cfg.Prefix,
		Template:   cfg.Template,
		TimeWindow: cfg.TimeWindow.String(),
		Rules:      rules,
	})
	if err != nil {
		return "", fmt.Errorf("write plan: %w", err)
	}
	if len(text) > maxPlan {
		return "", fmt.Errorf("plan has %d bytes, more than %d: shorten the rules", len(text), maxPlan)
	}
	return string(text), nil
}

// layoutPlan is a plan ready for use.
type layoutPlan struct {
	bucket     string
	prefix     string // empty, or ends in a slash
	template   template
	window     time.Duration
	classifier *schema.Classifier
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
	if version.Format != formatVersion {
		return nil, fmt.Errorf("read plan: it has format %d, this build writes only %d: a newer one made it, use that", version.Format, formatVersion)
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
	lp := &layoutPlan{bucket: p.Bucket}
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
	return lp, nil
}
