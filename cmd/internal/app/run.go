package app

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.uber.org/fx"
)

// Outcome is the first error of a component that ended by itself. The process
// reports it and exits with its code.
type Outcome struct {
	mu  sync.Mutex
	err error
}

// Err is nil while all is well.
func (o *Outcome) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

func (o *Outcome) set(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
}

// Run ties a blocking run function to the life of the app.
//
// Start waits until ready is closed (not at all if it is nil), so that the next
// component finds this one working; if run returns before, Start fails with its
// error. If run returns later and before the app stops, the app stops and the
// error becomes the outcome: a process whose work has ended must not go on
// answering health checks.
//
// run's context is not the start context, which ends as soon as start-up does.
func Run(lc fx.Lifecycle, sd fx.Shutdowner, out *Outcome, name string, ready <-chan struct{}, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	var once sync.Once
	finished := make(chan struct{})
	finish := func() { once.Do(func() { close(finished) }) } // nobody else reports the result
	lc.Append(fx.Hook{
		OnStart: func(start context.Context) error {
			go func() { result <- run(ctx) }()
			if ready != nil {
				select {
				case <-ready:
				case err := <-result:
					result <- nil
					finish()
					return ended(name, err)
				case <-start.Done():
					finish()
					return fmt.Errorf("%s did not start: %w", name, start.Err())
				}
			}
			go func() {
				select {
				case err := <-result:
					result <- err
					if ctx.Err() == nil {
						out.set(ended(name, err))
						_ = sd.Shutdown(fx.ExitCode(1)) // fails only when already stopping
					}
				case <-finished:
				}
			}()
			return nil
		},
		OnStop: func(stop context.Context) error {
			cancel()
			defer finish()
			select {
			case err := <-result:
				result <- err
				if err != nil && !errors.Is(err, context.Canceled) {
					out.set(fmt.Errorf("%s: %w", name, err))
				}
				return nil
			case <-stop.Done():
				return fmt.Errorf("%s did not stop: %w", name, stop.Err())
			}
		},
	})
}

func ended(name string, err error) error {
	if err == nil {
		return fmt.Errorf("%s ended by itself", name)
	}
	return fmt.Errorf("%s: %w", name, err)
}
