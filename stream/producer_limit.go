package stream

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// describeEvery is how often a running Producer asks what the stream takes: a person
	// changes that, and DescribeStreamSummary takes 20 calls a second for a whole account,
	// with hundreds of forwarders. 500 of them ask twice a second.
	describeEvery = 5 * time.Minute
	// describeAgain is how often it asks while it does not know.
	describeAgain = time.Minute
)

// bound is the largest record that the configuration allows, whatever the stream takes.
func (c ProducerConfig) bound() int64 {
	if c.MaxRecordBytes == 0 {
		return c.MaxRequestBytes
	}
	return min(c.MaxRecordBytes, c.MaxRequestBytes)
}

// MaxRecordBytes is the largest record that Publish takes now, data and partition key
// together: what the stream reports, within ProducerConfig, and never less than the
// 1 MiB that every stream takes, which it is until the stream has reported.
func (p *Producer) MaxRecordBytes() int64 { return p.limit.Load() }

// Known reports whether the stream has ever told what it takes.
func (p *Producer) Known() bool { return p.known.Load() }

// Describe asks the service about the stream, as the function does, and takes the limit
// of its answer. Run asks by itself; who has asked spares it its first call.
func (p *Producer) Describe(ctx context.Context) (Description, error) {
	d, err := Describe(ctx, p.api, p.ref)
	p.asked.Store(time.Now().UnixNano())
	p.unsure.Store(err != nil)
	if err != nil {
		return Description{}, err
	}
	p.known.Store(true)
	p.limitTo(max(defaultRecordBytes, min(d.MaxRecordBytes, p.cfg.bound())))
	return d, nil
}

func (p *Producer) limitTo(bytes int64) {
	p.metrics.limit.Set(float64(bytes))
	if before := p.limit.Swap(bytes); before != bytes {
		p.log.Info("limit of a record changed", "stream", p.ref.String(), "bytes", bytes, "before", before)
	}
}

// doubt notes that the stream refused a record that it was thought to take. Until it has
// told its limit anew only what every stream takes is thought to fit, so that a line is
// not cut, and refused, to the old limit again.
func (p *Producer) doubt(bytes int64) {
	if bytes <= defaultRecordBytes || bytes > p.limit.Load() {
		return // not for its size, or for a limit that is no longer thought to hold
	}
	p.limitTo(defaultRecordBytes)
	p.unsure.Store(true)
	select {
	case p.doubts <- struct{}{}:
	default:
	}
}

// follow asks for the limit now and then, and at once when it is in doubt, but never
// more often than every describeAgain, until ctx ends.
func (p *Producer) follow(ctx context.Context) {
	due := time.NewTimer(p.untilAsked())
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.doubts:
		case <-due.C:
			asking, cancel := context.WithTimeout(ctx, p.cfg.AttemptTimeout)
			_, err := p.Describe(asking)
			cancel()
			if err != nil && ctx.Err() == nil {
				p.log.Warn("stream not asked for its limit of a record, asked again", "bytes", p.MaxRecordBytes(), "err", err)
			}
		}
		due.Reset(p.untilAsked())
	}
}

// untilAsked is how long the next question waits. A quarter of the wait is by chance:
// forwarders that started together do not ask together.
func (p *Producer) untilAsked() time.Duration {
	asked := p.asked.Load()
	if asked == 0 {
		return 0
	}
	every := describeEvery
	if p.unsure.Load() {
		every = describeAgain
	}
	return time.Until(time.Unix(0, asked).Add(every - rand.N(every/4)))
}
