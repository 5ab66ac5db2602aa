package spool

import (
	"crypto/sha256"
	"encoding/base64"
	"time"
)

// chunkID is 16 bytes that stand for a Forward chunk id.
type chunkID [16]byte

// newChunkID shortens a chunk id. Clients send base64 of 16 bytes (Forward
// protocol v1, "chunk" option); anything else is hashed.
func newChunkID(s string) chunkID {
	var raw [18]byte // 24 base64 digits decode to 16 bytes and room for padding
	if len(s) == 24 {
		if n, err := base64.StdEncoding.Decode(raw[:], []byte(s)); err == nil && n == len(chunkID{}) {
			return chunkID(raw[:16])
		}
	}
	sum := sha256.Sum256([]byte(s))
	return chunkID(sum[:16])
}

// storedChunk is a chunk id and when it was stored.
type storedChunk struct {
	id chunkID
	at int64
}

// chunkMemory remembers the last ids, as many and as long as allowed. The oldest
// goes first. Not safe for concurrent use.
type chunkMemory struct {
	limit  int
	window time.Duration
	stored map[chunkID]int64
	queue  []storedChunk // in the order of add; before first they are gone
	first  int
}

func newChunkMemory(limit int, window time.Duration) *chunkMemory {
	return &chunkMemory{limit: limit, window: window, stored: make(map[chunkID]int64)}
}

func (m *chunkMemory) add(c storedChunk, now int64) {
	if at, ok := m.stored[c.id]; ok && at == c.at {
		return // recovery met it in a frame and in a snapshot
	}
	m.stored[c.id] = c.at
	m.queue = append(m.queue, c)
	m.forget(now)
}

func (m *chunkMemory) knows(id chunkID, now int64) bool {
	at, ok := m.stored[id]
	return ok && !m.expired(at, now)
}

func (m *chunkMemory) expired(at, now int64) bool { return now-at > int64(m.window) }

func (m *chunkMemory) forget(now int64) {
	for m.first < len(m.queue) {
		oldest := m.queue[m.first]
		if len(m.queue)-m.first <= m.limit && !m.expired(oldest.at, now) {
			break
		}
		// An id stored again after its window has a newer place in the queue.
		if m.stored[oldest.id] == oldest.at {
			delete(m.stored, oldest.id)
		}
		m.first++
	}
	if m.first > len(m.queue)/2 {
		m.queue = m.queue[:copy(m.queue, m.queue[m.first:])]
		m.first = 0
	}
}

// living returns what is still remembered, oldest first.
func (m *chunkMemory) living(now int64) []storedChunk {
	m.forget(now)
	return m.queue[m.first:]
}
