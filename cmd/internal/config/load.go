package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
)

// EnvPrefix begins every environment variable of ours.
const EnvPrefix = "TRIBUTARY_"

// Load overlays target, a pointer to a struct that holds the defaults, with the
// file (none if file is empty; see expand for what its values may hold), the environment (as os.Environ gives it) and the
// flags a person has set (key to value). All faults are joined, each naming its
// source and what to change.
func Load(target any, file string, environ []string, flags map[string]string) error {
	known := keysOf(reflect.TypeOf(target).Elem(), "")
	k := koanf.New(".")
	var faults []error

	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read configuration: %w", err)
		}
		tree, err := yaml.Parser().Unmarshal(text)
		if err != nil {
			return fmt.Errorf("%s is not YAML: %s", file, oneLine(err))
		}
		faults = append(faults, unknown(known, tree, "", file)...)
		_, missing := expand(tree, file, variables(environ))
		faults = append(faults, missing...)
		if err := k.Load(confmap.Provider(tree, ""), nil); err != nil {
			return fmt.Errorf("%s: %s", file, oneLine(err))
		}
	}
	for _, key := range sorted(flags) {
		if _, ok := known[key]; !ok {
			faults = append(faults, fmt.Errorf("command line: unknown key %q%s", key, didYouMean(known, key)))
		}
	}
	fromEnv, envFaults := readEnv(known, environ)
	faults = append(faults, envFaults...)
	for _, layer := range []map[string]any{fromEnv, anyValues(flags)} {
		if err := k.Load(confmap.Provider(layer, "."), nil); err != nil {
			return fmt.Errorf("overlay configuration: %w", err)
		}
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	return decode(k, target)
}

// decode fills target from k. An unset key keeps its default; a list replaces the
// default list as a whole.
func decode(k *koanf.Koanf, target any) error {
	err := k.UnmarshalWithConf("", target, koanf.UnmarshalConf{
		Tag: "koanf",
		DecoderConfig: &mapstructure.DecoderConfig{
			Result: target, TagName: "koanf", WeaklyTypedInput: true, ErrorUnused: true, ZeroFields: false,
			DecodeHook: mapstructure.ComposeDecodeHookFunc(
				mapstructure.StringToTimeDurationHookFunc(),
				sizeHook,
				mapstructure.StringToSliceHookFunc(","),
			),
		},
	})
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		var faults []error
		for _, e := range joined.Unwrap() {
			faults = append(faults, errors.New(oneLine(e)))
		}
		return errors.Join(faults...)
	}
	return errors.New(oneLine(err))
}

// sizeHook turns "64MiB" into an int64. It is asked for every string that meets
// an int64; plain numbers pass too.
func sizeHook(from, to reflect.Type, value any) (any, error) {
	if from.Kind() != reflect.String || to != reflect.TypeFor[int64]() {
		return value, nil
	}
	return ParseSize(value.(string))
}

// keysOf lists the leaf keys of a struct type. A list or map is one leaf.
func keysOf(t reflect.Type, prefix string) map[string]reflect.Type {
	keys := make(map[string]reflect.Type)
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("koanf"), ",")
		if !f.IsExported() || name == "-" || name == "" && opts != "squash" {
			continue
		}
		path := prefix + name
		if f.Type.Kind() != reflect.Struct {
			keys[path] = f.Type
			continue
		}
		inner := path + "."
		if opts == "squash" {
			inner = prefix
		}
		for k, v := range keysOf(f.Type, inner) {
			keys[k] = v
		}
	}
	return keys
}

// unknown walks a YAML tree and reports keys that no field has.
func unknown(known map[string]reflect.Type, tree map[string]any, prefix, file string) (faults []error) {
	for _, name := range sorted(tree) {
		path := prefix + name
		if _, ok := known[path]; ok {
			continue
		}
		if !hasPrefix(known, path+".") {
			faults = append(faults, fmt.Errorf("%s: unknown key %q%s", file, path, didYouMean(known, path)))
			continue
		}
		switch inner := tree[name].(type) {
		case map[string]any:
			faults = append(faults, unknown(known, inner, path+".", file)...)
		case nil: // "section:" with nothing below
			delete(tree, name)
		default:
			faults = append(faults, fmt.Errorf("%s: %q is a section, write its keys below it", file, path))
		}
	}
	return faults
}

// readEnv finds our variables. Since both dots and underscores become
// underscores, variables are matched against the known keys, never taken apart.
func readEnv(known map[string]reflect.Type, environ []string) (values map[string]any, faults []error) {
	byName := make(map[string]string, len(known))
	for key := range known {
		byName[EnvName(key)] = key
	}
	values = make(map[string]any)
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, EnvPrefix) || name == EnvPrefix+"CONFIG" {
			continue
		}
		key, ok := byName[name]
		if !ok {
			near := nearest(byName, name)
			faults = append(faults, fmt.Errorf("environment: unknown variable %s, did you mean %s", name, near))
			continue
		}
		values[key] = value
	}
	return values, faults
}

// EnvName is the environment variable of a key.
func EnvName(key string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

func didYouMean(known map[string]reflect.Type, path string) string {
	near := make(map[string]bool) // keys, and the sections they lie in
	for key := range known {
		for {
			near[key] = true
			dot := strings.LastIndexByte(key, '.')
			if dot < 0 {
				break
			}
			key = key[:dot]
		}
	}
	return fmt.Sprintf(", did you mean %q", nearest(near, path))
}

// nearest returns the key with the smallest edit distance; ties go to the first
// in order.
func nearest[V any](keys map[string]V, path string) (best string) {
	least := -1
	for _, key := range sorted(keys) {
		if d := Distance(key, path); least < 0 || d < least {
			best, least = key, d
		}
	}
	return best
}

// Distance is Levenshtein's, how many letters tell two names apart.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

func hasPrefix(known map[string]reflect.Type, prefix string) bool {
	for key := range known {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func anyValues(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
