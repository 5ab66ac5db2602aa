package config

import (
	"reflect"
	"strings"
)

// Keys lists all keys of target, a pointer to a configuration struct, in order.
func Keys(target any) []string { return sorted(keysOf(reflect.TypeOf(target).Elem(), "")) }

// Changed lists the keys whose values differ between two configurations of one type, in
// order.
func Changed(a, b any) []string {
	differ := make(map[string]bool)
	changed(reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem(), "", differ)
	return sorted(differ)
}

func changed(a, b reflect.Value, prefix string, differ map[string]bool) {
	for i := range a.NumField() {
		f := a.Type().Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("koanf"), ",")
		switch {
		case !f.IsExported() || name == "-" || name == "" && opts != "squash":
		case opts == "squash":
			changed(a.Field(i), b.Field(i), prefix, differ)
		case f.Type.Kind() == reflect.Struct:
			changed(a.Field(i), b.Field(i), prefix+name+".", differ)
		case !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()):
			differ[prefix+name] = true
		}
	}
}
