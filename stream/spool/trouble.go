package spool

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// Why appends wait, told by Usable.
var (
	// ErrFull says that MaxBytes are taken and somebody waits for room.
	ErrFull = errors.New("spool is full")
	// ErrDiskFull says that the disk, or the owner's quota on it, has no room.
	ErrDiskFull = errors.New("the spool's disk is full")
	// ErrReadOnly says that the disk takes no writes, often after errors of its own.
	ErrReadOnly = errors.New("the spool's disk is read-only")
	// ErrDisk is any other failure of the disk.
	ErrDisk = errors.New("the spool's disk fails")
)

// trouble is what keeps commits from succeeding. The committer writes it; cause
// is read by others, under s.mu.
type trouble struct {
	failing bool
	kind    error
	since   time.Time
	cause   error
}

// diskError names what kind of failure err is.
func diskError(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return ErrDiskFull
	case errors.Is(err, syscall.EROFS):
		return ErrReadOnly
	}
	return ErrDisk
}

// Usable returns nil while appends are taken, and else why they wait: ErrFull,
// ErrDiskFull, ErrReadOnly or ErrDisk. It recovers by itself.
func (s *Spool) Usable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.trouble.cause != nil:
		return s.trouble.cause
	case s.stopping:
		return ErrClosed
	case s.starved():
		return ErrFull
	}
	return nil
}

// Stalled says that what arrives waits: Usable has an error, or a commit has been
// under way for longer than patience.
func (s *Spool) Stalled(patience time.Duration) bool {
	began := s.storing.Load()
	return began != 0 && time.Since(time.Unix(0, began)) > patience || s.Usable() != nil
}

// starved says that whoever waits longest waits for room on the disk. s.mu is held.
func (s *Spool) starved() bool {
	return len(s.queue) > 0 && s.used()+s.held+s.extra+s.queue[0].need > s.cfg.MaxBytes
}

// report says once when commits begin to fail, or fail otherwise than before, and
// once when they succeed again: they are tried again and again.
func (s *Spool) report(err error) {
	if err == nil {
		s.metrics.commitsOK.Inc()
		s.recovered()
		return
	}
	s.metrics.commitsFail.Inc()
	kind := diskError(err)
	if !s.trouble.failing {
		s.trouble.since = time.Now()
	}
	if !s.trouble.failing || s.trouble.kind != kind {
		s.log.Error("spool stores nothing, senders wait until it can again", "why", kind, "err", err)
	}
	s.mu.Lock()
	s.trouble.failing, s.trouble.kind = true, kind
	s.trouble.cause = fmt.Errorf("%w: %w", kind, err)
	s.mu.Unlock()
	s.metrics.usable.Set(0)
	if kind == ErrDiskFull {
		s.askForRoom()
	}
}

func (s *Spool) recovered() {
	if !s.trouble.failing {
		return
	}
	s.log.Info("spool stores again", "after", time.Since(s.trouble.since).Round(time.Millisecond))
	s.mu.Lock()
	s.trouble = trouble{}
	s.mu.Unlock()
	s.metrics.usable.Set(1)
}
