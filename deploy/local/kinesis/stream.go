package kinesis

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tributary/deploy/local/disk"
)

// reopenGap is how many numbers are left out at each open, so that numbers lost with the kernel's buffers in a power cut are not
// given a second time.
const reopenGap = 1 << 24

// A stream routes records to its shards. Its lock is held shared by puts and reads, alone by whatever changes the set of shards:
// so no record reaches a shard that is being closed.
type stream struct {
	dir     string
	opts    *Options
	prefix  string        // of all its sequence numbers
	numbers atomic.Uint64 // the last number given
	rates   *callRates
	stepAt  atomic.Int64 // when the next step of an update is due, in ms; 0: no update is under way

	subscriptions subscriptions

	mu       sync.RWMutex
	meta     streamMeta // Shards apart, which are in the shards
	shards   []*shard   // by id
	updating bool       // until the next step, which has nothing to do; an end of the process ends it too
	deleted  bool
	closed   bool
}

func (opts *Options) newStream(dir string, meta streamMeta) *stream {
	return &stream{dir: dir, opts: opts, meta: meta, prefix: fmt.Sprintf("49%034d", meta.CreatedMS), rates: opts.callRates()}
}

// createStream makes the stream under a temporary name: a crash leaves a whole stream or something that open sweeps.
func createStream(opts *Options, root string, meta streamMeta, shards int) (_ *stream, err error) {
	temp := filepath.Join(root, sweptPrefix+"new-"+meta.Name)
	if err := errors.Join(os.RemoveAll(temp), os.Mkdir(temp, 0o755)); err != nil {
		return nil, fmt.Errorf("create stream: %w", err)
	}
	st := opts.newStream(temp, meta)
	defer func() {
		if err != nil {
			err = errors.Join(err, st.close(), os.RemoveAll(temp))
		}
	}()
	for i := range shards {
		to := maxHashKey
		if i+1 < shards {
			to = divide(i+1, shards).before()
		}
		sm := shardMeta{ID: st.nextShardID(), From: divide(i, shards), To: to, Start: st.numbers.Add(1), OpenedMS: meta.CreatedMS}
		if err := st.addShard(sm); err != nil {
			return nil, err
		}
	}
	if err := st.save(); err != nil {
		return nil, err
	}
	dir := filepath.Join(root, streamPrefix+meta.Name)
	if err := os.Rename(temp, dir); err != nil {
		return nil, fmt.Errorf("create stream: %w", err)
	}
	st.move(dir)
	return st, disk.SyncDir(root)
}

// move tells everybody the stream's final directory. Open files follow a rename by themselves.
func (st *stream) move(dir string) {
	st.dir = dir
	for _, sh := range st.shards {
		sh.dir = filepath.Join(dir, sh.meta.ID)
		for i := range sh.segs {
			sh.segs[i].path = filepath.Join(sh.dir, filepath.Base(sh.segs[i].path))
		}
	}
}

func openStream(opts *Options, dir string) (*stream, error) {
	meta, err := loadMeta(dir)
	if err != nil {
		return nil, err
	}
	st := opts.newStream(dir, meta)
	known := map[string]bool{metaFile: true}
	var highest uint64
	for _, sm := range meta.Shards {
		known[sm.ID] = true
		sh, err := openShard(filepath.Join(dir, sm.ID), sm, opts.SegmentBytes, &st.numbers, opts.Log)
		if err != nil {
			return nil, errors.Join(err, st.close())
		}
		sh.limits = opts.limits()
		st.shards = append(st.shards, sh)
		highest = max(highest, sh.last, sm.Start, sm.End)
	}
	st.numbers.Store(highest + reopenGap)
	if meta.TargetShards != 0 {
		st.stepAt.Store(1) // at once
	}
	return st, sweepUnknown(dir, known, opts.Log)
}

// sweepUnknown removes what a crash left of a split that had not yet been written to the metadata.
func sweepUnknown(dir string, known map[string]bool, log *slog.Logger) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read stream directory: %w", err)
	}
	for _, e := range entries {
		if known[e.Name()] {
			continue
		}
		log.Warn("remove what an interrupted change left", "path", filepath.Join(dir, e.Name()))
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("sweep stream directory: %w", err)
		}
	}
	return nil
}

func (st *stream) nextShardID() string {
	id := shardID(st.meta.NextShard)
	st.meta.NextShard++
	return id
}

func (st *stream) addShard(sm shardMeta) error {
	sh, err := createShard(filepath.Join(st.dir, sm.ID), sm, st.opts.SegmentBytes, &st.numbers)
	if err != nil {
		return err
	}
	sh.limits = st.opts.limits()
	st.shards = append(st.shards, sh)
	return nil
}

