package cloudwatch

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"tributary/schema/filter"
)

// Config says which log groups are written to and what that may cost. LogGroup, Metadata,
// MessageBytes, Errors and Filter decide names and messages and are part of the plan;
// the rest may differ between two flushes of one range.
type Config struct {
	// LogGroup names the log group of a line by {service} and {kind}.
	LogGroup string `koanf:"log_group" json:"log_group"`
	// Metadata adds a member "_tributary" to each line, which says where it comes from.
	Metadata bool `koanf:"metadata" json:"metadata"`
	// MessageBytes is the longest message; longer ones are sent in numbered parts.
	MessageBytes int `koanf:"message_bytes" json:"message_bytes"`

	// Errors says which lines also go to the group for errors.
	Errors Errors `koanf:"errors" json:"errors"`
	// Filter says which lines are sent at all.
	Filter filter.Rules `koanf:"filter" json:"filter"`

	// RetentionDays is how long new groups keep their events; 0: for ever.
	RetentionDays int32 `koanf:"retention_days" json:"retention_days"`
	// Class of new groups: STANDARD, INFREQUENT_ACCESS or ESSENTIALS. It can never be
	// changed afterwards.
	Class string `koanf:"class" json:"class"`
	// KMSKey is the ARN of the key that encrypts new groups; empty: the service's own.
	KMSKey string `koanf:"kms_key" json:"kms_key"`
	// Tags of new groups.
	Tags map[string]string `koanf:"tags" json:"tags"`
	// MaxGroups bounds the groups, those for errors apart, that this worker writes to.
	// What a further service writes goes to the group of the service "other".
	MaxGroups int `koanf:"max_groups" json:"max_groups"`

	// RequestsPerSecond is this worker's part of the account's PutLogEvents. Throttled,
	// it asks less often, down to once a second, and grows back slowly.
	RequestsPerSecond float64 `koanf:"requests_per_second" json:"requests_per_second"`
	// CreateRate bounds the groups and streams made a second.
	CreateRate float64 `koanf:"create_rate" json:"create_rate"`
	// Parallel is how many log streams one flush sends to at a time.
	Parallel int `koanf:"parallel" json:"parallel"`
	// RenderBytes bounds the batches that all shards together have in hand.
	RenderBytes int64 `koanf:"render_bytes" json:"render_bytes"`
	// AttemptTimeout bounds one request.
	AttemptTimeout time.Duration `koanf:"attempt_timeout" json:"attempt_timeout"`
	// ParkAfter is how long a log stream may fail, while others do not, before what it
	// should have taken is kept as rejects.
	ParkAfter time.Duration `koanf:"park_after" json:"park_after"`
	// ReadBack bounds what a takeover looks up.
	ReadBack ReadBack `koanf:"read_back" json:"read_back"`
	// Price turns bytes into money.
	Price Price `koanf:"price" json:"price"`
}

// Errors are the lines that also go to the group of that name with /errors behind it.
type Errors struct {
	Enabled bool `koanf:"enabled" json:"enabled"`
	// Level is the least that counts.
	Level string `koanf:"level" json:"level"`
	// Stderr counts raw lines that were written there.
	Stderr bool `koanf:"stderr" json:"stderr"`
}

func (e Errors) level() (filter.Level, error) {
	l, err := filter.ParseLevel(e.Level)
	if err == nil && l == filter.None {
		err = errors.New("level NONE would be every line")
	}
	return l, err
}

// ReadBack bounds what one flush reads of the log streams while it is in doubt what an
// earlier life has delivered. Beyond it lines are sent twice.
type ReadBack struct {
	// Calls of GetLogEvents in one flush; 0: never read.
	Calls int `koanf:"calls" json:"calls"`
	// Time that one flush spends on them.
	Time time.Duration `koanf:"time" json:"time"`
	// Rate of them a second, for all shards.
	Rate float64 `koanf:"rate" json:"rate"`
	// Bytes that each shard in doubt remembers.
	Bytes int64 `koanf:"bytes" json:"bytes"`
}

// Price is what the service takes for what it stores.
type Price struct {
	// PerGB is the price of 2^30 bytes.
	PerGB float64 `koanf:"per_gb" json:"per_gb"`
	// Currency and Date (YYYY-MM-DD) say what the price was, and when.
	Currency string `koanf:"currency" json:"currency"`
	Date     string `koanf:"date" json:"date"`
}

func (p Price) of(bytes int64) float64 { return float64(bytes) / (1 << 30) * p.PerGB }

