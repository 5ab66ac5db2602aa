package dynamodb

import (
	"bytes"
	"fmt"
	"slices"
)

// maxDepth is the service's limit on nested lists and maps.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const maxDepth = 32

// attribute is one attribute value in its wire form: exactly one field is set.
// Attributes are never changed after they were decoded, so items share them.
type attribute struct {
	S    *string               `json:"S,omitempty"`
	N    *numeral              `json:"N,omitempty"`
	B    *[]byte               `json:"B,omitempty"`
	Bool *bool                 `json:"BOOL,omitempty"`
	Null *bool                 `json:"NULL,omitempty"`
	SS   *[]string             `json:"SS,omitempty"`
	L    *[]attribute          `json:"L,omitempty"`
	M    *map[string]attribute `json:"M,omitempty"`
}

// item is a set of named attributes; like them it is never changed once stored.
type item map[string]attribute

// typeName is the wire name of the attribute's type, "" if none or several are set.
func (a attribute) typeName() string {
	name := ""
	for _, t := range []struct {
		set  bool
		name string
	}{
		{a.S != nil, "S"}, {a.N != nil, "N"}, {a.B != nil, "B"}, {a.Bool != nil, "BOOL"},
		{a.Null != nil, "NULL"}, {a.SS != nil, "SS"}, {a.L != nil, "L"}, {a.M != nil, "M"},
	} {
		if t.set && name != "" {
			return ""
		}
		if t.set {
			name = t.name
		}
	}
	return name
}

// check refuses what the service refuses in a value.
func (a attribute) check(depth int) error {
	if depth > maxDepth {
		return validation("Nesting Levels have exceeded supported limits")
	}
	switch a.typeName() {
	case "":
		return validation("Supplied AttributeValue must contain exactly one of the supported datatypes (S, N, B, BOOL, NULL, SS, L, M)")
	case "N":
		_, err := parseNumber(string(*a.N))
		return err
	case "NULL":
		if !*a.Null {
			return validation("One or more parameter values were invalid: Null attribute value types must have the value of true")
		}
	case "SS":
		return checkSet(*a.SS)
	case "L":
		for _, e := range *a.L {
			if err := e.check(depth + 1); err != nil {
				return err
			}
		}
	case "M":
		for _, e := range *a.M {
			if err := e.check(depth + 1); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkSet(set []string) error {
	if len(set) == 0 {
		return validation("One or more parameter values were invalid: An string set may not be empty")
	}
	sorted := slices.Sorted(slices.Values(set))
	if len(slices.Compact(sorted)) != len(set) {
		return validation("One or more parameter values were invalid: Input collection contains duplicates")
	}
	return nil
}

// equal compares as the service does: numbers by value, sets without order.
func (a attribute) equal(b attribute) bool {
	kind := a.typeName()
	if kind != b.typeName() {
		return false
	}
	switch kind {
	case "S":
		return *a.S == *b.S
	case "N":
		return compareNumbers(string(*a.N), string(*b.N)) == 0
	case "B":
		return bytes.Equal(*a.B, *b.B)
	case "BOOL":
		return *a.Bool == *b.Bool
	case "NULL":
		return true
	case "SS":
		return slices.Equal(slices.Sorted(slices.Values(*a.SS)), slices.Sorted(slices.Values(*b.SS)))
	case "L":
		return slices.EqualFunc(*a.L, *b.L, attribute.equal)
	}
	return equalMaps(*a.M, *b.M)
}

func equalMaps(a, b map[string]attribute) bool {
	if len(a) != len(b) {
		return false
	}
	for name, v := range a {
		w, ok := b[name]
		if !ok || !v.equal(w) {
			return false
		}
	}
	return true
}

// size follows the service's published rules, in bytes.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
func (a attribute) size() int64 {
	switch a.typeName() {
	case "S":
		return int64(len(*a.S))
	case "N":
		return a.N.size()
	case "B":
		return int64(len(*a.B))
	case "SS":
		return sumOf(*a.SS, func(s string) int64 { return int64(len(s)) })
	case "L":
		return 3 + sumOf(*a.L, func(e attribute) int64 { return 1 + e.size() })
	case "M":
		return 3 + int64(len(*a.M)) + item(*a.M).size()
	}
	return 1
}

func (i item) size() int64 {
	var n int64
	for name, a := range i {
		n += int64(len(name)) + a.size()
	}
	return n
}

func sumOf[T any](list []T, size func(T) int64) int64 {
	var n int64
	for _, e := range list {
		n += size(e)
	}
	return n
}

// check refuses an item that has a bad value or name, or is larger than the
// service allows.
func (i item) check() error {
	for name, a := range i {
		if name == "" || len(name) > 64<<10 {
			return validation("One or more parameter values were invalid: attribute names must have 1 to 65536 bytes")
		}
		if err := a.check(1); err != nil {
			return err
		}
	}
	if n := i.size(); n > maxItemBytes {
		return validation(fmt.Sprintf("Item size has exceeded the maximum allowed size: %d bytes, allowed are %d", n, maxItemBytes))
	}
	return nil
}

// maxItemBytes is the service's limit of one item, names included.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const maxItemBytes = 400 << 10
