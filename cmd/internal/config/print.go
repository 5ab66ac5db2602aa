package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
)

// Print returns the effective configuration as YAML that Load reads back, with
// secrets masked.
func Print(cfg any) (string, error) {
	text, err := yaml.Parser().Marshal(tree(reflect.ValueOf(cfg)))
	if err != nil {
		return "", fmt.Errorf("print configuration: %w", err)
	}
	return string(text), nil
}

func tree(v reflect.Value) map[string]any {
	out := make(map[string]any)
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("koanf"), ",")
		switch {
		case !f.IsExported() || name == "-":
		case opts == "squash":
			for k, inner := range tree(v.Field(i)) {
				out[k] = inner
			}
		case name != "":
			out[name] = leaf(name, v.Field(i))
		}
	}
	return out
}

func leaf(name string, v reflect.Value) any {
	switch value := v.Interface().(type) {
	case time.Duration:
		return shortDuration(value)
	case int64:
		if strings.HasSuffix(name, "_bytes") {
			return FormatSize(value)
		}
	case string:
		if secret(name) && value != "" {
			return "********"
		}
	}
	switch v.Kind() {
	case reflect.Struct:
		return tree(v)
	case reflect.Slice:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = leaf(name, v.Index(i))
		}
		return out
	}
	return v.Interface()
}

// shortDuration writes 5m, not 5m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func secret(name string) bool {
	if strings.HasSuffix(name, "_file") {
		return false // where a secret lies is none
	}
	for _, word := range []string{"secret", "password", "token", "api_key", "shared_key"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
