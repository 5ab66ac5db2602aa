package schema

import (
	"math"
	"time"
)

// parseTime reads a time as logs write it, to nanoseconds; finer digits are cut
// off. It takes
//
//	2006-01-02T15:04:05.999+09:00   RFC 3339; the T also t or a space, the point
//	                                also a comma, the zone also +0900, +09 or
//	                                after a space, and none at all if zone is set
//	1700000000.123, 1.7E9           a number since the epoch: of seconds below
//	                                10^11, milliseconds below 10^14, microseconds
//	                                below 10^17, else nanoseconds
//
// It refuses what does not fit into an int64 of nanoseconds.
func parseTime(s []byte, zone *time.Location) (ns int64, ok bool) {
	if len(s) > 4 && s[4] == '-' {
		return parseDate(s, zone)
	}
	return parseEpoch(s)
}

// number reads the n digits at s[i:]; -1 if they are not.
func number(s []byte, i, n int) int {
	if len(s) < i+n {
		return -1
	}
	v := 0
	for _, c := range s[i : i+n] {
		if c-'0' > 9 {
			return -1
		}
		v = v*10 + int(c-'0')
	}
	return v
}

func parseDate(s []byte, zone *time.Location) (int64, bool) {
	const layout = "2006-01-02T15:04:05"
	if len(s) < len(layout) || s[7] != '-' || s[13] != ':' || s[16] != ':' ||
		s[10] != 'T' && s[10] != 't' && s[10] != ' ' {
		return 0, false
	}
	year, month, day := number(s, 0, 4), number(s, 5, 2), number(s, 8, 2)
	hour, minute, second := number(s, 11, 2), number(s, 14, 2), number(s, 17, 2)
	if year < 0 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) ||
		hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 {
		return 0, false // a second 60 is the first of the next minute
	}
	nanos, s, ok := parseFraction(s[len(layout):])
	if !ok {
		return 0, false
	}
	if len(s) == 0 {
		if zone == nil {
			return 0, false
		}
		return join(time.Date(year, time.Month(month), day, hour, minute, second, 0, zone).Unix(), nanos)
	}
	offset, ok := parseOffset(s)
	if !ok {
		return 0, false
	}
	seconds := daysSinceEpoch(year, month, day)*86400 + int64(hour*3600+minute*60+second)
	return join(seconds-int64(offset), nanos)
}

func join(seconds, nanos int64) (int64, bool) {
	const second = int64(time.Second)
	if seconds <= math.MinInt64/second || seconds >= math.MaxInt64/second {
		return 0, false
	}
	return seconds*second + nanos, true
}

// parseFraction reads an optional fraction of a second and returns the rest.
func parseFraction(s []byte) (nanos int64, rest []byte, ok bool) {
	if len(s) == 0 || s[0] != '.' && s[0] != ',' {
		return 0, s, true
	}
	i, unit := 1, int64(1e8)
	for ; i < len(s) && s[i]-'0' <= 9; i++ {
		nanos += int64(s[i]-'0') * unit
		unit /= 10
	}
	return nanos, s[i:], i > 1
}

// parseOffset reads Z, +09:00, +0900 or +09, to seconds east of UTC.
func parseOffset(s []byte) (seconds int, ok bool) {
	if s[0] == ' ' {
		s = s[1:]
	}
	if len(s) == 1 {
		return 0, s[0] == 'Z' || s[0] == 'z'
	}
	hours, minutes := number(s, 1, 2), 0
	switch len(s) {
	case 3:
	case 5:
		minutes = number(s, 3, 2)
	case 6:
		if s[3] != ':' {
			return 0, false
		}
		minutes = number(s, 4, 2)
	default:
		return 0, false
	}
	if hours < 0 || hours > 23 || minutes < 0 || minutes > 59 {
		return 0, false
	}
	seconds = hours*3600 + minutes*60
	switch s[0] {
	case '+':
		return seconds, true
	case '-':
		return -seconds, true
	}
	return 0, false
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// daysSinceEpoch counts the days from 1970-01-01 in the Gregorian calendar. Years
// begin in March here, so that the leap day is the last of its year.
func daysSinceEpoch(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era, inEra := year/400, year%400
	if year < 0 {
		era, inEra = -1, year+400
	}
	dayOfYear := (153*(month-3)+2)/5 + day - 1
	dayOfEra := inEra*365 + inEra/4 - inEra/100 + dayOfYear
	return int64(era*146097+dayOfEra) - 719468
}

// parseEpoch reads a JSON number exactly: as a float64 it would lose the digits
// below a quarter of a microsecond.
func parseEpoch(s []byte) (int64, bool) {
	negative := len(s) > 0 && s[0] == '-'
	if negative {
		s = s[1:]
	}
	mantissa, exponent, ok := parseDecimal(s)
	if !ok {
		return 0, false
	}
	whole := exponent // digits before the point
	for m := mantissa; m > 0; m /= 10 {
		whole++
	}
	switch {
	case mantissa == 0 || whole <= 11:
		exponent += 9
	case whole <= 14:
		exponent += 6
	case whole <= 17:
		exponent += 3
	}
	for ; exponent < 0 && mantissa > 0; exponent++ {
		mantissa /= 10
	}
	for ; exponent > 0 && mantissa > 0; exponent-- {
		if mantissa > math.MaxInt64/10 {
			return 0, false
		}
		mantissa *= 10
	}
	if mantissa > math.MaxInt64 {
		return 0, false
	}
	if negative {
		return -int64(mantissa), true
	}
	return int64(mantissa), true
}

// parseDecimal reads digits with an optional point and exponent. Of the digits
// behind the point those that do not fit are dropped.
func parseDecimal(s []byte) (mantissa uint64, exponent int, ok bool) {
	i, point := 0, -1
	for ; i < len(s); i++ {
		if s[i] == '.' && point < 0 && i > 0 {
			point = i
			continue
		}
		digit := s[i] - '0'
		if digit > 9 {
			break
		}
		if mantissa >= math.MaxUint64/10 {
			if point < 0 {
				return 0, 0, false
			}
			continue
		}
		mantissa = mantissa*10 + uint64(digit)
		if point >= 0 {
			exponent--
		}
	}
	if i == 0 || point == i-1 {
		return 0, 0, false
	}
	if i == len(s) {
		return mantissa, exponent, true
	}
	e, ok := parseExponent(s[i:])
	return mantissa, exponent + e, ok
}

// parseExponent takes at most two digits: no time needs more.
func parseExponent(s []byte) (int, bool) {
	if s[0]|0x20 != 'e' {
		return 0, false
	}
	s = s[1:]
	negative := len(s) > 0 && s[0] == '-'
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		s = s[1:]
	}
	if len(s) == 0 || len(s) > 2 {
		return 0, false
	}
	e := number(s, 0, len(s))
	if e < 0 {
		return 0, false
	}
	if negative {
		e = -e
	}
	return e, true
}
