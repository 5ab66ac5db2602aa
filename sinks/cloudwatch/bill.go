package cloudwatch

import (
	"errors"
	"fmt"
	"sync"

	"tributary/schema"
	"tributary/schema/filter"
	"tributary/stream"
)

// Biller tells what the service would bill for events, and what the rules save of it.
// It sends nothing. It is safe for concurrent use.
type Biller struct {
	plan     *readyPlan
	unruled  *filter.Filter // finds the level of what rules do not look at
	services serviceLabels
	scratch  sync.Pool // of *[]byte
}

// Bill is what becomes of an event.
type Bill struct {
	Service string // as metrics call it
	Level   filter.Level
	Rule    int // the rule that decided, -1: none
	Send    bool
	// Bytes are what the service bills for the event if it is sent, in the group for
	// errors too: without rules all of them would be paid for.
	Bytes int64
}

// NewBiller returns one that judges as the sinks of the same configuration do. It does
// no I/O.
func NewBiller(cfg Config, rules schema.Rules) (*Biller, error) {
	if err := errors.Join(cfg.Validate(), rules.Validate()); err != nil {
		return nil, fmt.Errorf("cloudwatch: %w", err)
	}
	text, err := planText(cfg, rules)
	if err != nil {
		return nil, fmt.Errorf("cloudwatch: %w", err)
	}
	ready, err := readPlan(text)
	if err != nil {
		return nil, fmt.Errorf("cloudwatch: %w", err)
	}
	unruled, err := filter.Rules{LevelPaths: cfg.Filter.LevelPaths}.Compile()
	if err != nil {
		return nil, fmt.Errorf("cloudwatch: levels: %w", err)
	}
	return &Biller{plan: ready, unruled: unruled, services: serviceLabels{known: map[string]struct{}{}}}, nil
}

// Rules are the names of the rules, by Bill.Rule.
func (b *Biller) Rules() []string { return b.plan.filter.Names() }

// Bill judges an event of the record of.
func (b *Biller) Bill(of *stream.Batch, e *schema.Event) Bill {
	j := b.plan.judge(of, e)
	bill := Bill{Service: b.services.of(j.service), Level: j.level, Rule: j.rule, Send: j.send}
	failure := j.failure
	if !j.send {
		origin := e.Origin
		if origin == nil {
			origin = &noOrigin
		}
		bill.Level = b.unruled.Judge(&filter.Subject{Event: e, Kind: j.kind, Service: j.service}).Level
		failure = b.plan.failure(bill.Level, j.kind, origin)
	}
	if j.time < 0 {
		return bill // the service never takes it
	}
	bill.Bytes = b.bytes(of, e)
	if failure {
		bill.Bytes *= 2
	}
	return bill
}

// bytes are what one group is billed for.
func (b *Biller) bytes(of *stream.Batch, e *schema.Event) (n int64) {
	scratch, _ := b.scratch.Get().(*[]byte)
	if scratch == nil {
		scratch = new([]byte)
	}
	*scratch, _ = b.plan.message((*scratch)[:0], of, e)
	for message := range b.plan.split(*scratch, of, e) {
		n += int64(len(message)) + eventOverhead
	}
	b.scratch.Put(scratch)
	return n
}
