package treasuredata

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"tributary/stream"
)

// part is a run of a table's rows that is sent as one body.
type part struct {
	path     string // "3", its halves "3.0" and "3.1"
	from, to int    // rows of the table
	verdict  verdict
	answer   string // what TD said, unless it took the part
	aside    string // why its rows go to the reject store
}

// halves cut a part in the middle.
func (p *part) halves() []*part {
	middle := p.from + (p.to-p.from)/2
	return []*part{{path: p.path + ".0", from: p.from, to: middle}, {path: p.path + ".1", from: middle, to: p.to}}
}

// delivery is a table on its way: its parts in the order of their rows, those that
// were halved replaced by their halves.
type delivery struct {
	*table
	parts []*part
	whole int // parts that were cut, before any was halved
	next  int // the first row in no part yet
}

// cut makes the next part, up to a row.
func (d *delivery) cut(to int) *part {
	p := &part{path: strconv.Itoa(d.whole), from: d.next, to: to}
	d.parts = append(d.parts, p)
	d.whole++
	d.next = to
	return p
}

// idBytes of a hash are an id: what TD's own plugin sends.
const idBytes = 16

// partID is the id of a part, the same in every replay. A truncated range holds other
// rows in its parts than the whole one did: with the same ids TD would take them for
// those, and drop them.
func partID(group string, t tableName, r stream.Range, held stream.SequenceNumber, path string) string {
	h := sha256.New()
	fields := []string{
		strconv.Itoa(formatVersion), group, t.database, t.table, string(r.Shard),
		strconv.FormatUint(r.Generation, 10), string(r.First), string(r.Last), path,
	}
	if r.Truncated {
		fields = append(fields, "from", string(held))
	}
	for _, f := range fields {
		h.Write(strconv.AppendInt(nil, int64(len(f)), 10))
		h.Write([]byte{':'})
		h.Write([]byte(f))
	}
	return hex.EncodeToString(h.Sum(nil)[:idBytes])
}
