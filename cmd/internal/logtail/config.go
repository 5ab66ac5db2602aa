package logtail

import (
	"errors"
	"fmt"
	"time"
)

// Config is how the service is asked.
type Config struct {
	CallsPerSecond float64       // of all operations together
	AttemptTimeout time.Duration // of one call
	Patience       time.Duration // how long a call that fails is made again
	MaxGroups      int           // read at once
	Interval       time.Duration // between two looks of Follow
	Overlap        time.Duration // how late an event may come, and Follow still finds it
	Relist         time.Duration // how often Follow looks for new groups
	Remember       int           // events that Follow can tell from new ones
}

// DefaultConfig leaves a part of the account's quota to others.
func DefaultConfig() Config {
	return Config{
		// An account has 5 FilterLogEvents a second.
		CallsPerSecond: 4,
		AttemptTimeout: 30 * time.Second,
		Patience:       30 * time.Second,
		// A page of each is 4 MB at worst: 200 MB.
		MaxGroups: 50,
		Interval:  2 * time.Second,
		Overlap:   10 * time.Second,
		Relist:    30 * time.Second,
		// 5,000 events a second for three minutes, the overlap and a long catching up;
		// some 50 MB.
		Remember: 1_000_000,
	}
}

// Validate returns all faults of c at once.
func (c Config) Validate() error {
	var faults []error
	for _, f := range []struct {
		name               string
		value, least, most time.Duration
	}{
		{"attempt timeout", c.AttemptTimeout, time.Millisecond, 10 * time.Minute},
		{"patience", c.Patience, 0, time.Hour},
		{"interval", c.Interval, 10 * time.Millisecond, time.Hour},
		{"overlap", c.Overlap, 0, 24 * time.Hour},
		{"relist", c.Relist, 10 * time.Millisecond, 24 * time.Hour},
	} {
		if f.value < f.least || f.value > f.most {
			faults = append(faults, fmt.Errorf("%s is %s, want %s to %s", f.name, f.value, f.least, f.most))
		}
	}
	if c.CallsPerSecond < 0.1 || c.CallsPerSecond > 10_000 {
		faults = append(faults, fmt.Errorf("calls per second are %v, want 0.1 to 10000", c.CallsPerSecond))
	}
	if c.MaxGroups < 1 || c.MaxGroups > 1000 {
		faults = append(faults, fmt.Errorf("groups are %d, want 1 to 1000", c.MaxGroups))
	}
	if c.Remember < 10*max(c.MaxGroups, 1) || c.Remember > 100_000_000 {
		faults = append(faults, fmt.Errorf("remembered events are %d, want ten for each group to 100000000", c.Remember))
	}
	return errors.Join(faults...)
}

// Query is which events are wanted.
type Query struct {
	Groups  []Pattern
	Streams string    // what the names of log streams begin with
	Filter  string    // the service's own pattern, as it is
	Since   time.Time // the first moment; zero: all
	Until   time.Time // the first moment that is not wanted; zero: no end
	Limit   int       // ends after so many events; 0: all
}

// Validate returns all faults of q at once.
func (q Query) Validate() error {
	var faults []error
	if len(q.Groups) == 0 {
		faults = append(faults, errors.New("no log group is named"))
	}
	if !q.Until.IsZero() && !q.Since.Before(q.Until) {
		faults = append(faults, fmt.Errorf("the time range ends %s, not after its begin %s", q.Until.Format(time.RFC3339), q.Since.Format(time.RFC3339)))
	}
	if q.Limit < 0 {
		faults = append(faults, fmt.Errorf("the limit is %d, want 0 (none) or more", q.Limit))
	}
	return errors.Join(faults...)
}
