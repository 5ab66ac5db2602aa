package backfill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tributary/sinks/objects"
)

// errChanged and errGone say that an object is not the one of the inventory any more.
var (
	errChanged = errors.New("it has changed since the job began")
	errGone    = errors.New("it is gone")
)

// unreadable wraps what S3 did, as opposed to what an object holds.
type unreadable struct{ error }

func (u unreadable) Unwrap() error { return u.error }

// body reads an object of the inventory, however often its connection breaks.
type body struct {
	ctx    context.Context // of the reading, which the body does not outlive
	source *source
	object object
	at     int64
	in     io.ReadCloser
	cancel context.CancelFunc
	tries  int
}

func (s *source) open(ctx context.Context, o object) *body {
	return &body{ctx: ctx, source: s, object: o}
}

// maxTries bounds how often a body is asked for without a byte of it coming.
const maxTries = 7

// Read reads on. An error is unreadable, errChanged or errGone.
func (r *body) Read(p []byte) (int, error) {
	for {
		if r.at == r.object.size {
			return 0, io.EOF
		}
		err := r.reach()
		if err == nil {
			var n int
			n, err = r.read(p[:min(int64(len(p)), r.object.size-r.at)])
			if n > 0 {
				r.tries = 0
				return n, nil
			}
		}
		if err == nil {
			continue
		}
		if errors.Is(err, errChanged) || errors.Is(err, errGone) {
			return 0, err
		}
		_ = r.Close()
		if r.tries++; r.tries == maxTries || r.ctx.Err() != nil {
			return 0, unreadable{fmt.Errorf("read s3://%s/%s: %w", r.source.job.Bucket, r.object.key, err)}
		}
		select {
		case <-r.ctx.Done():
		case <-time.After(100 * time.Millisecond << r.tries):
		}
	}
}

// reach opens the object where reading has come to.
func (r *body) reach() error {
	if r.in != nil {
		return nil
	}
	in := &s3.GetObjectInput{Bucket: &r.source.job.Bucket, Key: &r.object.key, IfMatch: &r.object.etag}
	if r.at > 0 {
		from := fmt.Sprintf("bytes=%d-", r.at)
		in.Range = &from
	}
	ctx, cancel := context.WithCancel(r.ctx)
	stalled := time.AfterFunc(r.source.options.AttemptTimeout, cancel)
	defer stalled.Stop()
	out, err := r.source.options.Get(ctx, r.source.api, in)
	switch objects.Status(err) {
	case http.StatusPreconditionFailed:
		err = errChanged
	case http.StatusNotFound:
		err = errGone
	}
	if err != nil {
		cancel()
		return err
	}
	r.in, r.cancel = out.Body, cancel
	return nil
}

// read gives up when nothing comes for the time of an attempt.
func (r *body) read(p []byte) (int, error) {
	stalled := time.AfterFunc(r.source.options.AttemptTimeout, r.cancel)
	defer stalled.Stop()
	n, err := r.in.Read(p)
	r.at += int64(n)
	if err == io.EOF && r.at < r.object.size {
		err = io.ErrUnexpectedEOF
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// Close gives the connection back.
func (r *body) Close() error {
	if r.in == nil {
		return nil
	}
	err := r.in.Close()
	r.cancel()
	r.in = nil
	return err
}

const (
	// Objects up to smallObject are fetched while those before them are read, some at a
	// time: with many small ones the way to S3 would be most of the time.
	smallObject = 512 << 10
	fetchAhead  = 8
)

// fetched is an object, or a promise of one.
type fetched struct {
	object
	done chan struct{} // nil: too large to be fetched ahead
	data []byte
	err  error
}

// fetcher fetches the objects of a batch ahead.
type fetcher struct {
	queue  chan *fetched
	cancel context.CancelFunc
	wait   sync.WaitGroup
}

func (s *source) fetch(ctx context.Context, list []object) *fetcher {
	ctx, cancel := context.WithCancel(ctx)
	f := &fetcher{queue: make(chan *fetched, fetchAhead), cancel: cancel}
	f.wait.Go(func() {
		defer close(f.queue)
		for _, o := range list {
			next := &fetched{object: o}
			if o.size <= smallObject {
				next.done = make(chan struct{})
			}
			select {
			case f.queue <- next:
			case <-ctx.Done():
				return
			}
			if next.done != nil {
				f.wait.Go(func() {
					defer close(next.done)
					next.data, next.err = s.whole(ctx, o)
				})
			}
		}
	})
	return f
}

// next waits for the next object; nil behind the last one.
func (f *fetcher) next() *fetched {
	o := <-f.queue
	if o != nil && o.done != nil {
		<-o.done
	}
	return o
}

// stop gives up what was not asked for.
func (f *fetcher) stop() {
	f.cancel()
	for range f.queue { //nolint:revive // what is queued has no reader
	}
	f.wait.Wait()
}

func (s *source) whole(ctx context.Context, o object) ([]byte, error) {
	in := s.open(ctx, o)
	defer in.Close()
	data := make([]byte, o.size)
	if _, err := io.ReadFull(in, data); err != nil {
		return nil, err
	}
	return data, nil
}

// stream reads an object from its beginning to its end.
func (f *fetched) stream(ctx context.Context, s *source) (io.ReadCloser, error) {
	if f.done != nil {
		return io.NopCloser(bytes.NewReader(f.data)), f.err
	}
	return s.open(ctx, f.object), nil
}

// random reads an object here and there: a large one out of a file, which has no name
// and goes with the process.
func (f *fetched) random(ctx context.Context, s *source) (in io.ReaderAt, release func() error, err error) {
	if f.done != nil {
		return bytes.NewReader(f.data), func() error { return nil }, f.err
	}
	file, err := os.CreateTemp("", "tributary-backfill-*")
	if err != nil {
		return nil, nil, unreadable{fmt.Errorf("make room for an object: %w", err)}
	}
	release = file.Close
	from := s.open(ctx, f.object)
	defer from.Close()
	err = os.Remove(file.Name())
	if err == nil {
		_, err = io.Copy(file, from)
	}
	if err != nil {
		var inner unreadable
		if !errors.As(err, &inner) && !errors.Is(err, errChanged) && !errors.Is(err, errGone) {
			err = unreadable{fmt.Errorf("make room for an object: %w", err)}
		}
		return nil, nil, errors.Join(err, release())
	}
	return file, release, nil
}
