package cloudwatch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"tributary/schema"
	"tributary/schema/filter"
)

// formatVersion counts the formats of names, messages and plan together.
const formatVersion = 1

// maxPlan is what the lease table's state item holds.
const maxPlan = 64 << 10

// plan is everything that decides names and messages.
type plan struct {
	Format       int          `json:"format"`
	Group        string       `json:"group"`
	Metadata     bool         `json:"metadata"`
	MessageBytes int          `json:"message_bytes"`
	Errors       Errors       `json:"errors"`
	Filter       filter.Rules `json:"filter"`
	Rules        schema.Rules `json:"rules"` // for events that no forwarder classified
}

func planText(cfg Config, rules schema.Rules) (string, error) {
	text, err := json.Marshal(plan{
		Format:       formatVersion,
		Group:        cfg.LogGroup,
		Metadata:     cfg.Metadata,
		MessageBytes: cfg.MessageBytes,
		Errors:       cfg.Errors,
		Filter:       cfg.Filter,
		Rules:        rules,
	})
	if err != nil {
		return "", fmt.Errorf("write plan: %w", err)
	}
	if len(text) > maxPlan {
		return "", fmt.Errorf("plan has %d bytes, more than %d: shorten the rules", len(text), maxPlan)
	}
	return string(text), nil
}

// readyPlan is a plan ready for use, by any number of sinks.
type readyPlan struct {
	template     template
	metadata     bool
	messageBytes int
	errors       Errors
	errorLevel   filter.Level
	filter       *filter.Filter
	rules        []string // names, for metrics
	classifier   *schema.Classifier
}

// readPlan is strict: a plan of a newer build holds decisions this one would not
// follow.
func readPlan(text string) (*readyPlan, error) {
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal([]byte(text), &version); err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	if version.Format != formatVersion {
		return nil, fmt.Errorf("read plan: it has format %d, this build writes %d: another one made it, use that", version.Format, formatVersion)
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

func (p plan) compile() (*readyPlan, error) {
	ready := &readyPlan{metadata: p.Metadata, messageBytes: p.MessageBytes, errors: p.Errors}
	if p.MessageBytes < 1024 || p.MessageBytes > maxMessage {
		return nil, fmt.Errorf("plan: message_bytes %d", p.MessageBytes)
	}
	var err error
	if ready.template, err = parseTemplate(p.Group); err != nil {
		return nil, fmt.Errorf("plan: group %q: %w", p.Group, err)
	}
	if ready.errorLevel, err = p.Errors.level(); err != nil {
		return nil, fmt.Errorf("plan: errors: %w", err)
	}
	if ready.filter, err = p.Filter.Compile(); err != nil {
		return nil, fmt.Errorf("plan: filter: %w", err)
	}
	ready.rules = ready.filter.Names()
	if ready.classifier, err = p.Rules.Compile(); err != nil {
		return nil, fmt.Errorf("plan: rules: %w", err)
	}
	return ready, nil
}
