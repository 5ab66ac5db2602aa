package forwarder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"tributary/stream"
	"tributary/stream/spool"
)

// parts run beside each other, each until it is stopped; one that fails ends all.
type parts struct {
	log    *slog.Logger
	failed context.Context // ends with the first failure, which is its cause
	fail   context.CancelCauseFunc
}

// newParts takes nothing of ctx but its values: each part is stopped by its own
// stop, in order.
func newParts(ctx context.Context, log *slog.Logger) *parts {
	failed, fail := context.WithCancelCause(context.WithoutCancel(ctx))
	return &parts{log, failed, fail}
}

// start starts a part; stop ends it, waits for it, and may be called again.
func (p *parts) start(name string, body func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(p.failed)
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := body(ctx)
		switch {
		case err == nil:
		case ctx.Err() == nil:
			p.fail(fmt.Errorf("%s: %w", name, err))
		case !errors.Is(err, context.Canceled) && !errors.Is(err, stream.ErrStopped) && !errors.Is(err, spool.ErrClosed):
			p.log.Error("a part of the forwarder did not stop cleanly", "part", name, "err", err)
		}
	}()
	return func() { cancel(); <-done }
}
