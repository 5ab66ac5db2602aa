package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/dig"
	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"
	"golang.org/x/term"
)

const (
	// startTimeout bounds the start of all components together.
	startTimeout = time.Minute
	// stopSlack is what stopping may take beyond the components' own bounds. All
	// stop hooks share one timeout, and once it expires the rest is skipped: leases
	// would not be given up.
	stopSlack = 10 * time.Second
)

// Base is what every command has.
func Base(s *Settings, log *slog.Logger) fx.Option {
	return fx.Options(
		fx.Supply(s, log, &Outcome{}),
		fx.Provide(newRegistry, func(r *prometheus.Registry) prometheus.Registerer { return r }),
		fx.StopTimeout(s.stopTimeout()), fx.StartTimeout(startTimeout),
		fx.WithLogger(func() fxevent.Logger {
			l := &fxevent.SlogLogger{Logger: log}
			l.UseLogLevel(slog.LevelDebug)
			l.UseErrorLevel(slog.LevelDebug) // the error itself ends the command, in one line
			return l
		}),
	)
}

func (s *Settings) stopTimeout() time.Duration {
	d := demoTimeout + s.Forward.ListenGrace + s.Forward.Server.Drain + s.Forward.DrainTimeout + settleTimeout + s.Local.ShutdownTimeout + stopSlack
	for _, g := range s.groups() {
		d += g.Group.DrainTimeout // one behind the other in "local"
	}
	return d
}

func newRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// Columns is the terminal's width now.
func Columns() int {
	width, _, err := term.GetSize(int(os.Stderr.Fd()))
	if err != nil || width <= 0 { // a terminal without a size, as of a remote command
		return 80
	}
	return width
}

// Execute runs the components of opts until ctx ends or one of them does, then
// stops them in reverse order. It returns the first error of a component.
func Execute(ctx context.Context, s *Settings, opts fx.Option) error {
	terminal := term.IsTerminal(int(os.Stderr.Fd()))
	var out io.Writer = os.Stderr
	progress := NewProgress(os.Stderr, Columns)
	if terminal {
		out = progress
	}
	log, err := NewLogger(s.Log, out, terminal)
	if err != nil {
		return err
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	var outcome *Outcome
	var reg *prometheus.Registry
	var reload onHangup
	app := fx.New(Base(s, log), opts, fx.Populate(&outcome, &reg), fx.Invoke(func(h onHangup) { reload = h }))
	if err := app.Err(); err != nil {
		// Constructors do no I/O: what they refuse is the configuration.
		return Fault{dig.RootCause(err)}
	}
	starting, cancel := context.WithTimeout(ctx, app.StartTimeout())
	defer cancel()
	if err := app.Start(starting); err != nil {
		if ctx.Err() != nil {
			return nil // interrupted while starting
		}
		return err
	}
	stopDrawing := func() {}
	if terminal {
		drawing, stop := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); _ = progress.Run(drawing, reg) }()
		stopDrawing = func() { stop(); <-done }
	}
	for running := true; running; {
		select {
		case <-ctx.Done():
			log.Info("stopping, a second signal ends at once")
			running = false
		case <-app.Wait():
			running = false
		case <-hangups:
			// Closing the terminal sends the same signal.
			if running = !terminal || term.IsTerminal(int(os.Stderr.Fd())); running {
				reload.handle(log)
			}
		}
	}
	stopping, cancelStop := context.WithTimeout(context.WithoutCancel(ctx), app.StopTimeout())
	defer cancelStop()
	err = app.Stop(stopping)
	stopDrawing()
	return errors.Join(outcome.Err(), err)
}
