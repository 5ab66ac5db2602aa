package kinesis

import (
	"cmp"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"math/big"
	"math/bits"
)

// hashKey is a point in the 128-bit space that shards divide among them.
type hashKey struct{ hi, lo uint64 }

var maxHashKey = hashKey{1<<64 - 1, 1<<64 - 1}

func hashOf(partitionKey string) hashKey {
	sum := md5.Sum([]byte(partitionKey))
	return hashKey{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:])}
}

// parseHashKey reads a decimal as the API spells it: 0 or a number without leading zero, below 2^128.
func parseHashKey(text string) (hashKey, error) {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' || text[0] == '0' && i > 0 {
			return hashKey{}, fmt.Errorf("hash key %q is not a decimal number", text)
		}
	}
	n, ok := new(big.Int).SetString(text, 10)
	if !ok || n.BitLen() > 128 {
		return hashKey{}, fmt.Errorf("hash key %q is not within 0 and 2^128-1", text)
	}
	var raw [16]byte
	n.FillBytes(raw[:])
	return hashKey{binary.BigEndian.Uint64(raw[:8]), binary.BigEndian.Uint64(raw[8:])}, nil
}

func (k hashKey) String() string {
	n := new(big.Int).SetUint64(k.hi)
	n.Lsh(n, 64)
	return n.Or(n, new(big.Int).SetUint64(k.lo)).String()
}

func (k hashKey) compare(other hashKey) int {
	if c := cmp.Compare(k.hi, other.hi); c != 0 {
		return c
	}
	return cmp.Compare(k.lo, other.lo)
}

// before is the key one below k, which must not be 0.
func (k hashKey) before() hashKey {
	lo, borrow := bits.Sub64(k.lo, 1, 0)
	return hashKey{k.hi - borrow, lo}
}

// divide gives the start of part i when the whole space is divided into n equal parts, as CreateStream does.
func divide(i, n int) hashKey {
	space := new(big.Int).Lsh(big.NewInt(1), 128)
	space.Div(space, big.NewInt(int64(n))).Mul(space, big.NewInt(int64(i)))
	var raw [16]byte
	space.FillBytes(raw[:])
	return hashKey{binary.BigEndian.Uint64(raw[:8]), binary.BigEndian.Uint64(raw[8:])}
}

// MarshalText and UnmarshalText keep hash keys as decimals in the metadata file.
func (k hashKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

func (k *hashKey) UnmarshalText(text []byte) (err error) {
	*k, err = parseHashKey(string(text))
	return err
}
