package schema

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Rules decide kind, service and time of a line. They are plain data: JSON for a
// destination's plan, YAML in the configuration. Times are in nanoseconds in
// JSON.
type Rules struct {
	// Kinds are tried in order on a line that is a JSON object; the first that
	// matches decides. An object that none matches is of kind app, every other
	// line of kind raw.
	Kinds []KindRule `koanf:"kinds" json:"kinds"`

	// Service lists where a service name may come from; the first source that
	// has one decides:
	//
	//	label:NAME      a Docker label, and
	//	env:NAME        an environment variable that the log driver was told to
	//	                add (Docker sends both alike: each form finds both)
	//	field:NAME      a text or number of that name in the JSON line
	//	tag:N           the part N of the tag between dots, from 0; -1 is the last
	//	container_name  the name of the container; of a name that the ECS agent
	//	                made (ecs-<family>-<revision>-<name>-<hex>) only <name>,
	//	                or each task would be a service of its own
	Service []string `koanf:"service" json:"service"`

	// DefaultService is the name when no source has one.
	DefaultService string `koanf:"default_service" json:"default_service"`

	// TimeFields are the JSON fields that may hold the line's time; the first
	// that parses and lies within TimeWindow decides.
	TimeFields []string `koanf:"time_fields" json:"time_fields"`

	// TimeZone (an IANA name) is the zone of times that name none. Empty: such
	// times are ambiguous and not used.
	TimeZone string `koanf:"time_zone" json:"time_zone"`

	// TimeWindow is how far a line's own time may be from its arrival.
	TimeWindow TimeWindow `koanf:"time_window" json:"time_window"`
}

// KindRule gives a kind ("app" or "audit") to JSON lines whose top-level field
// is the text, or the number or word, that Equals is.
type KindRule struct {
	Field  string `koanf:"field" json:"field"`
	Equals string `koanf:"equals" json:"equals"`
	Kind   string `koanf:"kind" json:"kind"`
}

// TimeWindow bounds a line's own time on both sides of its arrival.
type TimeWindow struct {
	Past   time.Duration `koanf:"past" json:"past"`
	Future time.Duration `koanf:"future" json:"future"`
}

const (
	maxRuleFields  = 32  // of all rules together; their values live on the stack
	maxServiceName = 128 // bytes
	maxRuleText    = 128 // bytes of a field's name, of what it equals
	maxTimeWindow  = 366 * 24 * time.Hour
)

// DefaultRules are the rules of a fresh installation.
func DefaultRules() Rules {
	return Rules{
		Kinds: []KindRule{{Field: "marker", Equals: "AUDIT", Kind: "audit"}},
		Service: []string{
			"label:com.amazonaws.ecs.container-name",
			"label:com.docker.compose.service",
			"env:SERVICE",
			"field:service",
			"container_name",
		},
		DefaultService: "unknown",
		TimeFields:     []string{"@timestamp", "timestamp", "time", "ts"},
		// A line is written within moments of its arrival; it is late when its
		// container was frozen, or Docker held it while the forwarder restarted.
		// A day covers both and is as far as one look into the lake reaches: a
		// number that is no time at all ("time": 12, a duration) falls outside.
		// Clocks on AWS agree within milliseconds; ten minutes forgive one that
		// does not, and no line hides in tomorrow's partition.
		TimeWindow: TimeWindow{Past: 24 * time.Hour, Future: 10 * time.Minute},
	}
}

// Validate joins all faults of the rules.
func (r Rules) Validate() error {
	_, err := r.Compile()
	return err
}

// ServiceFields are the JSON fields that Service names.
func (r Rules) ServiceFields() (fields []string) {
	for _, s := range r.Service {
		if name, is := strings.CutPrefix(s, "field:"); is {
			fields = append(fields, name)
		}
	}
	return fields
}

