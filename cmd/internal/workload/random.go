package workload

import "math/bits"

// random is a wyrand generator: one multiplication per number, and its state is
// one word, so that every line can have its own.
type random uint64

// newRandom returns the generator of item n of a purpose. Neighbouring seeds and
// numbers must not give neighbouring states: their sequences would overlap.
func newRandom(seed, purpose, n uint64) random {
	return random(mix(mix(seed^purpose*0x9e3779b97f4a7c15) + n))
}

// mix is the finalizer of splitmix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (r *random) next() uint64 {
	*r += 0xa0761d6478bd642f
	hi, lo := bits.Mul64(uint64(*r), uint64(*r)^0xe7037ed1a0b428db)
	return hi ^ lo
}

// below returns a number in [0, n).
func (r *random) below(n int) int {
	hi, _ := bits.Mul64(r.next(), uint64(n))
	return int(hi)
}

// between returns a number in [low, high].
func (r *random) between(low, high int) int { return low + r.below(high-low+1) }

// oneIn is true once in n calls.
func (r *random) oneIn(n int) bool { return r.below(n) == 0 }

// often returns a number in [0, n), the low ones far more often: a tenth of the
// numbers gets about half of the calls.
func (r *random) often(n int) int {
	u := r.below(1 << 20)
	cube := u * u >> 20 * u >> 20 // of u as a fraction of 2^20
	return n * cube >> 20
}

func pick[T any](r *random, from []T) T { return from[r.below(len(from))] }
