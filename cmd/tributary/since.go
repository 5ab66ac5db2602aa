package main

import (
	"strings"
	"time"

	"tributary/cmd/internal/app"
)

// sinceHelp is what --since takes, in all commands, and --until.
const sinceHelp = "how long ago such as 26h, a day, or a time such as 2026-11-22T15:04:05Z"

// parseSince reads --since; the zero time when it is not set.
func parseSince(text string, now time.Time) (time.Time, error) {
	return parsePast("--since", text, now)
}

// parsePast reads a flag that takes what --since does.
func parsePast(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		at, err = time.Parse(time.DateOnly, text)
	}
	if err != nil {
		var back time.Duration
		back, err = time.ParseDuration(strings.TrimPrefix(text, "-"))
		at = now.Add(-back)
	}
	switch {
	case err != nil:
		return time.Time{}, app.Faultf("%s is %q: want %s", flag, text, sinceHelp)
	case at.After(now):
		return time.Time{}, app.Faultf("%s %s lies in the future", flag, text)
	}
	return at.UTC(), nil
}