// Compile prepares the rules for use. Its error joins all faults.
func (r Rules) Compile() (*Classifier, error) {
	c := &Classifier{
		fallback: r.DefaultService,
		past:     int64(r.TimeWindow.Past),
		future:   int64(r.TimeWindow.Future),
	}
	errs := c.compileKinds(r.Kinds)
	errs = append(errs, c.compileServices(r.Service)...)
	errs = append(errs, c.compileTimes(r)...)
	if s := r.DefaultService; s == "" || len(s) > maxServiceName || !utf8.ValidString(s) {
		errs = append(errs, fmt.Errorf("default_service: %q must be UTF-8 of 1 to %d bytes", s, maxServiceName))
	}
	if len(c.fields) > maxRuleFields {
		errs = append(errs, fmt.Errorf("kinds, service and time_fields name %d JSON fields: at most %d", len(c.fields), maxRuleFields))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	for _, f := range c.fields {
		c.lengths |= 1 << min(len(f), 63)
	}
	return c, nil
}

func (c *Classifier) compileKinds(rules []KindRule) (errs []error) {
	for i, k := range rules {
		if !validField(k.Field) {
			errs = append(errs, fmt.Errorf("kinds[%d].field: %q must name a JSON field in 1 to %d bytes", i, k.Field, maxRuleText))
			continue
		}
		if len(k.Equals) > maxRuleText {
			errs = append(errs, fmt.Errorf("kinds[%d].equals: has %d bytes: at most %d", i, len(k.Equals), maxRuleText))
		}
		rule := kindRule{field: c.field(k.Field), equals: k.Equals}
		switch k.Kind {
		case "app":
			rule.kind = KindApp
		case "audit":
			rule.kind = KindAudit
		default:
			errs = append(errs, fmt.Errorf("kinds[%d].kind: %q must be app or audit", i, k.Kind))
		}
		c.kinds = append(c.kinds, rule)
	}
	return errs
}

func (c *Classifier) compileServices(sources []string) (errs []error) {
	for i, s := range sources {
		name, arg, hasArg := strings.Cut(s, ":")
		src := source{name: arg}
		valid := arg != ""
		switch name {
		case "label", "env":
			src.from = fromLabel
		case "field":
			src.from = fromField
			if valid = validField(arg); valid {
				src.number = c.field(arg)
			}
		case "tag":
			n, err := strconv.Atoi(arg)
			src.from, src.number, valid = fromTag, n, err == nil
		case "container_name":
			src.from, valid = fromContainerName, !hasArg
		default:
			valid = false
		}
		if !valid {
			errs = append(errs, fmt.Errorf("service[%d]: %q must be label:NAME, env:NAME, field:NAME, tag:N or container_name", i, s))
			continue
		}
		c.services = append(c.services, src)
	}
	return errs
}

func (c *Classifier) compileTimes(r Rules) (errs []error) {
	for i, f := range r.TimeFields {
		if !validField(f) {
			errs = append(errs, fmt.Errorf("time_fields[%d]: %q must name a JSON field in 1 to %d bytes", i, f, maxRuleText))
			continue
		}
		c.times = append(c.times, c.field(f))
	}
	if r.TimeZone != "" {
		zone, err := time.LoadLocation(r.TimeZone)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("time_zone: %w", err))
		case zone == time.Local:
			// Two machines would read one plan in two ways.
			errs = append(errs, errors.New("time_zone: must name a zone such as Asia/Tokyo or UTC, not Local"))
		}
		c.zone = zone
	}
	if w := r.TimeWindow; !validWindow(w.Past) || !validWindow(w.Future) {
		errs = append(errs, fmt.Errorf("time_window: past %s and future %s must each be from 0s to %s", w.Past, w.Future, maxTimeWindow))
	}
	return errs
}

func validWindow(d time.Duration) bool { return d >= 0 && d <= maxTimeWindow }

// validField asks for a name that JSON can spell and Classify can look up.
func validField(name string) bool {
	return name != "" && len(name) <= maxRuleText && utf8.ValidString(name)
}

// field returns the slot of a JSON field that Classify is to look up.
func (c *Classifier) field(name string) int {
	if i := slices.Index(c.fields, name); i >= 0 {
		return i
	}
	c.fields = append(c.fields, name)
	return len(c.fields) - 1
}
