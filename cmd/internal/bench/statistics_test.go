package main

import (
	"math"
	"testing"
)

func TestStatistics(t *testing.T) {
	for name, c := range map[string]struct{ got, want float64 }{
		"the median of nothing is 0":                    {median(nil), 0},
		"the median of three is the one in the middle":  {median([]float64{9, 1, 2}), 2},
		"the median of four is the mean of the middle":  {median([]float64{9, 1, 2, 4}), 3},
		"spread is relative to the median":              {spread([]float64{9, 10, 12}), 0.3},
		"the spread of zeros is 0":                      {spread([]float64{0, 0}), 0},
		"p50 of four is the second":                     {quantile([]float64{4, 3, 2, 1}, 0.5), 2},
		"p99 of a hundred is the last but one":          {quantile(upTo(100), 0.99), 99},
		"p99 of three is the last":                      {quantile([]float64{1, 2, 3}, 0.99), 3},
		"a quantile of nothing is 0":                    {quantile(nil, 0.5), 0},
		"the slope of a line":                           {slope([]float64{1, 2, 3}, []float64{5, 7, 9}), 2},
		"the slope of what goes up and down alike is 0": {slope([]float64{0, 1, 2}, []float64{1, 3, 1}), 0},
		"the slope of one point is 0":                   {slope([]float64{1}, []float64{1}), 0},
	} {
		if math.Abs(c.got-c.want) > 1e-9 {
			t.Errorf("%s: got %v, want %v", name, c.got, c.want)
		}
	}
}

func upTo(n int) (v []float64) {
	for i := 1; i <= n; i++ {
		v = append(v, float64(i))
	}
	return v
}
