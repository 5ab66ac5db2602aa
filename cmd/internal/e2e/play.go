package e2e

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// patience bounds each step beyond the time it is meant to last.
const patience = 60 * time.Second

// Play lets a schedule happen and returns when all of it is undone again, or the
// first error: a step that could not be done, or a process that has ended by
// itself. A late step lasts as long as an early one.
func (s *System) Play(ctx context.Context, schedule Schedule) error {
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for _, track := range schedule.Tracks {
		group.Go(func() error {
			for _, step := range track {
				if err := sleep(ctx, time.Until(began.Add(step.At))); err != nil {
					return err
				}
				if err := s.do(ctx, step); err != nil {
					return fmt.Errorf("%v: %w", step, err)
				}
			}
			return nil
		})
	}
	return errors.Join(group.Wait(), s.Running())
}

func (s *System) do(ctx context.Context, step Step) error {
	ctx, cancel := context.WithTimeout(ctx, step.For+patience)
	defer cancel()
	switch step.Verb {
	case Split, Merge, Resize:
		done, err := s.reshard(ctx, step)
		s.note("%s", done)
		return err
	case Faults:
		if err := s.SetFaults(ctx, step.Rules...); err != nil {
			return err
		}
		s.note("%v", step)
		err := errors.Join(sleep(ctx, step.For), s.SetFaults(ctx))
		s.note("no faults")
		return err
	}
	if err := s.alive(step.Target); err != nil {
		return err
	}
	s.strike(step)
	if err := s.away(ctx, step); err != nil {
		return err
	}
	s.note("%s is back", step.Target)
	return nil
}

// away makes a process be away for a time.
func (s *System) away(ctx context.Context, step Step) error {
	n := s.nodes[step.Target]
	switch step.Verb {
	case Stop:
		return errors.Join(n.Freeze(), sleep(ctx, step.For), n.Thaw())
	case Kill:
		n.Kill()
	case Interrupt:
		if err := n.Interrupt(patience); err != nil {
			return err
		}
		s.note("%s has ended", step.Target)
	default:
		return fmt.Errorf("nobody knows how to %s", step.Verb)
	}
	if err := sleep(ctx, step.For); err != nil {
		return err
	}
	return s.Restart(ctx, step.Target)
}

// Restart starts a process that was killed or interrupted. Endpoints are told the
// fault rules again: they keep them in memory.
func (s *System) Restart(ctx context.Context, name string) error {
	if err := s.nodes[name].Start(ctx); err != nil {
		return err
	}
	if name != "endpoints" && name != "local" {
		return nil
	}
	return s.tellRules(ctx)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// untilDone asks again until the answer is yes or ctx ends; then it returns the
// last error.
func untilDone(ctx context.Context, ask func() (bool, error)) error {
	for {
		done, err := ask()
		if done {
			return nil
		}
		if ended := sleep(ctx, lookEvery); ended != nil {
			return errors.Join(ended, err)
		}
	}
}
