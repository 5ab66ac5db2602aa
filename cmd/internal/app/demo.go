package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"tributary/cmd/internal/workload"
	"tributary/stream/forwarder"
)

// DemoConfig is the load that "local" makes for itself when it is asked to.
type DemoConfig struct {
	Enabled    bool    `koanf:"enabled"`
	Rate       float64 `koanf:"rate"`       // lines per second
	Seed       uint64  `koanf:"seed"`       // of the lines; each start begins with line 0
	Containers int     `koanf:"containers"` // a connection each
}

// DefaultDemoConfig is what one can follow by eye: about one line a second from
// each of sixteen containers, one for each slot of services.
func DefaultDemoConfig() DemoConfig {
	return DemoConfig{Rate: 20, Seed: 1, Containers: workload.Slots}
}

// Validate joins all faults.
func (c DemoConfig) Validate() error {
	var errs []error
	if !(c.Rate >= 0.01 && c.Rate <= 1_000_000) {
		errs = append(errs, fmt.Errorf("rate is %v, want 0.01 to 1000000 lines per second", c.Rate))
	}
	if c.Containers < 1 || c.Containers > 256 {
		errs = append(errs, fmt.Errorf("containers is %d, want 1 to 256", c.Containers))
	}
	return errors.Join(errs...)
}

// demoTimeout bounds a message and its ack, and so how long the demo holds up the
// end.
const demoTimeout = 3 * time.Second

// demo sends its own load to the forwarder of this process, over its socket as any
// container does.
type demo struct {
	cfg    DemoConfig
	sender *workload.Sender
	log    *slog.Logger
}

// newDemo needs a forwarder that listens.
func newDemo(cfg DemoConfig, to net.Addr, log *slog.Logger) (*demo, error) {
	c := workload.DefaultConfig()
	c.Address = to.Network() + "://" + to.String()
	c.Containers, c.Rate, c.Timeout = cfg.Containers, cfg.Rate, demoTimeout
	// Whole milliseconds, as the lines have them: so the lines can be made again by
	// whoever knows the first one's.
	base := time.Now().Truncate(time.Millisecond)
	step := time.Duration(float64(time.Second) / cfg.Rate)
	sender, err := workload.NewSender(c, workload.NewLines(cfg.Seed, base, step))
	if err != nil {
		return nil, err
	}
	return &demo{cfg: cfg, sender: sender, log: log}, nil
}

func (d *demo) register(reg prometheus.Registerer) error {
	counter := func(name, help string, value func(workload.Result) int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "tributary_demo_" + name + "_total", Help: help},
			func() float64 { return float64(value(d.sender.Progress())) })
	}
	return errors.Join(
		reg.Register(counter("lines", "Lines of the demo that the forwarder acked.", func(r workload.Result) int64 { return r.Lines })),
		reg.Register(counter("bytes", "Bytes of these lines.", func(r workload.Result) int64 { return r.Bytes })),
		reg.Register(counter("resent", "Messages of the demo sent again for want of an ack.", func(r workload.Result) int64 { return r.Resent })),
	)
}

// Run sends until ctx ends; what was begun by then is finished.
func (d *demo) Run(ctx context.Context) error {
	d.log.Info("demo sends lines", "rate", d.cfg.Rate, "seed", d.cfg.Seed, "containers", d.cfg.Containers)
	r := d.sender.Run(ctx)
	d.log.Info("demo ended", "lines", r.Lines, "bytes", r.Bytes)
	return nil
}

// RunDemo runs the demo if it is asked for. It is invoked after the forwarder, so
// that it starts when that one listens and ends before it: every line that the demo
// counts has been acked.
func RunDemo(lc fx.Lifecycle, sd fx.Shutdowner, out *Outcome, s *Settings, f *forwarder.Forwarder, reg prometheus.Registerer, log *slog.Logger) {
	if !s.Local.Demo.Enabled {
		return
	}
	Run(lc, sd, out, "demo", nil, func(ctx context.Context) error {
		<-f.Listening() // closed: the forwarder started before
		d, err := newDemo(s.Local.Demo, demoAddr(f.Addrs()), log)
		if err != nil {
			return err
		}
		if err := d.register(reg); err != nil {
			return err
		}
		return d.Run(ctx)
	})
}

// demoAddr prefers TCP. A forwarder listens somewhere.
func demoAddr(addrs []net.Addr) net.Addr {
	for _, a := range addrs {
		if a.Network() == "tcp" {
			return a
		}
	}
	return addrs[0]
}
