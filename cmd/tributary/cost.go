package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"tributary/cmd/internal/app"
	"tributary/cmd/internal/config"
	"tributary/cmd/internal/cost"
	"tributary/stream"
)

const costLong = `Tell what CloudWatch Logs takes for what it is sent, by service, and what rules
(realtime.filter) save of it. The price is realtime.price; a month has 730 hours.

Without --sample workers are asked for their metrics: all that they have sent since
they were started, or with --over what they send in that time. Name each worker, of
consume realtime or local, with --metrics. EVENTS are those that rules kept back too.

--sample 10m asks no worker. It reads what arrived in the last ten minutes from the
stream, without a lease or a checkpoint, and judges each event by the rules of the
configuration as a worker would: so rules can be tried before they are deployed. Of
each shard it takes one of five calls and half of the bytes that one gives a second,
and at most --max-bytes in all; then it has read a part of the time, says how much,
and what a month would be follows from that part.

Bytes are those of messages, and 26 for each, as the service bills them; lines that
also go to the group for errors count twice. The workers' metrics count a line that
rules kept back once, --sample as often as it would have been paid for.`

// costCommand are the flags of cost.
type costCommand struct {
	*flags
	metrics  []string
	over     time.Duration
	sample   time.Duration
	maxBytes string
	json     bool
}

func newCost() *cobra.Command {
	cmd := &cobra.Command{Use: "cost", Short: "Tell what CloudWatch Logs costs by service, and what rules save", Long: costLong,
		Example: `  tributary cost --metrics worker-1:8080 --metrics worker-2:8080
  tributary cost --over 1m
  tributary cost --sample 10m --config with-my-rules.yaml`}
	def := cost.DefaultSampleConfig()
	c := &costCommand{flags: addFlags(cmd, nil)}
	f := cmd.Flags()
	f.StringSliceVar(&c.metrics, "metrics", nil, "where a worker serves its metrics, host:port or URL; may be repeated (default that of key admin.listen)")
	f.DurationVar(&c.over, "over", 0, "look twice, so long apart, and count what was sent between")
	f.DurationVar(&c.sample, "sample", 0, "read what arrived at the stream in so long a time, and try the rules on it")
	f.StringVar(&c.maxBytes, "max-bytes", config.FormatSize(def.MaxBytes), "with --sample: read no more than this")
	f.BoolVar(&c.json, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return c.run(cmd) }
	return cmd
}

func (c *costCommand) run(cmd *cobra.Command) error {
	sampling := cmd.Flags().Changed("sample")
	switch {
	case sampling && (len(c.metrics) > 0 || cmd.Flags().Changed("over")):
		return app.Faultf("--sample reads the stream, --metrics and --over ask workers: leave one or the other out")
	case !sampling && cmd.Flags().Changed("max-bytes"):
		return app.Faultf("--max-bytes bounds what --sample reads, which is not set")
	case cmd.Flags().Changed("over") && (c.over < time.Second || c.over > 24*time.Hour):
		return app.Faultf("--over is %v, want 1s to 24h", c.over)
	}
	s, err := c.load(app.Defaults())
	if err != nil {
		return err
	}
	if err := s.CheckCost(); err != nil {
		return err
	}
	ask := c.ask
	if sampling {
		ask = c.try
	}
	r, err := ask(cmd, s)
	if errors.Is(err, cost.ErrUnfit) {
		return app.Faultf("%w", err)
	}
	if err != nil {
		return err
	}
	if c.json {
		return printJSON(cmd.OutOrStdout(), r)
	}
	return printCost(cmd.OutOrStdout(), r)
}

// ask looks at workers.
func (c *costCommand) ask(cmd *cobra.Command, s *app.Settings) (*cost.Report, error) {
	urls, err := c.urls(s.Admin.Listen)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}}
	scraper, err := cost.NewScraper(client, s.Realtime.Config)
	if err != nil {
		return nil, err
	}
	var r *cost.Report
	if c.over > 0 {
		r, err = scraper.Over(cmd.Context(), urls, c.over)
	} else {
		r, err = scraper.SinceStart(cmd.Context(), urls)
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) && cmd.Context().Err() == nil {
		return nil, app.Faultf("%w (is a worker running there? --metrics names another)", err)
	}
	return r, err
}

// urls are where workers serve metrics.
func (c *costCommand) urls(listen string) (all []string, err error) {
	named := c.metrics
	if len(named) == 0 {
		host, port, err := net.SplitHostPort(listen)
		if err != nil {
			return nil, app.Faultf("no worker is named: set --metrics (admin.listen is %q)", listen)
		}
		if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		named = []string{net.JoinHostPort(host, port)}
	}
	for _, name := range named {
		u, err := cost.MetricsURL(name)
		if err != nil {
			return nil, app.Faultf("--metrics: %w", err)
		}
		if slices.Contains(all, u) {
			return nil, app.Faultf("--metrics names %s twice: it would count twice", u)
		}
		all = append(all, u)
	}
	return all, nil
}

// try looks at the stream.
func (c *costCommand) try(cmd *cobra.Command, s *app.Settings) (*cost.Report, error) {
	cfg := cost.DefaultSampleConfig()
	cfg.Span = c.sample
	var err error
	if cfg.MaxBytes, err = config.ParseSize(c.maxBytes); err != nil {
		return nil, app.Faultf("--max-bytes: %w", err)
	}
	if err := cfg.Validate(); err != nil {
		return nil, app.Faultf("cost: %w", err)
	}
	log, err := app.NewLogger(s.Log, cmd.ErrOrStderr(), isTerminal(cmd.ErrOrStderr()))
	if err != nil {
		return nil, err
	}
	aws, err := s.AWS.Load(cmd.Context())
	if err != nil {
		return nil, err
	}
	sampler, err := cost.NewSampler(cfg, s.Realtime.Config, s.Rules, s.Realtime.Group.Name, app.NewKinesis(aws), s.Stream.Ref, log)
	if err != nil {
		return nil, err
	}
	stop := watch(cmd.ErrOrStderr(), func() string {
		bytes, done, shards := sampler.Progress()
		return fmt.Sprintf("%d of %s read · %s MiB, of %s at most", done, plural(int(shards), "shard"), app.Group(float64(bytes>>20)), config.FormatSize(cfg.MaxBytes))
	})
	r, err := sampler.Sample(cmd.Context())
	stop()
	if stream.IsPermanent(err) {
		return nil, app.Faultf("stream %s cannot be read in %s: %w (set stream.name or stream.arn, and aws.region)", s.Stream.Ref, aws.Region, err)
	}
	return r, err
}

func printCost(w io.Writer, r *cost.Report) error {
	_, err := io.WriteString(w, costText(r))
	return err
}
