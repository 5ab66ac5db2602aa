package filter

import (
	"bytes"
	"fmt"
	"strings"
)

// Level is how grave a line is. Levels are ordered; None is of lines that say nothing.
type Level uint8

// The levels.
const (
	None Level = iota
	Trace
	Debug
	Info
	Warn
	Error
	Fatal
	levelCount
)

var levelNames = [levelCount]string{"NONE", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}

// String is the level's name in upper case, the same as columns and rules have it.
func (l Level) String() string {
	if l < levelCount {
		return levelNames[l]
	}
	return fmt.Sprintf("level(%d)", uint8(l))
}

// ParseLevel reads a level as lines write it, or NONE.
func ParseLevel(text string) (Level, error) {
	if strings.EqualFold(strings.TrimSpace(text), levelNames[None]) {
		return None, nil
	}
	if l := levelOf([]byte(text), false); l != None {
		return l, nil
	}
	return None, fmt.Errorf("%q is no level: %s%s", text, strings.Join(levelNames[:], ", "), DidYouMean(strings.ToUpper(text), levelNames[:]))
}

// maxLevel bounds what passes for a level.
const maxLevel = 32

// levelOf is the level that a text names, None if it names none. Numbers are
// OpenTelemetry's if so said.
func levelOf(text []byte, telemetry bool) Level {
	text = bytes.TrimSpace(text)
	if len(text) == 0 || len(text) > maxLevel {
		return None
	}
	if n, all := number(text); all {
		if telemetry {
			return telemetryLevel(n)
		}
		return pinoLevel(n)
	}
	name := bytes.TrimRight(text, "0123456789")
	if len(name) < len(text) {
		name = bytes.TrimRight(name, "+-")
	}
	var upper [maxLevel]byte
	for i, c := range name {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper[i] = c
	}
	return named(upper[:len(name)])
}

func named(upper []byte) Level {
	switch string(upper) {
	case "TRACE", "TRC", "T", "FINEST", "SILLY":
		return Trace
	case "DEBUG", "DBG", "D", "FINER", "FINE", "VERBOSE", "VRB":
		return Debug
	case "INFO", "INF", "I", "INFORMATION", "INFORMATIONAL", "NOTICE", "CONFIG", "HTTP":
		return Info
	case "WARN", "WRN", "W", "WARNING":
		return Warn
	case "ERROR", "ERR", "E", "SEVERE":
		return Error
	case "FATAL", "FTL", "F", "CRITICAL", "CRIT", "ALERT", "EMERGENCY", "EMERG", "PANIC", "DPANIC":
		return Fatal
	}
	return None
}

// number reads up to three digits; all is false if there is anything else. Longer
// numbers are no level.
func number(text []byte) (n int, all bool) {
	for _, c := range text {
		if c-'0' > 9 {
			return 0, false
		}
		n = min(n*10+int(c-'0'), 1000)
	}
	return n, true
}

func pinoLevel(n int) Level {
	if n < 10 || n > 69 {
		return None
	}
	return Level(n / 10)
}

func telemetryLevel(n int) Level {
	if n < 1 || n > 24 {
		return None
	}
	return Level((n + 3) / 4)
}

// isTelemetry holds for paths of members whose numbers are OpenTelemetry's.
func isTelemetry(path string) bool {
	switch path[strings.LastIndexByte(path, '.')+1:] {
	case "severityNumber", "severity_number", "SeverityNumber":
		return true
	}
	return false
}

// levelSet is a set of levels, a bit for each.
type levelSet uint8

func (s levelSet) has(l Level) bool { return s&(1<<l) != 0 }

// parseLevels reads one entry of Condition.Levels.
func parseLevels(text string) (levelSet, error) {
	rest := strings.TrimSpace(text)
	op := rest[:len(rest)-len(strings.TrimLeft(rest, "<>="))]
	level, err := ParseLevel(rest[len(op):])
	if err != nil {
		return 0, err
	}
	if op == "" {
		return 1 << level, nil
	}
	if level == None {
		return 0, fmt.Errorf("%q: NONE is neither above nor below a level", text)
	}
	var set levelSet
	for l := Trace; l < levelCount; l++ {
		var in bool
		switch op {
		case "<=":
			in = l <= level
		case ">=":
			in = l >= level
		case "<":
			in = l < level
		case ">":
			in = l > level
		default:
			return 0, fmt.Errorf("%q must be a level, alone or behind <=, >=, < or >", text)
		}
		if in {
			set |= 1 << l
		}
	}
	if set == 0 {
		return 0, fmt.Errorf("%q: there is no such level", text)
	}
	return set, nil
}
