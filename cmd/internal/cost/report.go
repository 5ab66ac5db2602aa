package cost

import (
	"cmp"
	"math/big"
	"slices"
	"strings"
	"time"

	"tributary/sinks/cloudwatch"
)

// Report is what came of a look at workers or at the stream.
type Report struct {
	Price Price `json:"price"`
	// Workers are those that were asked; empty when the stream was read.
	Workers []Worker `json:"workers,omitempty"`
	// Sample is what was read of the stream; nil when workers were asked.
	Sample   *Sample `json:"sample,omitempty"`
	Services []Line  `json:"services"` // by money, most first
	Total    Line    `json:"total"`
	// Rules are those of the configuration, in its order, when the stream was read.
	Rules []RuleLine `json:"rules,omitempty"`
}

// Price is what a GB of 2^30 bytes costs, and when that was so.
type Price struct {
	PerGB    float64 `json:"per_gb"`
	Currency string  `json:"currency"`
	Date     string  `json:"date"`
}

// Worker is one that was asked for its metrics.
type Worker struct {
	URL     string  `json:"url"`
	Seconds float64 `json:"seconds"` // that its figures are of
	// OtherPrice is how this worker counts if not at the report's price, such as
	// "JPY of 2026-01-01".
	OtherPrice string `json:"other_price,omitempty"`
}

// Sample is what was read of the stream.
type Sample struct {
	Stream    string    `json:"stream"`
	From      time.Time `json:"from"`
	Until     time.Time `json:"until"`
	Shards    int       `json:"shards"`
	Bytes     int64     `json:"bytes"`     // as they lie in the stream
	Cut       int       `json:"cut"`       // shards that were not read to the end
	Fraction  float64   `json:"fraction"`  // of the shards' time that was read
	Elsewhere int64     `json:"elsewhere"` // events addressed to other groups, not counted
	Rejects   int64     `json:"rejects"`   // what no decoder understands, not counted
}

// Line is what a service, or all, sends and saves. Nobody knows what it is in a month if
// there was no second to see it in: that is null.
type Line struct {
	Service       string  `json:"service,omitempty"`
	Events        int64   `json:"events"` // those that rules kept back included
	Errors        int64   `json:"errors"` // of them, those of the configured level or above
	SentBytes     int64   `json:"sent_bytes"`
	SavedBytes    int64   `json:"saved_bytes"`
	SentMoney     Money   `json:"sent_money"`
	SavedMoney    Money   `json:"saved_money"`
	SentPerMonth  Money   `json:"sent_money_per_month"`
	SavedPerMonth Money   `json:"saved_money_per_month"`
	Share         float64 `json:"share"` // of all that is sent, by money
}

// RuleLine is what a rule decided and saved.
type RuleLine struct {
	Rule          string `json:"rule"`
	Action        string `json:"action"`
	Events        int64  `json:"events"` // that it decided about
	KeptBack      int64  `json:"kept_back_events"`
	SavedBytes    int64  `json:"saved_bytes"`
	SavedMoney    Money  `json:"saved_money"`
	SavedPerMonth Money  `json:"saved_money_per_month"`
}

// figures are what was counted of a service or of a rule. Of a rule kept is what it kept
// back, of a service its errors.
type figures struct{ events, errors, kept, sent, saved int64 }

func (f *figures) add(o *figures) {
	f.events += o.events
	f.errors += o.errors
	f.kept += o.kept
	f.sent += o.sent
	f.saved += o.saved
}

// tally is what one worker or shard counted in a time.
type tally struct {
	services map[string]*figures
	rules    []figures
	over     time.Duration
}

func newTally(rules int) *tally {
	return &tally{services: map[string]*figures{}, rules: make([]figures, rules)}
}

func (t *tally) of(service string) *figures {
	f := t.services[service]
	if f == nil {
		f = &figures{}
		t.services[service] = f
	}
	return f
}

// account adds up figures, and what they are in a month.
type account struct {
	figures
	sentMonth, savedMonth big.Rat // bytes
}

func (a *account) book(f *figures, over time.Duration) {
	a.add(f)
	if over > 0 {
		monthly := big.NewRat(int64(Month), int64(over))
		month := func(sum *big.Rat, n int64) {
			part := new(big.Rat).SetInt64(n)
			sum.Add(sum, part.Mul(part, monthly))
		}
		month(&a.sentMonth, f.sent)
		month(&a.savedMonth, f.saved)
	}
}

// book adds up tallies. One goroutine uses it.
type book struct {
	price    cloudwatch.Price
	services map[string]*account
	rules    []account
	total    account
	unknown  bool // what it is in a month: a tally had no time
}

func newBook(price cloudwatch.Price, rules int) *book {
	return &book{price: price, services: map[string]*account{}, rules: make([]account, rules)}
}

func (b *book) add(t *tally) {
	b.unknown = b.unknown || t.over <= 0
	for service, f := range t.services {
		a := b.services[service]
		if a == nil {
			a = &account{}
			b.services[service] = a
		}
		a.book(f, t.over)
		b.total.book(f, t.over)
	}
	for i := range t.rules {
		b.rules[i].book(&t.rules[i], t.over)
	}
}

// report writes the sums down.
func (b *book) report() (*Report, error) {
	r := &Report{Price: Price(b.price), Services: []Line{}}
	for service, a := range b.services {
		l, err := b.line(a)
		if err != nil {
			return nil, err
		}
		l.Service = service
		r.Services = append(r.Services, l)
	}
	slices.SortFunc(r.Services, func(x, y Line) int {
		a, o := b.services[x.Service], b.services[y.Service]
		return cmp.Or(b.sent(o).Cmp(b.sent(a)), b.saved(o).Cmp(b.saved(a)), cmp.Compare(o.events, a.events), strings.Compare(x.Service, y.Service))
	})
	var err error
	r.Total, err = b.line(&b.total)
	return r, err
}

// sent is what services are compared by.
func (b *book) sent(a *account) *big.Rat {
	if b.unknown {
		return new(big.Rat).SetInt64(a.figures.sent)
	}
	return &a.sentMonth
}

func (b *book) saved(a *account) *big.Rat {
	if b.unknown {
		return new(big.Rat).SetInt64(a.figures.saved)
	}
	return &a.savedMonth
}

func (b *book) line(a *account) (l Line, err error) {
	l = Line{Events: a.events, Errors: a.errors, SentBytes: a.figures.sent, SavedBytes: a.figures.saved}
	if all := b.sent(&b.total); all.Sign() > 0 {
		l.Share, _ = new(big.Rat).Quo(b.sent(a), all).Float64()
	}
	l.SentMoney, l.SentPerMonth, err = b.money(l.SentBytes, &a.sentMonth)
	if err == nil {
		l.SavedMoney, l.SavedPerMonth, err = b.money(l.SavedBytes, &a.savedMonth)
	}
	return l, err
}

// money is what bytes cost, and those of a month.
func (b *book) money(bytes int64, month *big.Rat) (now, then Money, err error) {
	if now, err = moneyOf(new(big.Rat).SetInt64(bytes), b.price); err == nil && !b.unknown {
		then, err = moneyOf(month, b.price)
	}
	return now, then, err
}
