package cost

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"tributary/sinks/cloudwatch"
)

// Month is that of prices, a twelfth of a year.
const Month = 730 * time.Hour

// gigabyte is what prices are for.
var gigabyte = big.NewRat(1<<30, 1)

// Money is an exact amount of it.
type Money struct{ amount *big.Rat }

// moneyOf is what bytes cost.
func moneyOf(bytes *big.Rat, p cloudwatch.Price) (Money, error) {
	perGB, ok := new(big.Rat).SetString(strconv.FormatFloat(p.PerGB, 'f', -1, 64))
	if !ok {
		return Money{}, fmt.Errorf("%v is no price", p.PerGB)
	}
	m := new(big.Rat).Mul(bytes, perGB)
	return Money{m.Quo(m, gigabyte)}, nil
}

// String has cents: 1,234.56. Less than half a cent is "<0.01", unless it is nothing.
func (m Money) String() string {
	if m.amount == nil {
		return "-"
	}
	text := m.amount.FloatString(2)
	if text == "0.00" && m.amount.Sign() > 0 {
		return "<0.01"
	}
	whole, cents, _ := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	return whole + "." + cents
}

// MarshalJSON writes a number with six decimals; null if it is not known.
func (m Money) MarshalJSON() ([]byte, error) {
	if m.amount == nil {
		return []byte("null"), nil
	}
	return []byte(m.amount.FloatString(6)), nil
}
