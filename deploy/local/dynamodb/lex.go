package dynamodb

import (
	"fmt"
	"strings"
)

// maxExpression is the service's limit of one expression in bytes; it also
// bounds how deep the parser can recurse.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const maxExpression = 4096

type tokenKind uint8

const (
	tokenEnd   tokenKind = iota
	tokenWord            // attribute name, keyword or function
	tokenName            // #placeholder
	tokenValue           // :placeholder
	tokenSign            // operator or punctuation
)

type token struct {
	kind tokenKind
	text string
}

// is compares keywords without case, as the service does.
func (t token) is(keyword string) bool {
	return t.kind == tokenWord && strings.EqualFold(t.text, keyword)
}

func (t token) sign(text string) bool { return t.kind == tokenSign && t.text == text }

// lex cuts an expression into tokens. Tokens need no space between them: "…)AND
// a = :b" is three tokens more.
func lex(expression string) ([]token, error) {
	if len(expression) > maxExpression {
		return nil, fmt.Errorf("expression size has exceeded the maximum allowed size: %d bytes, allowed are %d", len(expression), maxExpression)
	}
	var tokens []token
	for rest := expression; rest != ""; {
		n, kind := 1, tokenSign
		switch c := rest[0]; {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			rest = rest[1:]
			continue
		case isLetter(c):
			n, kind = 1+wordLength(rest[1:]), tokenWord
		case c == '#' || c == ':':
			n, kind = 1+wordLength(rest[1:]), tokenName
			if c == ':' {
				kind = tokenValue
			}
			if n == 1 {
				return nil, fmt.Errorf("syntax error; token: %q, near: %q", rest[:1], near(rest))
			}
		case strings.HasPrefix(rest, "<=") || strings.HasPrefix(rest, ">=") || strings.HasPrefix(rest, "<>"):
			n = 2
		case strings.IndexByte("=<>()+-,.[]", c) < 0:
			return nil, fmt.Errorf("syntax error; token: %q, near: %q", rest[:1], near(rest))
		}
		tokens = append(tokens, token{kind, rest[:n]})
		rest = rest[n:]
	}
	return tokens, nil
}

func isLetter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
}

func wordLength(s string) int {
	n := 0
	for n < len(s) && (isLetter(s[n]) || '0' <= s[n] && s[n] <= '9') {
		n++
	}
	return n
}

func near(s string) string { return s[:min(len(s), 20)] }
