package consumers

import (
	"sync"
	"time"

	"tributary/consumers/lease"
	"tributary/stream"
)

// State is what a shard is doing.
type State string

// The states of a shard.
const (
	StateElsewhere State = "elsewhere" // another worker's, or free
	StateOpening   State = "opening"
	StateReplaying State = "replaying" // delivers a pending range once more
	StateReading   State = "reading"
	StateFlushing  State = "flushing"
	StateRetrying  State = "retrying" // an unknown error; the error is shown
	StateParked    State = "parked"   // a permanent failure or a panic; tried again slowly
	StateStuck     State = "stuck"    // its sink was dropped after StuckAfter
	StateFinished  State = "finished" // closed and read to its end
)

// ShardStatus is one shard as this worker knows it. Of shards held elsewhere it
// knows what the lease table said at the last look.
type ShardStatus struct {
	Shard      stream.ShardID
	State      State
	Owner      string // "" = free
	Checkpoint stream.SequenceNumber
	Lag        time.Duration // of shards held here
	Tip        time.Time     // all records in the shard by this time were taken here
	Since      time.Time     // of the state
	Error      string        // of the last failure, as long as it lasts
}

// progress is the part of a shard that others look at.
type progress struct {
	mu     sync.Mutex
	state  State
	since  time.Time
	err    string
	lag    time.Duration
	tip    time.Time
	oldest time.Time // arrival of the oldest record that is not durable
}

func (p *progress) set(s State, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != s {
		p.state, p.since = s, time.Now()
	}
	p.err = ""
	if err != nil {
		p.err = err.Error()
	}
}

// reached notes the reader's lag and the arrival of the oldest record that is not
// durable, zero if there is none.
func (p *progress) reached(behind time.Duration, oldest time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lag, p.oldest = behind, oldest
}

func (p *progress) lagNow() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current()
}

// atTip notes that the shard held nothing more at that time, that was not taken.
func (p *progress) atTip(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tip = at
}

func (p *progress) current() time.Duration {
	if p.oldest.IsZero() {
		return p.lag
	}
	return max(p.lag, time.Since(p.oldest))
}

// report is the part that others learn through the lease table.
func (p *progress) report() lease.Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	return lease.Report{State: string(p.state), Since: p.since, Error: p.err}
}

func (p *progress) status(id stream.ShardID) ShardStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	return ShardStatus{Shard: id, State: p.state, Since: p.since, Error: p.err, Lag: p.current(), Tip: p.tip}
}
