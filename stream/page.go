package stream

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// page holds the records of one GetRecords call until they are handed out, or
// until others need its room more.
type page struct {
	room    *room
	bytes   int64        // reserved for it
	touched atomic.Int64 // Unix nanoseconds

	mu      sync.Mutex // before the room's
	records []types.Record
	freed   bool
	lost    bool // freed with records left
}

// newPage takes over bytes of room that its caller reserved.
func newPage(m *room, records []types.Record, bytes int64) *page {
	p := &page{room: m, bytes: bytes, records: records}
	p.touched.Store(time.Now().UnixNano())
	m.keep(p)
	return p
}

// next takes the first record out. It reports false when none is left or the room
// was taken back.
func (p *page) next() (types.Record, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.records) == 0 {
		return types.Record{}, false
	}
	p.touched.Store(time.Now().UnixNano())
	record := p.records[0]
	p.records[0] = types.Record{} // the array lives on, the strings need not
	p.records = p.records[1:]
	return record, true
}

// peek is the data size and the number of the next record.
func (p *page) peek() (size int, sequence SequenceNumber, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.records) == 0 {
		return 0, "", false
	}
	p.touched.Store(time.Now().UnixNano())
	return len(p.records[0].Data), SequenceNumber(*p.records[0].SequenceNumber), true
}

// ends are copies of the first and the last record, nil without records. ok is
// false when the room took the page back: then there may have been some.
func (p *page) ends() (first, last *types.Record, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.records) == 0 {
		return nil, nil, !p.lost
	}
	f, l := p.records[0], p.records[len(p.records)-1]
	return &f, &l, true
}

// takenBack reports whether the room took records back that were not handed out.
func (p *page) takenBack() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

// free gives the room back, once, and reports whether it did.
func (p *page) free() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.freed {
		return false
	}
	p.freed, p.lost, p.records = true, len(p.records) > 0, nil
	p.room.forget(p)
	return true
}
