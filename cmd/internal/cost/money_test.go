package cost_test

import (
	"fmt"
	"math/big"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"tributary/cmd/internal/cost"
	"tributary/sinks/cloudwatch"
)

// TestMoneyIsExactToTheCent holds money against whole numbers: cents are bytes times the
// price in millionths, over a GB.
func TestMoneyIsExactToTheCent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, price := range []float64{0.5, 0.76, 0.033, 0.000001, 114, 0} {
			for _, bytes := range []int64{0, 1, 10_737_418, 10_737_419, 1 << 30, 32_212_254, 32_212_255, 1<<53 - 1, 1 << 53, 123_456_789_012_345} {
				cfg := cloudwatch.DefaultConfig()
				cfg.Price.PerGB = price
				f := fleet{"one": {text: metrics(time.Now().Truncate(time.Second).Add(-cost.Month), fmt.Sprintf(`sent_bytes_total{service="a"} %d`, bytes))}}
				s, err := cost.NewScraper(&http.Client{Transport: f}, cfg)
				if err != nil {
					t.Fatal(err)
				}
				r, err := s.SinceStart(t.Context(), []string{"http://one/metrics"})
				if err != nil {
					t.Fatal(err)
				}
				// Twice the cents, and one: halved without a rest that is half a cent up.
				micros := new(big.Int).Mul(big.NewInt(bytes), big.NewInt(int64(price*1e6+0.5)))
				cents := micros.Add(micros.Mul(micros, big.NewInt(2)), big.NewInt(10_000<<30))
				nothing := cents.Cmp(big.NewInt(10_000<<30)) == 0
				cents.Quo(cents, big.NewInt(2*10_000<<30))
				want := grouped(new(big.Int).Quo(cents, big.NewInt(100)).String()) + fmt.Sprintf(".%02d", new(big.Int).Mod(cents, big.NewInt(100)).Int64())
				if want == "0.00" && !nothing {
					want = "<0.01"
				}
				if got := r.Total.SentMoney.String(); got != want || r.Total.SentPerMonth.String() != want {
					t.Errorf("%d bytes at %v cost %s, %s a month, want %s", bytes, price, got, r.Total.SentPerMonth, want)
				}
			}
		}
	})
}

func grouped(digits string) string {
	if n := len(digits); n > 3 {
		return grouped(digits[:n-3]) + "," + digits[n-3:]
	}
	return digits
}

func TestATotalIsThatOfAllBytesNotOfRoundedRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 10_737_418 // bytes of less than half a cent
		f := fleet{"one": {text: metrics(time.Now().Truncate(time.Second).Add(-cost.Month),
			fmt.Sprintf(`sent_bytes_total{service="a"} %d`, most), fmt.Sprintf(`sent_bytes_total{service="b"} %d`, most), fmt.Sprintf(`sent_bytes_total{service="c"} %d`, most))}}
		r, err := f.scraper(t).SinceStart(t.Context(), []string{"http://one/metrics"})
		if err != nil {
			t.Fatal(err)
		}
		const want = "a 0 0 10737418 0 <0.01 0.00 <0.01 0.00 33.3%\nb 0 0 10737418 0 <0.01 0.00 <0.01 0.00 33.3%\nc 0 0 10737418 0 <0.01 0.00 <0.01 0.00 33.3%\n" +
			" 0 0 32212254 0 0.01 0.00 0.01 0.00 100.0%\n"
		if got := short(r); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	})
}
