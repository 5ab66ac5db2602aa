package schema

import "errors"

// maxDepth is how deep objects and arrays of a line may be nested. Deeper than
// any log is, and far below what would cost the stack anything.
const maxDepth = 128

var (
	errNotObject    = errors.New("not a JSON object")
	errNotContainer = errors.New("not a JSON object or list")
	errTooDeep      = errors.New("JSON nested deeper than 128")
)

// WalkObject calls fn for every member of the JSON object that line is, in
// order, duplicates included, until fn returns false; the rest of the line is
// then not looked at. key is without its quotes but still escaped, value is the
// raw text of the value (see unquote); both are pieces of line. A nil fn only
// validates.
//
// It fails when line, white space around it aside, is not one object as RFC 8259
// defines it, or is nested deeper than 128. fn may by then have been called
// for the members before the fault. Like encoding/json it takes strings whose
// bytes are not UTF-8. It does not allocate.
func WalkObject(line []byte, fn func(key, value []byte) bool) error {
	i := skipSpace(line, 0)
	if i >= len(line) || line[i] != '{' {
		return errNotObject
	}
	if fn == nil {
		i = walkMembers(line, i+1, 1, nil)
	} else {
		i = walkMembers(line, i+1, 1, func(key []byte, at int) int {
			end := skipValue(line, at, 1)
			if end >= 0 && !fn(key, line[at:end]) {
				return stopped
			}
			return end
		})
	}
	switch {
	case i == stopped:
		return nil
	case i == tooDeep:
		return errTooDeep
	case i < 0 || skipSpace(line, i) != len(line):
		return errNotObject
	}
	return nil
}

// Results of the skip functions that are not the index behind what was skipped.
const (
	malformed = -1
	tooDeep   = -2
	stopped   = -3
)

// walkMembers goes through the members of an object from behind its opening brace.
// value returns the index behind the value at an index; without it values are skipped.
func walkMembers(b []byte, i, depth int, value func(key []byte, at int) int) int {
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
		at := skipSpace(b, i+1)
		if value == nil {
			i = skipValue(b, at, depth)
		} else {
			i = value(b[key:keyEnd], at)
		}
		if i < 0 {
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

// walkElements goes through the elements of a list from behind its opening bracket, as
// walkMembers does through members.
func walkElements(b []byte, i, depth int, value func(at int) int) int {
	i = skipSpace(b, i)
	if i < len(b) && b[i] == ']' {
		return i + 1
	}
	for {
		if value == nil {
			i = skipValue(b, i, depth)
		} else {
			i = value(i)
		}
		if i < 0 {
			return i
		}
		if i = skipSpace(b, i); i >= len(b) {
			return malformed
		}
		if b[i] == ']' {
			return i + 1
		}
		if b[i] != ',' {
			return malformed
		}
		i = skipSpace(b, i+1)
	}
}

// skipValue skips the value at i; depth is that of the container around it.
func skipValue(b []byte, i, depth int) int {
	if i >= len(b) {
		return malformed
	}
	switch b[i] {
	case '"':
		return skipString(b, i+1)
	case '{':
		if depth >= maxDepth {
			return tooDeep
		}
		return walkMembers(b, i+1, depth+1, nil)
	case '[':
		if depth >= maxDepth {
			return tooDeep
		}
		return walkElements(b, i+1, depth+1, nil)
	case 't':
		return skipWord(b, i, "true")
	case 'f':
		return skipWord(b, i, "false")
	case 'n':
		return skipWord(b, i, "null")
	}
	return skipNumber(b, i)
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

func skipWord(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return malformed
	}
	return i + len(word)
}

func skipNumber(b []byte, i int) int {
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if i = skipDigits(b, i); i < 0 {
		return malformed
	}
	if i < len(b) && b[i] == '.' {
		if i = skipDigits(b, i+1); i < 0 {
			return malformed
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		return skipDigits(b, i)
	}
	return i
}

// skipDigits wants at least one.
func skipDigits(b []byte, i int) int {
	start := i
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	if i == start {
		return malformed
	}
	return i
}
