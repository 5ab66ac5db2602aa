package columns

import (
	"slices"

	"tributary/schema"
)

// leaf is what is known of all lines with the same names and sorts of values.
type leaf struct {
	members  []*member
	slots    []slot   // by value
	misfits  []target // columns that a list or an object was meant for
	promoted []string // names of those columns
	verbatim bool     // a name has half a surrogate pair
	known    []variant
}

// slot says what happens to a value.
type slot struct {
	to   target
	code int8 // index into codes
	step step
	name []byte // as an attribute
}

// member is one of a line, in the tree of its objects.
type member struct {
	step  step
	key   []byte // as written
	name  string // the key's text
	slot  int    // -1: null, or an object
	inner []*member
}

// codes say how the values were written that columns keep in another form; 0: not
// kept, an attribute has it.
type codes [5]uint16

type variant struct {
	codes codes
	shape []byte
}

// maxVariants bounds the shapes kept of one leaf.
const maxVariants = 64

// newLeaf looks up what the steps to s.at name.
func newLeaf(s *Splitter) *leaf {
	l := &leaf{promoted: s.promoted}
	for n := s.at; n.parent != nil; n = n.parent {
		_, exact := schema.UnescapeExactly(nil, n.key)
		l.verbatim = l.verbatim || !exact
	}
	l.members = tree(s.at)
	l.slots = make([]slot, len(s.values))
	for i := range l.slots {
		l.slots[i].to = toNothing
	}
	var found []*slot // in the line's order
	var paths []string
	names := attributeNames{}
	eachLeaf(l.members, "", func(m *member, path string) {
		name := names.take(path)
		if m.slot < 0 {
			return
		}
		sl := &l.slots[m.slot]
		sl.to, sl.step, sl.name = toAttribute, m.step, []byte(name)
		found, paths = append(found, sl), append(paths, path)
	})
	l.assign(s, found, paths)
	code := int8(0)
	for _, sl := range found {
		if sl.to == toTime || sl.to == toService || sl.to == target(Level) || sl.to == target(Status) || sl.to == target(Duration) {
			sl.code = code
			code++
		}
	}
	return l
}

// assign gives each column the most wanted of the members that can fill it.
func (l *leaf) assign(s *Splitter, found []*slot, paths []string) {
	type candidate struct {
		slot *slot
		rank int
	}
	best := map[target]candidate{}
	var order []target
	for i, sl := range found {
		for _, p := range s.places[paths[i]] {
			if sl.step == stepOther {
				if p.to < toPromoted {
					l.misfits = append(l.misfits, p.to)
					continue
				}
				if p.to == toTime || p.to == toService {
					continue
				}
			}
			b, there := best[p.to]
			if !there {
				order = append(order, p.to)
			}
			if !there || p.rank < b.rank {
				best[p.to] = candidate{sl, p.rank}
			}
		}
	}
	// A member that two columns want goes to the first of them, to time and service
	// last: there it may turn out not to be the row's.
	slices.Sort(order)
	for _, to := range order {
		if sl := best[to].slot; sl.to == toAttribute {
			sl.to = to
		}
	}
}

// tree makes members of the steps that lead to a node. Of members of one object
// with the same name the last one counts.
func tree(end *node) []*member {
	var path []*node
	for n := end; n.parent != nil; n = n.parent {
		path = append(path, n)
	}
	slices.Reverse(path)
	type object struct {
		members []*member
		index   map[string]int
	}
	open := []*object{{index: map[string]int{}}}
	var owners []*member
	value := 0
	for _, n := range path {
		top := open[len(open)-1]
		if n.step == stepLeave {
			owner := owners[len(owners)-1]
			owner.inner = slices.DeleteFunc(top.members, func(m *member) bool { return m == nil })
			open, owners = open[:len(open)-1], owners[:len(owners)-1]
			continue
		}
		m := &member{step: n.step, key: n.key, name: string(schema.Unescape(nil, n.key)), slot: -1}
		if n.step != stepNull && n.step != stepEnter {
			m.slot = value
			value++
		}
		if before, twice := top.index[m.name]; twice {
			top.members[before] = nil
		}
		top.index[m.name] = len(top.members)
		top.members = append(top.members, m)
		if n.step == stepEnter {
			open = append(open, &object{index: map[string]int{}})
			owners = append(owners, m)
		}
	}
	return slices.DeleteFunc(open[0].members, func(m *member) bool { return m == nil })
}

// eachLeaf calls fn for the members that are no objects, with their paths.
func eachLeaf(members []*member, prefix string, fn func(m *member, path string)) {
	for _, m := range members {
		if m.step == stepEnter {
			eachLeaf(m.inner, prefix+m.name+".", fn)
			continue
		}
		fn(m, prefix+m.name)
	}
}

// attributeNames makes the names of attributes: a member's path, with tildes if
// another one has it.
type attributeNames map[string]bool

func (n attributeNames) take(path string) string {
	for n[path] {
		path += "~"
	}
	n[path] = true
	return path
}

// shape is the text that puts lines of this leaf together again.
func (l *leaf) shape(c codes, s *Splitter) []byte {
	for i := range l.known {
		if l.known[i].codes == c {
			if i > 0 {
				l.known[0], l.known[i] = l.known[i], l.known[0]
			}
			return l.known[0].shape
		}
	}
	v := variant{c, l.render(nil, l.members, c, &s.forms)}
	if len(l.known) < maxVariants {
		l.known = append(l.known, v)
		s.size += 1 + len(v.shape)/100
	}
	return v.shape
}

func (l *leaf) render(b []byte, members []*member, c codes, f *forms) []byte {
	b = append(b, '{')
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), m.key...), `":`...)
		switch m.step {
		case stepEnter:
			b = l.render(b, m.inner, c, f)
		case stepNull:
			b = append(b, "null"...)
		default:
			b = append(b, '"')
			b = l.token(b, &l.slots[m.slot], c, f)
			b = append(b, '"')
		}
	}
	return append(b, '}')
}

// token appends where a value went. The names of columns need no escapes.
func (l *leaf) token(b []byte, sl *slot, c codes, f *forms) []byte {
	column, suffix := "", ""
	switch to := sl.to; {
	case to == toTime:
		if c[sl.code] != 0 {
			column, suffix = "time", " "+f.name(c[sl.code])
		}
	case to == toService:
		if c[sl.code] != 0 {
			column = "service"
		}
	case to == toAttribute:
	case to == target(Level):
		if form, kept := levelForms[c[sl.code]]; kept {
			column, suffix = Level.String(), form
		}
	case to == target(Status), to == target(Duration):
		if c[sl.code] != 0 {
			column = ID(to).String()
			if sl.step == stepText {
				suffix = " text"
			}
		}
	default:
		if column = l.column(to); sl.step != stepText {
			suffix = " json"
		}
	}
	if column == "" && sl.step != stepText {
		column = "json"
	}
	return append(append(b, column...), suffix...)
}

func (l *leaf) column(to target) string {
	if to >= toPromoted {
		return l.promoted[to-toPromoted]
	}
	return ID(to).String()
}
