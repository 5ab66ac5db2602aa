package edit

import (
	"bytes"
	"regexp"
)

// finder looks for something.
type finder struct {
	// find appends where it finds something in a text, in order.
	find func(found []place, text []byte) []place
	// may is false for a text in which it finds nothing, with the escapes that it has;
	// nil: it cannot tell.
	may func(raw []byte) bool
}

var (
	cards  = finder{findCards, mayHaveCards}
	emails = finder{findEmails, mayHaveEmails}
)

type place struct{ start, end int }

// matcher finds a pattern, or what its group matches.
func matcher(re *regexp.Regexp) finder {
	group := 2 * re.NumSubexp()
	return finder{find: func(found []place, text []byte) []place {
		for _, m := range re.FindAllSubmatchIndex(text, -1) {
			if start, end := m[group], m[group+1]; end > start {
				found = append(found, place{start, end})
			}
		}
		return found
	}}
}

func mayHaveCards(raw []byte) bool {
	digits := 0
	for _, c := range raw {
		if c == '\\' {
			return true
		}
		if isDigit(c) {
			digits++
		}
	}
	return digits >= minCard
}

func mayHaveEmails(raw []byte) bool {
	return bytes.IndexByte(raw, '@') >= 0 || bytes.IndexByte(raw, '\\') >= 0 || bytes.IndexByte(raw, '%') >= 0
}

const (
	minCard = 13 // digits
	maxCard = 19
)

// findCards looks at each group of digits for the longest card number that begins there.
func findCards(found []place, text []byte) []place {
	for i := 0; i < len(text); {
		if !isDigit(text[i]) {
			i++
			continue
		}
		if end := cardEnd(text, i); end > 0 {
			found = append(found, place{i, end})
			i = end
			continue
		}
		for i < len(text) && isDigit(text[i]) {
			i++
		}
	}
	return found
}

// cardEnd returns where the longest card number ends that begins at i, 0 if none does.
func cardEnd(text []byte, i int) (end int) {
	if text[i] < '2' || text[i] > '6' {
		return 0
	}
	// Luhn from the left: whether a digit is doubled depends on how many there are.
	var sums [2]int
	for n, at := 0, i; at < len(text) && n < maxCard; {
		c := text[at]
		if !isDigit(c) {
			if (c != ' ' && c != '-') || at+1 == len(text) || !isDigit(text[at+1]) {
				break
			}
			at++
			continue
		}
		d := int(c - '0')
		double := 2 * d
		if double > 9 {
			double -= 9
		}
		sums[n%2] += double
		sums[1-n%2] += d
		n++
		at++
		// The last digit is not doubled: those of its parity from the left count once.
		if n >= minCard && (at == len(text) || !isDigit(text[at])) && sums[n%2]%10 == 0 {
			end = at
		}
	}
	return end
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// findEmails looks to both sides of each @ or %40.
func findEmails(found []place, text []byte) []place {
	floor := 0 // no address begins before it: what lies there was looked at
	plain, coded := after(text, 0, "@"), after(text, 0, "%40")
	for plain < len(text) || coded < len(text) {
		at, from := plain, plain+len("@")
		if coded < plain {
			at, from = coded, coded+len("%40")
		}
		start := at
		for start > floor && isLocal(text[start-1]) {
			start--
		}
		end := domainEnd(text, from)
		if start < at && end > 0 {
			found = append(found, place{start, end})
			from = end
		}
		floor = from
		if plain < from {
			plain = after(text, from, "@")
		}
		if coded < from {
			coded = after(text, from, "%40")
		}
	}
	return found
}

// after is the first place of sign from i on, the end if there is none.
func after(text []byte, i int, sign string) int {
	n := bytes.Index(text[i:], []byte(sign))
	if n < 0 {
		return len(text)
	}
	return i + n
}

func isLocal(c byte) bool {
	return isDomain(c) || bytes.IndexByte([]byte("!#$%&'*+/=?^_`{|}~"), c) >= 0
}

func isDomain(c byte) bool {
	return c >= 0x80 || (c|0x20)-'a' < 26 || isDigit(c) || c == '-' || c == '.'
}

// domainEnd returns where the domain ends that begins at i, 0 if it has no dot with
// letters behind it.
func domainEnd(text []byte, i int) int {
	end := i
	for end < len(text) && isDomain(text[end]) {
		end++
	}
	for end > i && (text[end-1] == '.' || text[end-1] == '-') {
		end--
	}
	dot := bytes.LastIndexByte(text[i:end], '.')
	if dot < 1 || end-(i+dot+1) < 2 || isDigit(text[end-1]) {
		return 0
	}
	return end
}
