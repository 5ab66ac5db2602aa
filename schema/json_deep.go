package schema

// DeepVisitor is told of all values of a JSON text in their order, elements of lists
// included. Keys and values are pieces of the text, as WalkObject hands them out; the
// key of an element, and of the outermost value, is nil.
type DeepVisitor interface {
	// Member is a value that is no object or list, or one that Enter declined.
	Member(key, value []byte)
	// Enter is an object (open is '{') or a list ('['). If it returns true its values
	// follow, then Leave; else Member gets it as it is written.
	Enter(key []byte, open byte) bool
	// Leave gets the object or list that was entered as it is written.
	Leave(value []byte)
}

// WalkDeep tells v of all values of the JSON object or list that text is. It fails,
// after some of them perhaps, when text, white space around it aside, is neither, or is
// nested deeper than WalkObject goes.
func WalkDeep(text []byte, v DeepVisitor) error {
	i := skipSpace(text, 0)
	if i >= len(text) || text[i] != '{' && text[i] != '[' {
		return errNotContainer
	}
	d := deep{text, v, 0}
	i = d.member(nil, i)
	switch {
	case i == tooDeep:
		return errTooDeep
	case i < 0 || skipSpace(text, i) != len(text):
		return errNotContainer
	}
	return nil
}

// deep is a walk at some depth.
type deep struct {
	text  []byte
	v     DeepVisitor
	depth int
}

// member tells the visitor of one value and returns the index behind it.
func (d *deep) member(key []byte, at int) int {
	b := d.text
	if at < len(b) && (b[at] == '{' || b[at] == '[') {
		if d.depth >= maxDepth {
			return tooDeep
		}
		if d.v.Enter(key, b[at]) {
			var i int
			d.depth++
			if b[at] == '{' {
				i = walkMembers(b, at+1, d.depth, d.member)
			} else {
				i = walkElements(b, at+1, d.depth, d.element)
			}
			d.depth--
			if i >= 0 {
				d.v.Leave(b[at:i])
			}
			return i
		}
	}
	i := skipValue(b, at, d.depth)
	if i >= 0 {
		d.v.Member(key, b[at:i])
	}
	return i
}

func (d *deep) element(at int) int { return d.member(nil, at) }
