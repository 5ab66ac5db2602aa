package logs

import (
	"bytes"
	"strings"
	"unicode"
)

// A pattern is a filter pattern for unstructured events: terms that all have to be in the message, terms of which one has to be, and
// terms that must not be. Terms are compared with their case, anywhere in the message.
type pattern struct {
	all, any, none [][]byte
}

func (p pattern) matches(message []byte) bool {
	has := func(term []byte) bool { return bytes.Contains(message, term) }
	for _, term := range p.all {
		if !has(term) {
			return false
		}
	}
	for _, term := range p.none {
		if has(term) {
			return false
		}
	}
	for _, term := range p.any {
		if has(term) {
			return true
		}
	}
	return len(p.any) == 0
}

// parsePattern refuses what it does not understand: JSON selectors, space-delimited columns and regular expressions.
func parsePattern(text string) (p pattern, err error) {
	if n := len([]rune(text)); n > maxPatternLetters {
		return p, invalid("filterPattern has %d characters: want at most %d", n, maxPatternLetters)
	}
	for rest := strings.TrimSpace(text); rest != ""; rest = strings.TrimSpace(rest) {
		var sign byte
		if rest[0] == '?' || rest[0] == '-' {
			sign, rest = rest[0], rest[1:]
		}
		var term string
		if term, rest, err = cutTerm(rest); err != nil {
			return pattern{}, err
		}
		switch sign {
		case '?':
			p.any = append(p.any, []byte(term))
		case '-':
			p.none = append(p.none, []byte(term))
		default:
			p.all = append(p.all, []byte(term))
		}
	}
	if len(p.any) > 0 && len(p.all)+len(p.none) > 0 {
		return pattern{}, unsupported("filterPattern %q: ?terms beside others", text)
	}
	return p, nil
}

// cutTerm takes a quoted phrase or a plain word off the front.
func cutTerm(text string) (term, rest string, err error) {
	if phrase, ok := strings.CutPrefix(text, `"`); ok {
		term, rest, closed := strings.Cut(phrase, `"`)
		switch {
		case !closed:
			return "", "", invalid("filterPattern: a quote is not closed before %q", text)
		case term == "":
			return "", "", invalid("filterPattern: a term is empty")
		case strings.Contains(term, `\`):
			return "", "", unsupported(`\ in a term of filterPattern: %q`, term)
		case rest != "" && !unicode.IsSpace(rune(rest[0])):
			return "", "", invalid("filterPattern: want a space before %q", rest)
		}
		return term, rest, nil
	}
	end := strings.IndexFunc(text, unicode.IsSpace)
	if end < 0 {
		end = len(text)
	}
	term = text[:end]
	// "Terms … that include non-alphanumeric characters must be placed inside double quotation marks."
	plain := func(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }
	if term == "" || strings.ContainsFunc(term, func(r rune) bool { return !plain(r) }) {
		return "", "", unsupported("filterPattern at %q: want words of letters, digits and _, or phrases in double quotes, each with ? or - in front if need be", text)
	}
	return term, text[end:], nil
}