func (st *stream) save() error {
	meta := st.meta
	meta.Shards = nil
	for _, sh := range st.shards {
		meta.Shards = append(meta.Shards, sh.meta)
	}
	return meta.save(st.dir)
}

func (st *stream) close() error {
	st.subscriptions.close()
	st.mu.Lock()
	defer st.mu.Unlock()
	st.closed = true
	var errs []error
	for _, sh := range st.shards {
		errs = append(errs, sh.close())
	}
	return errors.Join(errs...)
}

// usable says why the stream that was found is none any more.
func (st *stream) usable() error {
	if st.deleted {
		return noStream(st.meta.Name)
	}
	if st.closed {
		return errClosed
	}
	return nil
}

const (
	statusActive   = "ACTIVE"
	statusUpdating = "UPDATING"
)

func (st *stream) status() string {
	if st.meta.TargetShards != 0 || st.updating {
		return statusUpdating
	}
	return statusActive
}

// active refuses what a stream must be ACTIVE for.
func (st *stream) active() error {
	if status := st.status(); status != statusActive {
		return inUse("Stream %s under account %s not ACTIVE, instead in state %s", st.meta.Name, accountID, status)
	}
	return nil
}

// horizon is the arrival time before which records have expired, in ms.
func (st *stream) horizon(now time.Time) int64 {
	return max(st.meta.FloorMS, now.Add(-time.Duration(st.meta.RetentionHours)*time.Hour).UnixMilli())
}

func (st *stream) shard(id string) (*shard, bool) {
	i, ok := slices.BinarySearchFunc(st.shards, id, func(sh *shard, id string) int { return strings.Compare(sh.meta.ID, id) })
	if !ok {
		return nil, false
	}
	return st.shards[i], true
}

// owner is the open shard that owns k; the open shards cover the whole space.
func (st *stream) owner(k hashKey) *shard {
	for _, sh := range st.shards {
		if !sh.meta.closed() && sh.meta.owns(k) {
			return sh
		}
	}
	panic("kinesis: no open shard owns hash key " + k.String())
}

func (st *stream) open() (n int) {
	for _, sh := range st.shards {
		if !sh.meta.closed() {
			n++
		}
	}
	return n
}

// numberDigits is how many digits of a sequence number are the number.
const numberDigits = 20

// appendSequence writes a number as the service writes sequence numbers: 56 digits, here "49", the stream's creation time, the
// number. Those of a stream made anew under the same name are therefore greater.
func (st *stream) appendSequence(dst []byte, number uint64) []byte {
	var digits [numberDigits]byte
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = byte('0' + number%10)
		number /= 10
	}
	return append(append(dst, st.prefix...), digits[:]...)
}

func (st *stream) sequence(number uint64) string {
	return string(st.appendSequence(make([]byte, 0, 56), number))
}

// sequenceNumbers is the API reference's pattern for sequence numbers.
var sequenceNumbers = regexp.MustCompile(`^(0|[1-9]\d{0,128})$`)

// wellFormed refuses a text that could be no stream's sequence number. at names it in the answer.
func wellFormed(at, sequence string) error {
	if !sequenceNumbers.MatchString(sequence) {
		return validation("%s %q is not a decimal number of at most 129 digits", at, sequence)
	}
	return nil
}

// number reads a sequence number of this stream.
func (st *stream) number(sequence string) (uint64, error) {
	rest, ok := strings.CutPrefix(sequence, st.prefix)
	if !ok || len(rest) != numberDigits {
		return 0, errors.New("it did not come from this stream")
	}
	n, err := strconv.ParseUint(rest, 10, 64)
	if err != nil || n > st.numbers.Load() {
		return 0, errors.New("it did not come from this stream")
	}
	return n, nil
}

// trim deletes expired files, and the shards that are closed and have expired altogether.
func (st *stream) trim(now time.Time) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.usable() != nil {
		return nil
	}
	horizon := st.horizon(now)
	var errs []error
	kept := slices.Clone(st.shards)
	kept = slices.DeleteFunc(kept, func(sh *shard) bool { return sh.meta.expired(horizon) })
	if gone := len(st.shards) - len(kept); gone > 0 {
		before := st.shards
		st.shards = kept
		if err := st.save(); err != nil {
			st.shards = before
			return err
		}
		for _, sh := range before {
			if sh.meta.expired(horizon) {
				errs = append(errs, sh.close(), os.RemoveAll(sh.dir))
			}
		}
	}
	for _, sh := range st.shards {
		errs = append(errs, sh.trim(horizon))
	}
	return errors.Join(errs...)
}
