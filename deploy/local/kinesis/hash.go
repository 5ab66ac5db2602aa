package kinesis

import (
	"cmp"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"math/big"
	"math/bits"
	"regexp"
)

// hashKey is a point in the 128-bit space that shards divide among them.
type hashKey struct{ hi, lo uint64 }

var maxHashKey = hashKey{1<<64 - 1, 1<<64 - 1}

func hashOf(partitionKey string) hashKey {
	sum := md5.Sum([]byte(partitionKey))
	return hashKey{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:])}
}

// hashKeys is the API reference's pattern for hash keys.
var hashKeys = regexp.MustCompile(`^(0|[1-9]\d{0,38})$`)

// parseHashKey reads a hash key. at names it in the answer to a wrong one: as the service does, a text that does not fit the pattern is
// not valid, and a number that leaves the space is an invalid argument.
func parseHashKey(at, text string) (hashKey, error) {
	if !hashKeys.MatchString(text) {
		return hashKey{}, validation("%s %q is not a decimal number of at most 39 digits", at, text)
	}
	k, ok := decimal(text)
	if !ok {
		return hashKey{}, invalidArgument("%s %s is not within 0 and 2^128-1", at, text)
	}
	return k, nil
}

func decimal(text string) (hashKey, bool) {
	n, ok := new(big.Int).SetString(text, 10)
	if !ok || n.Sign() < 0 || n.BitLen() > 128 {
		return hashKey{}, false
	}
	var raw [16]byte
	n.FillBytes(raw[:])
	return hashKey{binary.BigEndian.Uint64(raw[:8]), binary.BigEndian.Uint64(raw[8:])}, true
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

// after is the key one above k, which must not be the largest.
func (k hashKey) after() hashKey {
	lo, carry := bits.Add64(k.lo, 1, 0)
	return hashKey{k.hi + carry, lo}
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

func (k *hashKey) UnmarshalText(text []byte) error {
	var ok bool
	if *k, ok = decimal(string(text)); !ok {
		return fmt.Errorf("hash key %q is not a decimal number within 0 and 2^128-1", text)
	}
	return nil
}
