package kinesis

import (
	"time"

	"tributary/deploy/local/rate"
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

// shardLimits are a shard's rates; nil applies none. The shard's lock guards them.
type shardLimits struct {
	writeBytes, writeRecords, readCalls, readBytes rate.Bucket
	restUntil                                      time.Time
}

func newShardLimits() *shardLimits {
	return &shardLimits{
		writeBytes:   rate.Bucket{Rate: writeBytesPerSecond},
		writeRecords: rate.Bucket{Rate: writeRecordsPerSecond},
		readCalls:    rate.Bucket{Rate: readCallsPerSecond},
		readBytes:    rate.Bucket{Rate: readBytesPerSecond},
	}
}

func (l *shardLimits) write(bytes int, now time.Time) bool {
	if l == nil {
		return true
	}
	if !l.writeBytes.Takes(float64(bytes), now) || !l.writeRecords.Takes(1, now) {
		return false
	}
	l.writeBytes.Take(float64(bytes))
	l.writeRecords.Take(1)
	return true
}

// read asks before the bytes are known: a call is refused while earlier answers are not paid off.
func (l *shardLimits) read(now time.Time) bool {
	if l == nil {
		return true
	}
	if now.Before(l.restUntil) || !l.readBytes.Takes(0, now) || !l.readCalls.Takes(1, now) {
		return false
	}
	l.readCalls.Take(1)
	return true
}

func (l *shardLimits) answered(bytes int, full bool, now time.Time) {
	if l == nil {
		return
	}
	l.readBytes.Take(float64(bytes))
	if full {
		l.restUntil = now.Add(fullAnswerRest)
	}
}

// callRates limit how often operations are called. nil limits nothing. It may be used from any goroutine.
type callRates struct{ calls *rate.Calls }

func newCallRates() *callRates { return &callRates{rate.NewCalls()} }

// take counts one call of the operation, or refuses it.
func (r *callRates) take(operation string, perSecond float64, now time.Time) error {
	if r == nil || r.calls.Take(operation, perSecond, now) {
		return nil
	}
	return limitExceeded("Rate exceeded for %s under account %s.", operation, accountID)
}
