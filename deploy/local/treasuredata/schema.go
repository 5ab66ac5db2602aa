package treasuredata

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/tinylib/msgp/msgp"
)

// maxSchema is how many columns a schema has: "512 soft" for streaming imports, says the service's list of upper limits.
const maxSchema = 512

const (
	typeLong   = "long"
	typeDouble = "double"
	typeString = "string"
)

// maxColumn is the longest name of a column, in characters.
const maxColumn = 255

// isColumn tells whether a column may have this name: ^[a-z_][a-z0-9_]*$ and not the reserved v.
func isColumn(name []byte) bool {
	for i, c := range name {
		if (c < 'a' || c > 'z') && c != '_' && (c < '0' || c > '9' || i == 0) {
			return false
		}
	}
	return len(name) > 0 && len(name) <= maxColumn && string(name) != "v"
}

// A column is written as ["name","type"].
type column struct{ name, kind string }

func (c column) MarshalJSON() ([]byte, error) { return json.Marshal([2]string{c.name, c.kind}) }

func (c *column) UnmarshalJSON(text []byte) error {
	var pair [2]string
	if err := json.Unmarshal(text, &pair); err != nil {
		return fmt.Errorf("read column: %w", err)
	}
	*c = column{pair[0], pair[1]}
	return nil
}

// A schema is a table's columns in the order they came.
type schema struct {
	columns []column
	at      map[string]int
}

func newSchema(columns []column) *schema {
	s := &schema{at: make(map[string]int)}
	for _, c := range columns {
		s.note([]byte(c.name), c.kind)
	}
	return s
}

// note says that the column came with this type, and reports whether that changes the schema.
func (s *schema) note(name []byte, kind string) bool {
	i, ok := s.at[string(name)]
	switch {
	case ok && (s.columns[i].kind == kind || s.columns[i].kind == typeString):
		return false
	case ok:
		s.columns[i].kind = typeString
		return true
	case len(s.columns) == maxSchema:
		return false
	}
	s.at[string(name)] = len(s.columns)
	s.columns = append(s.columns, column{string(name), kind})
	return true
}

// merge notes all of other's columns and reports whether that changes the schema.
func (s *schema) merge(other *schema) (changed bool) {
	for _, c := range other.columns {
		changed = s.note([]byte(c.name), c.kind) || changed
	}
	return changed
}

// kindOf tells the type that a packed value is detected as, "" for none.
func kindOf(value []byte) string {
	switch msgp.NextType(value) {
	case msgp.NilType:
		return ""
	case msgp.IntType:
		return typeLong
	case msgp.UintType:
		if u, _, err := msgp.ReadUint64Bytes(value); err == nil && u <= math.MaxInt64 {
			return typeLong
		}
	case msgp.Float32Type, msgp.Float64Type:
		return typeDouble
	}
	return typeString
}
