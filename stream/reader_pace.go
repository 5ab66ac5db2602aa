package stream

import (
	"math/rand/v2"
	"time"
)

// pace decides when a Reader may call again.
//
// A shard answers 5 calls and 2 MiB a second to all its readers together, and no
// reader knows of the others. So a Reader asks no more often than it needs (at the
// tip once per PollInterval, behind it once per PollMin), never before its own
// last answer is paid for, and gives way when it is throttled: the rate falls by a
// third, and grows again with the time that an answer took to come. Readers that do
// this share evenly, whatever rates they began with. Were it to fall further, or to
// grow by the answer, one that is throttled twice in a row would be ten seconds late
// before it has caught up with the others.
type pace struct {
	cfg    ReaderConfig
	rate   float64   // calls a second that the others leave, as far as known
	callAt time.Time // no call before
	gap    time.Duration
}

// rateStep is what one second adds: five groups behind the tip settle at one call a
// second each, with one in fifteen throttled.
const rateStep = 0.05

func newPace(cfg ReaderConfig) pace { return pace{cfg: cfg, rate: 1 / cfg.PollMin.Seconds()} }

// answered plans the call after an answer of so many bytes to a call that was made
// at began. At the tip nothing more was there.
func (p *pace) answered(began time.Time, bytes int64, tip bool) {
	p.rate = min(p.rate+rateStep*p.gap.Seconds(), 1/p.cfg.PollMin.Seconds())
	p.gap = p.cfg.PollMin
	if tip {
		p.gap = p.cfg.PollInterval
	}
	p.gap = max(p.gap, p.spread(), p.paid(bytes))
	p.callAt = began.Add(p.gap)
}

// paid is how long a shard takes to give so many bytes.
func (p *pace) paid(bytes int64) time.Duration {
	if p.cfg.ShardRateBytes == 0 {
		return 0
	}
	return time.Duration(float64(bytes) / float64(p.cfg.ShardRateBytes) * float64(time.Second))
}

// spread is the wait at the rate, a quarter more or less by chance where others
// read too: readers in step would be throttled together again and again.
func (p *pace) spread() time.Duration {
	if p.rate >= 1/p.cfg.PollMin.Seconds() {
		return 0
	}
	return time.Duration((0.75 + rand.Float64()/2) / p.rate * float64(time.Second))
}

// throttled gives way.
func (p *pace) throttled(now time.Time) {
	if p.gap > 0 {
		p.rate = min(p.rate, 1/p.gap.Seconds())
	}
	p.rate = max(p.rate*2/3, 1/p.cfg.BackoffMax.Seconds())
	p.gap = p.spread()
	p.callAt = now.Add(p.gap)
}

// failed waits longer after each failure in a row.
func (p *pace) failed(now time.Time, failures int) {
	p.callAt = now.Add(backoff{p.cfg.BackoffMin, p.cfg.BackoffMax}.after(failures))
}
