package kinesis

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
)

// A tokenKind is what a token may be used for.
type tokenKind byte

const (
	streamsToken tokenKind = iota + 1
	shardsToken
	iteratorToken
	consumersToken
)

var errToken = errors.New("it is not one that this endpoint gave out")

// sealToken packs content so that a client cannot make use of it, other than giving it back. It needs no memory here and outlives
// a restart.
func sealToken(kind tokenKind, content any) string {
	text, err := json.Marshal(content)
	if err != nil {
		panic("kinesis: token content: " + err.Error()) // our own plain types
	}
	raw := append([]byte{byte(kind)}, text...)
	raw = binary.LittleEndian.AppendUint32(raw, crc32.Checksum(raw, castagnoli))
	return base64.StdEncoding.EncodeToString(raw)
}

func openToken(token string, kind tokenKind, content any) error {
	raw, err := base64.StdEncoding.DecodeString(token)
	if err != nil || len(raw) < 5 || raw[0] != byte(kind) {
		return errToken
	}
	body, sum := raw[:len(raw)-4], raw[len(raw)-4:]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(sum) {
		return errToken
	}
	if err := json.Unmarshal(body[1:], content); err != nil {
		return errToken
	}
	return nil
}
