package pipe

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"syscall"
	"time"
)

// blockBytes is the most that is read at a time; a pipe of Linux holds as much.
const blockBytes = 64 << 10

// block is what one read gave.
type block struct {
	bytes []byte
	at    time.Time
	err   error // why there is no next one; io.EOF or another
}

// feed reads in and copies it to tee. It has two blocks: one is being read while
// the other is being sent.
type feed struct {
	in     io.Reader
	tee    io.Writer   // nil: no copy
	blocks chan block  // closed when there is no next one
	free   chan []byte // blocks to read into
	done   chan struct{}
	state  atomic.Int32
}

// The states of a feed.
const (
	handing int32 = iota // between two reads
	reading
	halted
)

func newFeed(in io.Reader, tee io.Writer) *feed {
	f := &feed{in: in, tee: tee, blocks: make(chan block), free: make(chan []byte, 2), done: make(chan struct{})}
	f.free <- make([]byte, blockBytes)
	f.free <- make([]byte, blockBytes)
	return f
}

// run reads until in ends, or the feed is halted or done. A Read that blocks cannot
// be called off: run then ends with the process, or when in gives something after
// all, which is dropped.
func (f *feed) run() {
	defer close(f.blocks)
	for {
		var buf []byte
		select {
		case buf = <-f.free:
		case <-f.done:
			return
		}
		if !f.state.CompareAndSwap(handing, reading) {
			return
		}
		n, err := f.in.Read(buf)
		if !f.state.CompareAndSwap(reading, handing) {
			return
		}
		if err != nil && !errors.Is(err, io.EOF) {
			err = fmt.Errorf("read lines: %w", err)
		}
		b := block{bytes: buf[:n], at: time.Now(), err: err}
		if err := f.copy(b.bytes); err != nil && (b.err == nil || errors.Is(b.err, io.EOF)) {
			b.err = err
		}
		select {
		case f.blocks <- b:
		case <-f.done:
			return
		}
		if b.err != nil {
			return
		}
	}
}

// halt ends reading. It reports whether one more block may come, and then blocks
// will be closed: what was read, and copied, must be sent.
func (f *feed) halt() (more bool) { return f.state.Swap(halted) == handing }

// copy writes b to tee. A reader of the copy that has seen enough, as in
// "pipe --tee | head", ends the copy and not the sending.
func (f *feed) copy(b []byte) error {
	if f.tee == nil || len(b) == 0 {
		return nil
	}
	_, err := f.tee.Write(b)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) {
		f.tee = nil
		return nil
	}
	if err != nil {
		return fmt.Errorf("copy lines: %w", err)
	}
	return nil
}
