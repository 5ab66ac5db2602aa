package schema

// TreeVisitor is told of the members of an object, nested ones included, in their
// order. Keys and values are pieces of the line, as WalkObject hands them out.
type TreeVisitor interface {
	// Member is a member whose value is no object, or one that Enter declined.
	Member(key, value []byte)
	// Enter is a member whose value is an object. If it returns true the object's
	// members follow, then Leave; else Member gets the object as it is written.
	Enter(key []byte) bool
	Leave()
}

// WalkTree tells v of all members of the JSON object that line is. It fails, after
// some members perhaps, where WalkObject does.
func WalkTree(line []byte, v TreeVisitor) error {
	i := skipSpace(line, 0)
	if i >= len(line) || line[i] != '{' {
		return errNotObject
	}
	t := tree{line, v, 1}
	i = walkMembers(line, i+1, 1, t.value)
	switch {
	case i == tooDeep:
		return errTooDeep
	case i < 0 || skipSpace(line, i) != len(line):
		return errNotObject
	}
	return nil
}

// tree is a walk at some depth.
type tree struct {
	line  []byte
	v     TreeVisitor
	depth int
}

// value tells the visitor of one member and returns the index behind its value.
func (t *tree) value(key []byte, at int) int {
	b := t.line
	if at < len(b) && b[at] == '{' {
		if t.depth >= maxDepth {
			return tooDeep
		}
		if t.v.Enter(key) {
			t.depth++
			i := walkMembers(b, at+1, t.depth, t.value)
			t.depth--
			t.v.Leave()
			return i
		}
	}
	i := skipValue(b, at, t.depth)
	if i >= 0 {
		t.v.Member(key, b[at:i])
	}
	return i
}
