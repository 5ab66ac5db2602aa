package config

import (
	"fmt"
	"regexp"
	"strings"
)

// reference is ${NAME} or ${NAME:-default} in a value, or $${, which stands for ${.
var reference = regexp.MustCompile(`\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}`)

// variables are an environment by name.
func variables(environ []string) map[string]string {
	vars := make(map[string]string, len(environ))
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		vars[name] = value
	}
	return vars
}

// expand puts environment variables in the place of references in all texts of a YAML
// tree, which it changes and returns. One that is not set and has no default is a
// fault: an empty text in its place would be found out much later.
func expand(value any, at string, vars map[string]string) (any, []error) {
	var faults []error
	switch v := value.(type) {
	case string:
		return reference.ReplaceAllStringFunc(v, func(text string) string {
			if text == "$${" {
				return "${"
			}
			parts := reference.FindStringSubmatch(text)
			got, set := vars[parts[1]]
			if !set && parts[2] == "" {
				faults = append(faults, fmt.Errorf("%s: environment variable %s is not set: set it, or write ${%s:-default}", at, parts[1], parts[1]))
			}
			if got == "" && parts[2] != "" { // as a shell has it
				return parts[3]
			}
			return got
		}), faults
	case map[string]any:
		for _, name := range sorted(v) {
			inner, more := expand(v[name], at+": "+name, vars)
			v[name] = inner
			faults = append(faults, more...)
		}
	case []any:
		for i := range v {
			inner, more := expand(v[i], fmt.Sprintf("%s[%d]", at, i), vars)
			v[i] = inner
			faults = append(faults, more...)
		}
	}
	return value, faults
}
