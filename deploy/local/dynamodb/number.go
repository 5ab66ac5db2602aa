package dynamodb

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// The service keeps 38 significant digits and magnitudes from 1E-130 to
// 9.99…E+125.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
const (
	maxDigits   = 38
	minExponent = -130
	maxExponent = 125
)

var numberShape = regexp.MustCompile(`^[+-]?([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{1,4}))?$`)

// parseNumber reads a decimal number and refuses what the service cannot hold.
// The range is checked before the value is built: "1E9999" must not cost memory.
func parseNumber(text string) (*big.Rat, error) {
	m := numberShape.FindStringSubmatch(text)
	if m == nil || m[1]+m[2] == "" || len(text) > 512 {
		return nil, validation(fmt.Sprintf("The parameter cannot be converted to a numeric value: %.40s", text))
	}
	exponent, _ := strconv.Atoi(m[3])
	significant := strings.TrimLeft(m[1]+m[2], "0")
	if significant == "" {
		return new(big.Rat), nil
	}
	// The exponent of the first significant digit.
	magnitude := exponent + len(significant) - len(m[2]) - 1
	switch {
	case len(strings.TrimRight(significant, "0")) > maxDigits:
		return nil, validation("Attempting to store more than 38 significant digits in a Number")
	case magnitude > maxExponent:
		return nil, validation("Number overflow. Attempting to store a number with magnitude larger than supported range")
	case magnitude < minExponent:
		return nil, validation("Number underflow. Attempting to store a number with magnitude smaller than supported range")
	}
	n, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, validation(fmt.Sprintf("The parameter cannot be converted to a numeric value: %.40s", text))
	}
	return n, nil
}

// compareNumbers compares two numbers that passed parseNumber.
func compareNumbers(a, b string) int {
	x, errX := parseNumber(a)
	y, errY := parseNumber(b)
	if errX != nil || errY != nil {
		return strings.Compare(a, b)
	}
	return x.Cmp(y)
}

// numeral is a number as a client wrote it, or, once it was decoded and is one
// the service can hold, as the service gives it back: in plain decimal notation
// without leading and trailing zeros.
type numeral string

// UnmarshalJSON leaves what is no number as it is; check refuses it by its text.
func (n *numeral) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	*n = numeral(text)
	if plainShape.MatchString(text) {
		return nil
	}
	if value, err := parseNumber(text); err == nil {
		*n = numeral(plain(value))
	}
	return nil
}

// plainShape saves most numbers, counters and times, the arithmetic.
var plainShape = regexp.MustCompile(`^(0|-?[1-9][0-9]{0,37})$`)

// plain writes a number out. No number that passed parseNumber, nor a sum of
// two, has more decimals than the smallest magnitude and the digits after it.
func plain(n *big.Rat) string {
	text := n.FloatString(maxDigits - minExponent)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// size is one byte for every two significant digits, and one more.
func (n numeral) size() int64 {
	digits := strings.Trim(strings.Replace(strings.TrimPrefix(string(n), "-"), ".", "", 1), "0")
	return int64(len(digits)+1)/2 + 1
}

// addNumbers is a + b, or a - b, in plain decimal notation.
func addNumbers(a, b string, minus bool) (string, error) {
	x, err := parseNumber(a)
	if err != nil {
		return "", err
	}
	y, err := parseNumber(b)
	if err != nil {
		return "", err
	}
	if minus {
		y.Neg(y)
	}
	sum := plain(x.Add(x, y))
	if _, err := parseNumber(sum); err != nil {
		return "", err
	}
	return sum, nil
}