// DefaultConfig is complete.
func DefaultConfig() Config {
	return Config{
		LogGroup: "/tributary/{service}",
		// The service's limit for a batch, 1 MiB, less what it counts for each event.
		MessageBytes: maxMessage,
		Errors:       Errors{Enabled: true, Level: filter.Error.String()},
		Filter:       filter.DefaultRules(),
		// A month of what people look at; the lake has the rest.
		RetentionDays: 30,
		Class:         string(types.LogGroupClassStandard),
		// A stream each for 8 shards, and as many for errors: 16,000 streams, and some
		// 0.5 MB of names.
		MaxGroups: 1000,
		// The account has 5,000 a second by default, older ones 800: eight workers leave
		// room for others in either. 100 batches are up to 100 MB a second.
		RequestsPerSecond: 100,
		// The account has 50 a second for streams, and several workers start at a time.
		CreateRate: 10,
		// At 20 ms a request, 400 a second from each shard.
		Parallel: 8,
		// A full batch counts 3 MiB: its messages, and a request body of about twice
		// that. So ten are in hand, or hundreds of small ones.
		RenderBytes: 32 << 20,
		// A healthy put of 1 MiB answers in well under a second. One that is given up
		// may have been done, and its lines are sent twice.
		AttemptTimeout: 20 * time.Second,
		ParkAfter:      10 * time.Minute,
		ReadBack: ReadBack{
			// A log stream takes two calls, and one more for each 10,000 events or MiB.
			Calls: 50,
			Time:  5 * time.Second,
			// The account has 25 a second, 10 in some Regions.
			Rate: 10,
			// Some 170,000 messages for 72 bytes each. A shard at its limit brings 10,000
			// lines of 500 bytes a second: 150,000 in the 10 s that are shown again and the
			// 5 s between checkpoints.
			Bytes: 12 << 20,
		},
		// Standard class, us-east-1.
		Price: Price{PerGB: 0.50, Currency: "USD", Date: "2026-06-01"},
	}
}

// retentions are the days that PutRetentionPolicy knows.
var retentions = []int32{0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

var classes = []types.LogGroupClass{types.LogGroupClassStandard, types.LogGroupClassInfrequentAccess, types.LogGroupClassEssentials}

// Validate joins all faults.
func (c Config) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, err := parseTemplate(c.LogGroup); err != nil {
		add("log_group %q: %w", c.LogGroup, err)
	}
	if _, err := c.Errors.level(); err != nil {
		add("errors: %w", err)
	}
	if err := c.Filter.Validate(); err != nil {
		add("filter: %w", err)
	}
	if !slices.Contains(retentions, c.RetentionDays) {
		add("retention_days %d is none of %v", c.RetentionDays, retentions)
	}
	if !slices.Contains(classes, types.LogGroupClass(c.Class)) {
		add("class %q is none of %q", c.Class, classes)
	}
	if c.KMSKey != "" && (!strings.HasPrefix(c.KMSKey, "arn:") || len(c.KMSKey) > 256) {
		add("kms_key %q is not the ARN of a key", c.KMSKey)
	}
	if len(c.Tags) > 50 {
		add("tags: a group has 50 at most, not %d", len(c.Tags))
	}
	between := func(key string, v, lo, hi int64) {
		if v < lo || v > hi {
			add("%s %d is not within %d and %d", key, v, lo, hi)
		}
	}
	between("message_bytes", int64(c.MessageBytes), 1024, maxMessage)
	between("max_groups", int64(c.MaxGroups), 1, 100_000)
	between("parallel", int64(c.Parallel), 1, 256)
	between("render_bytes", c.RenderBytes, 4<<20, 4<<30)
	rate := func(key string, v, hi float64) {
		if !(v >= 1 && v <= hi) {
			add("%s %v is not within 1 and %v", key, v, hi)
		}
	}
	rate("requests_per_second", c.RequestsPerSecond, 100_000)
	rate("create_rate", c.CreateRate, 50)
	last := func(key string, v, lo, hi time.Duration) {
		if v < lo || v > hi {
			add("%s %v is not within %v and %v", key, v, lo, hi)
		}
	}
	last("attempt_timeout", c.AttemptTimeout, 100*time.Millisecond, 5*time.Minute)
	last("park_after", c.ParkAfter, time.Second, 24*time.Hour)
	between("read_back.calls", int64(c.ReadBack.Calls), 0, 10_000)
	last("read_back.time", c.ReadBack.Time, 0, time.Minute)
	rate("read_back.rate", c.ReadBack.Rate, 100)
	between("read_back.bytes", c.ReadBack.Bytes, 0, 1<<30)
	return errors.Join(append(errs, c.Price.validate()...)...)
}

func (p Price) validate() (errs []error) {
	if !(p.PerGB >= 0 && p.PerGB < 1e6) {
		errs = append(errs, fmt.Errorf("price.per_gb %v is no price", p.PerGB))
	}
	if len(p.Currency) != 3 {
		errs = append(errs, fmt.Errorf("price.currency %q is not the three letters of one", p.Currency))
	}
	if _, err := time.Parse(time.DateOnly, p.Date); err != nil {
		errs = append(errs, fmt.Errorf("price.date: %w", err))
	}
	return errs
}
