package app

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts an app of the given components and returns it with its outcome.
func start(t *testing.T, out *Outcome, invoke any) (*fx.App, error) {
	t.Helper()
	app := fx.New(fx.NopLogger, fx.Supply(out), fx.Invoke(invoke))
	if err := app.Err(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := app.Start(ctx)
	return app, err
}

func stop(t *testing.T, app *fx.App) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := app.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestComponentsStopInReverseOrderEachBeforeTheNext(t *testing.T) {
	var order []string
	component := func(name string) func(context.Context) error {
		return func(ctx context.Context) error { <-ctx.Done(); order = append(order, name); return nil }
	}
	out := &Outcome{}
	app, err := start(t, out, func(lc fx.Lifecycle, sd fx.Shutdowner) {
		Run(lc, sd, out, "endpoints", nil, component("endpoints"))
		Run(lc, sd, out, "lake", nil, component("lake"))
		Run(lc, sd, out, "forwarder", nil, component("forwarder"))
	})
	if err != nil {
		t.Fatal(err)
	}
	stop(t, app)
	if !slices.Equal(order, []string{"forwarder", "lake", "endpoints"}) || out.Err() != nil {
		t.Fatalf("stopped %v, outcome %v", order, out.Err())
	}
}

func TestAComponentThatEndsByItselfEndsTheApp(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"with an error":    {errors.New("disk on fire"), "worker: disk on fire"},
		"without an error": {nil, "worker ended by itself"},
	} {
		t.Run(name, func(t *testing.T) {
			out := &Outcome{}
			app, err := start(t, out, func(lc fx.Lifecycle, sd fx.Shutdowner) {
				Run(lc, sd, out, "worker", nil, func(context.Context) error { return c.err })
			})
			if err != nil {
				t.Fatal(err)
			}
			if sig := <-app.Wait(); sig.ExitCode != 1 {
				t.Errorf("exit code %d", sig.ExitCode)
			}
			stop(t, app)
			if out.Err() == nil || out.Err().Error() != c.want {
				t.Fatalf("outcome %v", out.Err())
			}
		})
	}
}

func TestAnErrorBeforeReadyFailsTheStart(t *testing.T) {
	out := &Outcome{}
	app, err := start(t, out, func(lc fx.Lifecycle, sd fx.Shutdowner) {
		Run(lc, sd, out, "server", make(chan struct{}), func(context.Context) error { return Faultf("port taken") })
	})
	if err == nil || !strings.Contains(err.Error(), "server: port taken") || Code(err) != 2 {
		t.Fatalf("got %v", err)
	}
	stop(t, app)
}

func TestAnErrorWhileStoppingIsTheOutcome(t *testing.T) {
	out := &Outcome{}
	app, err := start(t, out, func(lc fx.Lifecycle, sd fx.Shutdowner) {
		ready := make(chan struct{})
		Run(lc, sd, out, "saver", ready, func(ctx context.Context) error { close(ready); <-ctx.Done(); return errors.New("cannot save") })
	})
	if err != nil {
		t.Fatal(err)
	}
	stop(t, app)
	if out.Err() == nil || out.Err().Error() != "saver: cannot save" {
		t.Fatalf("outcome %v", out.Err())
	}
}

func TestProgressTellsWhatMatters(t *testing.T) {
	f := figures{forwards: true, consumes: true, lines: 1_234_567, records: 89, events: 1_234_000, lag: 1.25, rows: 1_000_000, objects: 12, rejects: 3}
	before := f
	before.lines -= 1000
	want := "1,234,567 lines in (2,000/s) · 89 records · 1,234,000 events read · lag 1.2s · 1,000,000 rows in 12 objects · 3 REJECTS"
	if got := f.text(before, 500*time.Millisecond); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

func TestLogsPassAboveTheProgressLine(t *testing.T) {
	var screen strings.Builder
	p := NewProgress(&screen, func() int { return 10 })
	p.draw("1 line in, and more than fits")
	if _, err := p.Write([]byte("level=INFO msg=x\n")); err != nil {
		t.Fatal(err)
	}
	if got := screen.String(); got != clearLine+"1 line in"+clearLine+"level=INFO msg=x\n"+"1 line in" {
		t.Fatalf("got %q", got)
	}
}
