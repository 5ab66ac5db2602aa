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
	i = walkTree(line, i+1, 1, v)
	switch {
	case i == tooDeep:
		return errTooDeep
	case i < 0 || skipSpace(line, i) != len(line):
		return errNotObject
	}
	return nil
}

// walkTree goes through the members of an object from behind its opening brace.
func walkTree(b []byte, i, depth int, v TreeVisitor) int {
	i = skipSpace(b, i)
	if i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return malformed
		}
		key := i + 1
		if i = skipString(b, key); i < 0 {
			return i
		}
		keyEnd := i - 1
		if i = skipSpace(b, i); i >= len(b) || b[i] != ':' {
			return malformed
		}
		value := skipSpace(b, i+1)
		if i = treeValue(b, b[key:keyEnd], value, depth, v); i < 0 {
			return i
		}
		if i = skipSpace(b, i); i >= len(b) {
			return malformed
		}
		if b[i] == '}' {
			return i + 1
		}
		if b[i] != ',' {
			return malformed
		}
		i = skipSpace(b, i+1)
	}
}

// treeValue tells v of one member and returns the index behind its value.
func treeValue(b, key []byte, value, depth int, v TreeVisitor) int {
	if value < len(b) && b[value] == '{' {
		if depth >= maxDepth {
			return tooDeep
		}
		if v.Enter(key) {
			i := walkTree(b, value+1, depth+1, v)
			v.Leave()
			return i
		}
	}
	i := skipValue(b, value, depth)
	if i >= 0 {
		v.Member(key, b[value:i])
	}
	return i
}
