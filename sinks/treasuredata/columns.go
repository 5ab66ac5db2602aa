package treasuredata

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"

	"tributary/schema"
)

// columns are what a plan says of a row's columns.
type columns struct {
	flatten  bool
	limit    int // members of a line
	metadata []string
	prefix   string
	// reserved are the names that no member gets: TD's own and those of metadata.
	reserved map[string]bool
}

func newColumns(p plan) *columns {
	c := &columns{
		flatten: p.Nested == nestedFlatten, metadata: p.Metadata, prefix: p.MetadataPrefix,
		limit:    p.MaxColumns - 1 - len(p.Metadata) - len(ownColumns),
		reserved: map[string]bool{"time": true, "v": true},
	}
	for _, name := range slices.Concat(p.Metadata, ownColumns) {
		c.reserved[p.MetadataPrefix+name] = true
	}
	return c
}

// placed reports whether rows tell an event's place in the stream.
func (c *columns) placed() bool {
	return slices.ContainsFunc(c.metadata, func(name string) bool { return name == "shard" || name == "sequence" || name == "index" })
}

// pathSeparator stands between the names of nested members. It occurs in no UTF-8.
const pathSeparator = "\xff"

// member names the column of a member. The same text of names has one, however it
// was escaped.
type member struct {
	text  string // of the names
	exact bool   // it is its column's name as it is
	free  string // its column, unless another member of the row wants that too
	*column

	row   uint64 // in which it was seen last
	place int    // in that row

	raw  []byte  // the names as written
	then *member // that followed it last: lines are alike
}

// column is a name, ready to be written.
type column struct {
	encoded []byte // as msgpack
	row     uint64 // that has it
}

// names remembers columns by members' names as written, so that a name is worked
// out once and not once a line. One goroutine uses it.
type names struct {
	*columns
	members map[string]*member
	known   map[string]*column
	size    int
	last    *member // looked up
}

// maxNames bounds what is remembered, in bytes and 256 for each name. A single row
// adds at most columns.limit to it.
const maxNames = 2 << 20

func newNames(c *columns) *names {
	return &names{columns: c, members: map[string]*member{}, known: map[string]*column{}, last: &member{}}
}

// trim forgets all between two rows, when the lines' names are data.
func (n *names) trim() {
	if n.size > maxNames {
		n.members, n.known, n.size, n.last = map[string]*member{}, map[string]*column{}, 0, &member{}
	}
}

// member looks up names as written, nested ones with pathSeparator between.
func (n *names) member(raw []byte) *member {
	m := n.last.then
	if m == nil || !bytes.Equal(m.raw, raw) {
		if m = n.members[string(raw)]; m == nil {
			m = n.newMember(raw)
		}
		n.last.then = m
	}
	n.last = m
	return m
}

func (n *names) newMember(raw []byte) *member {
	var segments []string
	for s := range bytes.SplitSeq(raw, []byte(pathSeparator)) {
		segments = append(segments, string(schema.Unescape(nil, s)))
	}
	m := &member{text: strings.Join(segments, pathSeparator), raw: bytes.Clone(raw)}
	base := columnName(m.text)
	m.exact = base == m.text && !n.reserved[base]
	for i := 0; m.free == "" || n.reserved[m.free]; i++ {
		m.free = numbered(base, i)
	}
	m.column = n.column(m.free)
	n.members[string(raw)] = m
	n.size += 256 + 2*len(raw) + len(m.text)
	return m
}

func numbered(base string, i int) string {
	if i == 0 {
		return base
	}
	return base + "_" + strconv.Itoa(i)
}

func (n *names) column(name string) *column {
	c := n.known[name]
	if c == nil {
		c = &column{encoded: msgp.AppendString(nil, name)}
		n.known[name] = c
		n.size += 256 + len(name)
	}
	return c
}

// settle gives each cell of a row its column when some want the same. Of cells whose
// names read the same the last one counts; then who has a column's very name gets
// it, and the others, in the order of their names, get numbers behind theirs. The
// order of a line's members decides nothing.
func (n *names) settle(cells []cell) []cell {
	byText := map[string]int{}
	kept := cells[:0]
	for _, c := range cells {
		if at, twice := byText[c.member.text]; twice {
			kept[at].raw = c.raw
			continue
		}
		byText[c.member.text] = len(kept)
		kept = append(kept, c)
	}
	taken := map[string]bool{}
	var others []int
	for i, c := range kept {
		if c.member.exact {
			taken[c.member.free] = true
			kept[i].column = c.member.column
		} else {
			others = append(others, i)
		}
	}
	slices.SortFunc(others, func(a, b int) int { return strings.Compare(kept[a].member.text, kept[b].member.text) })
	used := map[string]int{} // numbers of a base
	for _, i := range others {
		base := columnName(kept[i].member.text)
		name := numbered(base, used[base])
		for n.reserved[name] || taken[name] {
			used[base]++
			name = numbered(base, used[base])
		}
		taken[name] = true
		kept[i].column = n.column(name)
	}
	return kept
}

var replacement = []byte("\uFFFD")

// mend returns text that is UTF-8, and whether it had to be changed.
func mend(text []byte) ([]byte, bool) {
	if utf8.Valid(text) {
		return text, false
	}
	return bytes.ToValidUTF8(text, replacement), true
}
