package kinesis

import (
	"sync"
	"time"
)

// The rates of one shard, from "Quotas and limits" of the developer guide.
const (
	writeBytesPerSecond   = 1 << 20
	writeRecordsPerSecond = 1000
	readCallsPerSecond    = 5
	readBytesPerSecond    = 2 << 20
	// fullAnswerRest: after an answer of the full 10 MiB, calls of the next 5 s are refused.
	fullAnswerRest = 5 * time.Second
)

// A bucket holds one second's worth of rate. The zero bucket is full.
type bucket struct {
	rate float64
	used float64
	at   time.Time
}

// takes says whether n may be taken now. More than the bucket can ever hold may be taken when it is full; it is then in debt.
func (b *bucket) takes(n float64, now time.Time) bool {
	if !b.at.IsZero() {
		b.used = max(0, b.used-b.rate*max(0, now.Sub(b.at).Seconds()))
	}
	b.at = now
	return b.used+min(n, b.rate) <= b.rate
}

func (b *bucket) take(n float64) { b.used += n }

// shardLimits are a shard's rates; nil applies none. The shard's lock guards them.
type shardLimits struct {
	writeBytes, writeRecords, readCalls, readBytes bucket
	restUntil                                      time.Time
}

func newShardLimits() *shardLimits {
	return &shardLimits{
		writeBytes:   bucket{rate: writeBytesPerSecond},
		writeRecords: bucket{rate: writeRecordsPerSecond},
		readCalls:    bucket{rate: readCallsPerSecond},
		readBytes:    bucket{rate: readBytesPerSecond},
	}
}

func (l *shardLimits) write(bytes int, now time.Time) bool {
	if l == nil {
		return true
	}
	if !l.writeBytes.takes(float64(bytes), now) || !l.writeRecords.takes(1, now) {
		return false
	}
	l.writeBytes.take(float64(bytes))
	l.writeRecords.take(1)
	return true
}

// read asks before the bytes are known: a call is refused while earlier answers are not paid off.
func (l *shardLimits) read(now time.Time) bool {
	if l == nil {
		return true
	}
	if now.Before(l.restUntil) || !l.readBytes.takes(0, now) || !l.readCalls.takes(1, now) {
		return false
	}
	l.readCalls.take(1)
	return true
}

func (l *shardLimits) answered(bytes int, full bool, now time.Time) {
	if l == nil {
		return
	}
	l.readBytes.take(float64(bytes))
	if full {
		l.restUntil = now.Add(fullAnswerRest)
	}
}

// callRates limit how often operations are called. nil limits nothing. It may be used from any goroutine.
type callRates struct {
	mu      sync.Mutex
	buckets map[string]*bucket // by operation
}

func newCallRates() *callRates { return &callRates{buckets: make(map[string]*bucket)} }

// take counts one call of the operation, or refuses it.
func (r *callRates) take(operation string, perSecond float64, now time.Time) error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.buckets[operation]
	if b == nil {
		b = &bucket{rate: perSecond}
		r.buckets[operation] = b
	}
	if !b.takes(1, now) {
		return limitExceeded("Rate exceeded for %s under account %s.", operation, accountID)
	}
	b.take(1)
	return nil
}
