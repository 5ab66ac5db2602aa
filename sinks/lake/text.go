package lake

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"tributary/schema"
)

// validText makes metadata fit for Parquet's STRING, which must be UTF-8: engines
// refuse a whole column for one wrong byte. Lines are never changed, see layout.
func validText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// levelFields are the top-level fields that may hold a line's level, the first
// one present wins.
var levelFields = [...]string{"level", "severity", "log_level"}

// maxLevel bounds what passes for a level's name.
const maxLevel = 32

// levelNames reads levels and keeps one copy of each name.
type levelNames struct {
	known map[string][]byte
}

// of returns the level a JSON line states, in upper case, or nil. Numbers, as
// pino writes them, are taken as they stand.
func (n *levelNames) of(line []byte) []byte {
	best := len(levelFields)
	var found []byte
	err := schema.WalkObject(line, func(key, value []byte) bool {
		for i := 0; i <= best && i < len(levelFields); i++ {
			if string(key) == levelFields[i] {
				best, found = i, value
				break
			}
		}
		return true
	})
	if err != nil || best == len(levelFields) {
		return nil
	}
	return n.name(found)
}

// name interns the raw JSON value of a level.
func (n *levelNames) name(value []byte) []byte {
	if name, ok := n.known[string(value)]; ok {
		return name
	}
	text := string(value)
	switch c := text[0]; {
	case c == '"':
		if json.Unmarshal(value, &text) != nil {
			return nil
		}
	case c != '-' && (c < '0' || c > '9'):
		return nil
	}
	if text == "" || len(text) > maxLevel {
		return nil
	}
	name := []byte(strings.ToUpper(validText(text)))
	// Real programs have some ten levels; a field of that name with free text in it
	// must not fill the memory.
	if len(n.known) < 256 {
		n.known[string(value)] = name
	}
	return name
}
