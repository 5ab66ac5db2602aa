// Package rate throttles as the services' quotas do.
package rate

import (
	"sync"
	"time"
)

// A Bucket holds one second's worth of Rate. A new one is full.
type Bucket struct {
	Rate float64
	used float64
	at   time.Time
}

// Takes says whether n may be taken now. More than the bucket can ever hold may be taken when it is full; it is then in debt.
func (b *Bucket) Takes(n float64, now time.Time) bool {
	if !b.at.IsZero() {
		b.used = max(0, b.used-b.Rate*max(0, now.Sub(b.at).Seconds()))
	}
	b.at = now
	return b.used+min(n, b.Rate) <= b.Rate
}

// Take takes n, whether or not it is there.
func (b *Bucket) Take(n float64) { b.used += n }

// Calls limit how often operations are called. nil limits nothing. It may be used from any goroutine.
type Calls struct {
	mu      sync.Mutex
	buckets map[string]*Bucket // by operation
}

// NewCalls has not yet seen any call.
func NewCalls() *Calls { return &Calls{buckets: make(map[string]*Bucket)} }

// Take counts one call of the operation, or says that it is one too many.
func (c *Calls) Take(operation string, perSecond float64, now time.Time) bool {
	if c == nil {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.buckets[operation]
	if b == nil {
		b = &Bucket{Rate: perSecond}
		c.buckets[operation] = b
	}
	if !b.Takes(1, now) {
		return false
	}
	b.Take(1)
	return true
}
