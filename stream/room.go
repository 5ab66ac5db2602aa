package stream

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxAnswerBytes is what one answer of GetRecords takes at most: 10 MiB of data and
// keys are 13.4 MiB as base64, 10,000 records have 1.8 MB of names and numbers
// around them, and as many structs and strings of 160 bytes.
const maxAnswerBytes = 17 << 20

// idle is how long an answer lies untouched before it may be taken from its
// Reader. An owner that works asks more often.
const idle = time.Second

// room bounds the bytes of all answers of a worker, from before the call is made
// until the last record is handed out.
//
// There is no deadlock: whoever holds room is a call, which ends by its timeout;
// or an answer whose Reader is asked for records, which ends; or one whose Reader
// is not asked (its owner flushes, or waits), which gives way to the first waiter
// after idle and is read again later. Waiters are served in their order, so that
// a large need is not passed over for ever.
type room struct {
	bound int64
	gauge prometheus.Gauge
	taken prometheus.Counter // answers taken back

	mu      sync.Mutex
	used    int64
	waiting []*need
	kept    map[*page]struct{}
}

type need struct {
	bytes int64
	ready chan struct{} // closed with the bytes reserved
}

func newRoom(bound int64, gauge prometheus.Gauge, taken prometheus.Counter) *room {
	return &room{bound: bound, gauge: gauge, taken: taken, kept: make(map[*page]struct{})}
}

// fits: an answer larger than the bound is taken alone, or it would never be.
func (m *room) fits(n int64) bool { return m.used == 0 || m.used+n <= m.bound }

func (m *room) use(n int64) {
	m.used += n
	m.gauge.Set(float64(m.used))
}

// try reserves n bytes if they are there and nobody waits.
func (m *room) try(n int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.waiting) > 0 || !m.fits(n) {
		return false
	}
	m.use(n)
	return true
}

// grow adds n to what the caller holds. It does not wait: two that hold a part and
// wait for more would wait for ever.
func (m *room) grow(n int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used+n > m.bound {
		return false
	}
	m.use(n)
	return true
}

// reserve waits for n bytes.
func (m *room) reserve(ctx context.Context, n int64) error {
	m.mu.Lock()
	if len(m.waiting) == 0 && m.fits(n) {
		m.use(n)
		m.mu.Unlock()
		return nil
	}
	w := &need{bytes: n, ready: make(chan struct{})}
	m.waiting = append(m.waiting, w)
	m.mu.Unlock()
	tick := time.NewTicker(idle)
	defer tick.Stop()
	for {
		select {
		case <-w.ready:
			return nil
		case <-tick.C:
			m.reclaim(w)
		case <-ctx.Done():
			m.leave(w)
			return fmt.Errorf("wait for room: %w", ctx.Err())
		}
	}
}

// leave gives up a need, also one met in the same moment.
func (m *room) leave(w *need) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, other := range m.waiting {
		if other == w {
			m.waiting = append(m.waiting[:i], m.waiting[i+1:]...)
			m.serve() // the next may need less
			return
		}
	}
	m.use(-w.bytes)
	m.serve()
}

func (m *room) give(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.use(-n)
	m.serve()
}

func (m *room) serve() {
	for len(m.waiting) > 0 && m.fits(m.waiting[0].bytes) {
		w := m.waiting[0]
		m.waiting = m.waiting[1:]
		m.use(w.bytes)
		close(w.ready)
	}
}

// keep makes a page one that may be taken back.
func (m *room) keep(p *page) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept[p] = struct{}{}
}

func (m *room) forget(p *page) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.kept, p)
	m.use(-p.bytes)
	m.serve()
}

// reclaim takes back the page that lay untouched for longest, if w is the first
// in the line.
func (m *room) reclaim(w *need) {
	m.mu.Lock()
	var oldest *page
	since := time.Now().Add(-idle).UnixNano()
	if len(m.waiting) > 0 && m.waiting[0] == w {
		for p := range m.kept {
			if at := p.touched.Load(); at <= since {
				oldest, since = p, at
			}
		}
	}
	m.mu.Unlock() // a page's own lock comes before the room's
	if oldest != nil && oldest.free() {
		m.taken.Inc()
	}
}
