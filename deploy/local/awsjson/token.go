package awsjson

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
)

var (
	errToken   = errors.New("it is not one that this endpoint gave out")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// SealToken packs content so that a client cannot make use of it, other than giving it back. It needs no memory here and outlives
// a restart. kind tells a service's tokens apart.
func SealToken(kind byte, content any) string {
	text, err := json.Marshal(content)
	if err != nil {
		panic("awsjson: token content: " + err.Error()) // our own plain types
	}
	raw := append([]byte{kind}, text...)
	raw = binary.LittleEndian.AppendUint32(raw, crc32.Checksum(raw, castagnoli))
	return base64.StdEncoding.EncodeToString(raw)
}

// OpenToken unpacks what SealToken packed as that kind.
func OpenToken(token string, kind byte, content any) error {
	raw, err := base64.StdEncoding.DecodeString(token)
	if err != nil || len(raw) < 5 || raw[0] != kind {
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
