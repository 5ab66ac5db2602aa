package lake

import (
	"cmp"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"

	"tributary/schema"
)

// originValues are the values that all rows of one origin share.
type originValues struct {
	columns [colHost - colContainerID + 1]parquet.Value
	keys    []parquet.Value
	values  []parquet.Value
}

// noOrigin stands for a missing one. Nobody writes to it.
var noOrigin schema.Origin

func (e *encoder) origin(o *schema.Origin) *originValues {
	o = cmp.Or(o, &noOrigin)
	v := e.origins[o]
	if v == nil {
		v = newOriginValues(o)
		e.origins[o] = v
	}
	return v
}

func newOriginValues(o *schema.Origin) *originValues {
	v := &originValues{}
	for i, text := range [...]string{o.ContainerID, o.ContainerName, o.Source, o.Tag, o.Host} {
		v.columns[i] = optional(colContainerID+i, []byte(validText(text)), text != "")
	}
	for i, l := range uniqueLabels(o.Labels) {
		repeated := min(i, 1)
		v.keys = append(v.keys, parquet.ByteArrayValue([]byte(l.Name)).Level(repeated, 1, colAttributeKey))
		v.values = append(v.values, parquet.ByteArrayValue([]byte(l.Value)).Level(repeated, 1, colAttributeValue))
	}
	if len(v.keys) == 0 {
		v.keys = []parquet.Value{null(colAttributeKey)}
		v.values = []parquet.Value{null(colAttributeValue)}
	}
	return v
}

// uniqueLabels are valid text, sorted by name, each name once with its last
// value: Trino fails a whole query over one map with a key twice.
func uniqueLabels(labels []schema.Label) []schema.Label {
	unique := make([]schema.Label, 0, len(labels))
	for _, l := range labels {
		unique = append(unique, schema.Label{Name: validText(l.Name), Value: validText(l.Value)})
	}
	slices.SortStableFunc(unique, func(a, b schema.Label) int { return strings.Compare(a.Name, b.Name) })
	last := unique[:0]
	for i, l := range unique {
		if i+1 == len(unique) || unique[i+1].Name != l.Name {
			last = append(last, l)
		}
	}
	return last
}
