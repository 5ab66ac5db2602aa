package dynamodb

import (
	_ "embed"
	"strings"
	"sync"
)

// reserved.txt lists the words that an expression must not use as a bare
// attribute name, whatever their case.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ReservedWords.html
//
//go:embed reserved.txt
var reservedText string

var reservedWords = sync.OnceValue(func() map[string]bool {
	words := map[string]bool{}
	for word := range strings.FieldsSeq(reservedText) {
		words[word] = true
	}
	return words
})

func reserved(word string) bool { return reservedWords()[strings.ToUpper(word)] }
