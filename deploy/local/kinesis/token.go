package kinesis

import "tributary/deploy/local/awsjson"

// A tokenKind is what a token may be used for.
type tokenKind byte

const (
	streamsToken tokenKind = iota + 1
	shardsToken
	iteratorToken
	consumersToken
)

func sealToken(kind tokenKind, content any) string { return awsjson.SealToken(byte(kind), content) }

func openToken(token string, kind tokenKind, content any) error {
	return awsjson.OpenToken(token, byte(kind), content)
}
