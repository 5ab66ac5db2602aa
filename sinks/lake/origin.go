package lake

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"

	"tributary/schema"
)

// originValues are the values that all rows of one origin share.
type originValues struct {
	texts        [5]originText // in the order of originColumns
	keys, values [][]byte      // labels
	prefixed     [][]byte      // keys as attributes have them, beside those of lines
}

type originText struct {
	text  []byte // nil: null
	value parquet.Value
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
	for i, text := range [...]string{o.ContainerID, o.ContainerName, o.Source, o.Host, o.Tag} {
		if text != "" {
			v.texts[i].text = []byte(validText(text))
		}
	}
	for _, l := range uniqueLabels(o.Labels) {
		v.keys, v.values = append(v.keys, []byte(l.Name)), append(v.values, []byte(l.Value))
		v.prefixed = append(v.prefixed, []byte("label."+l.Name))
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

// validText makes metadata fit for Parquet's STRING, which must be UTF-8: engines
// refuse a whole column for one wrong byte. Lines are never changed.
func validText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
