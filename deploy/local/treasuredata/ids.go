package treasuredata

import "time"

// ids are the import ids that are remembered, the youngest max of them (0: all) and none for longer than age (0: for ever).
type ids struct {
	max   int
	age   time.Duration
	known map[string]int64 // the stamp of the import
	order []entry          // oldest first; empty where nothing is forgotten
}

type entry struct {
	id    string
	stamp int64
}

func newIDs(max int, age time.Duration) *ids {
	return &ids{max: max, age: age, known: make(map[string]int64)}
}

// add remembers an id. Stamps come in their order.
func (m *ids) add(id string, stamp int64) {
	m.known[id] = stamp
	if m.max == 0 && m.age == 0 {
		return
	}
	m.order = append(m.order, entry{id, stamp})
	for m.max > 0 && len(m.order) > m.max {
		m.forget()
	}
}

// has tells whether the id is remembered at a time in ms.
func (m *ids) has(id string, ms int64) bool {
	for m.age > 0 && len(m.order) > 0 && m.order[0].stamp < ms-m.age.Milliseconds() {
		m.forget()
	}
	_, ok := m.known[id]
	return ok
}

func (m *ids) forget() {
	oldest := m.order[0]
	m.order = m.order[1:]
	if m.known[oldest.id] == oldest.stamp { // else it was imported anew since
		delete(m.known, oldest.id)
	}
}
