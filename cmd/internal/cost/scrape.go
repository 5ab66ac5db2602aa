package cost

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"tributary/schema/filter"
	"tributary/sinks/cloudwatch"
)

// ErrUnfit marks answers that would stay the same: what was asked is no worker that
// writes to CloudWatch Logs.
var ErrUnfit = errors.New("not the metrics of a worker that writes to CloudWatch Logs")

const (
	scrapeTimeout = 10 * time.Second
	// maxScrape bounds the metrics of a process. Those of a worker with a thousand shards
	// are some MB.
	maxScrape = 32 << 20
	// shortest is the time that says something of a month.
	shortest = time.Second
)

// Scraper asks workers for their metrics.
type Scraper struct {
	client *http.Client
	price  cloudwatch.Price
	level  filter.Level
}

// NewScraper returns one that counts at the price of cfg, and as errors what its rule for
// levels says. It does no I/O.
func NewScraper(client *http.Client, cfg cloudwatch.Config) (*Scraper, error) {
	level, err := filter.ParseLevel(cfg.Errors.Level)
	if err != nil {
		return nil, fmt.Errorf("errors: %w", err)
	}
	return &Scraper{client: client, price: cfg.Price, level: level}, nil
}

// MetricsURL completes what a person calls a worker: host:port is enough.
func MetricsURL(text string) (string, error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("%q is no address of metrics: want one such as http://127.0.0.1:8080/metrics", text)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/metrics"
	}
	return u.String(), nil
}

// SinceStart reports what the workers at urls have sent since they were started.
func (s *Scraper) SinceStart(ctx context.Context, urls []string) (*Report, error) {
	looks, err := s.lookAll(ctx, urls)
	if err != nil {
		return nil, err
	}
	for _, l := range looks {
		if l.started.IsZero() {
			return nil, fmt.Errorf("%s does not say when it was started (no process_start_time_seconds there): look twice, with --over: %w", l.url, ErrUnfit)
		}
		l.over = l.date.Sub(l.started)
	}
	return s.report(looks)
}

// Over reports what they send in a while.
func (s *Scraper) Over(ctx context.Context, urls []string, while time.Duration) (*Report, error) {
	before, err := s.lookAll(ctx, urls)
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(while)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the second look: %w", ctx.Err())
	}
	after, err := s.lookAll(ctx, urls)
	if err != nil {
		return nil, err
	}
	for i, l := range after {
		if err := l.since(before[i]); err != nil {
			return nil, err
		}
	}
	return s.report(after)
}

func (s *Scraper) report(looks []*look) (*Report, error) {
	b := newBook(s.price, 0)
	var workers []Worker
	for _, l := range looks {
		if l.over < shortest {
			l.over = 0
		}
		b.add(&l.tally)
		w := Worker{URL: l.url, Seconds: l.over.Seconds()}
		if l.price != "" && l.price != priceName(s.price.Currency, s.price.Date) {
			w.OtherPrice = l.price
		}
		workers = append(workers, w)
	}
	r, err := b.report()
	if err != nil {
		return nil, err
	}
	r.Workers = workers
	return r, nil
}

func priceName(currency, date string) string { return currency + " of " + date }

// look is what a worker said once.
type look struct {
	tally
	url     string
	at      time.Time // by the clock here
	date    time.Time // by that of the worker
	started time.Time // zero: it does not say
	price   string    // empty: it has sent nothing yet
}

func (s *Scraper) lookAll(ctx context.Context, urls []string) (all []*look, err error) {
	for _, u := range urls {
		l, err := s.look(ctx, u)
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

func (s *Scraper) look(ctx context.Context, from string) (*look, error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	req.Header.Set("Accept", "text/plain;version=0.0.4")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err) // the URL is in it
	}
	defer resp.Body.Close()
	l := &look{tally: *newTally(0), url: from, at: time.Now()}
	if l.date, err = http.ParseTime(resp.Header.Get("Date")); err != nil {
		l.date = l.at
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s: %w", from, resp.Status, ErrUnfit)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxScrape+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read metrics of %s: %w", from, err)
	case len(text) > maxScrape:
		return nil, fmt.Errorf("%s answers more than %d MiB: %w", from, maxScrape>>20, ErrUnfit)
	}
	if err := l.read(text, s.level); err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	return l, nil
}

// The metrics that are read, see sinks/cloudwatch.
const (
	sinkPrefix  = "tributary_cloudwatch_"
	putsMetric  = sinkPrefix + "puts_total" // every such worker has it from the start
	linesMetric = sinkPrefix + "lines_total"
	sentMetric  = sinkPrefix + "sent_bytes_total"
	savedMetric = sinkPrefix + "saved_bytes_total"
	costMetric  = sinkPrefix + "sent_cost_total"
	startMetric = "process_start_time_seconds"
)

// read takes what a worker said apart.
func (l *look) read(text []byte, level filter.Level) error {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	if families[putsMetric] == nil {
		return fmt.Errorf("%w: %s", ErrUnfit, whose(families))
	}
	for _, m := range families[startMetric].GetMetric() {
		if seconds := m.GetGauge().GetValue(); seconds > 0 && seconds < 1e11 {
			l.started = time.UnixMilli(int64(seconds * 1000))
		}
	}
	for _, m := range families[costMetric].GetMetric() {
		l.price = priceName(label(m, "currency"), label(m, "price_date"))
	}
	for _, c := range []struct {
		name string
		take func(f *figures, n int64, m *dto.Metric)
	}{
		{linesMetric, func(f *figures, n int64, m *dto.Metric) {
			f.events += n
			if of, err := filter.ParseLevel(label(m, "level")); err == nil && of >= level {
				f.errors += n
			}
		}},
		{sentMetric, func(f *figures, n int64, _ *dto.Metric) { f.sent += n }},
		{savedMetric, func(f *figures, n int64, _ *dto.Metric) { f.saved += n }},
	} {
		for _, m := range families[c.name].GetMetric() {
			n, err := count(m)
			if err != nil {
				return fmt.Errorf("%w: %s: %w", ErrUnfit, c.name, err)
			}
			c.take(l.of(cmp.Or(label(m, "service"), "unknown")), n, m)
		}
	}
	return nil
}

// count is an exact counter. 2^53 bytes are more than a month of everything.
func count(m *dto.Metric) (int64, error) {
	v := m.GetCounter().GetValue()
	if m.Counter == nil || !(v >= 0 && v <= 1<<53) || v != math.Trunc(v) {
		return 0, fmt.Errorf("%v is no count", v)
	}
	return int64(v), nil
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// whose says in words what was asked instead.
func whose(families map[string]*dto.MetricFamily) string {
	for _, k := range []struct{ prefix, words string }{
		{"tributary_forwarder_", "a forwarder was asked, which writes to the stream alone"},
		{"tributary_lake_", "a worker of the lake was asked"},
		{"tributary_", "another process of tributary was asked"},
	} {
		for name := range families {
			if strings.HasPrefix(name, k.prefix) {
				return k.words
			}
		}
	}
	return "nothing of tributary is there"
}

// since leaves of l what came after an earlier look.
func (l *look) since(before *look) error {
	again := fmt.Errorf("%s was started again between the two looks: look again", l.url)
	if !l.started.Equal(before.started) {
		return again
	}
	for service, was := range before.services {
		f := l.of(service)
		f.add(&figures{events: -was.events, errors: -was.errors, sent: -was.sent, saved: -was.saved})
		if min(f.events, f.errors, f.sent, f.saved) < 0 {
			return again
		}
	}
	l.over = l.at.Sub(before.at)
	return nil
}
