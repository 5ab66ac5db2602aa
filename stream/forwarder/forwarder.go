package forwarder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"tributary/schema"
	"tributary/stream"
	"tributary/stream/fluent"
	"tributary/stream/spool"
)

// publisher stores records in the stream.
type publisher interface {
	// Publish returns nil when the record is stored, a Permanent error when it never
	// can be, and another error only when the publisher or ctx ends.
	Publish(ctx context.Context, r stream.Record) error
	Run(ctx context.Context) error
}

// Forwarder receives lines on this instance and publishes them. Make one with New
// and Run it once.
type Forwarder struct {
	cfg       Config
	serverCfg fluent.Config
	spoolCfg  spool.Config
	rules     atomic.Pointer[Rules]
	out       publisher
	reg       prometheus.Registerer
	metrics   *metrics
	log       *slog.Logger
	listening chan struct{}
	addrs     []net.Addr
}

// New checks the configuration; it opens nothing.
func New(cfg Config, server fluent.Config, sp spool.Config, rules *Rules, out publisher, reg prometheus.Registerer, log *slog.Logger) (*Forwarder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if need := 2 * max(server.MaxRequestBytes, server.MaxDecompressedBytes); sp.PendingBytes < need {
		return nil, fmt.Errorf("spool.pending_bytes is %d, want at least %d: twice the largest request of the server", sp.PendingBytes, need)
	}
	if cfg.Host == "" {
		var err error
		if cfg.Host, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("find the host name: %w", err)
		}
	}
	f := &Forwarder{
		cfg: cfg, serverCfg: server, spoolCfg: sp, out: out,
		reg: reg, metrics: newMetrics(reg), log: log, listening: make(chan struct{}),
	}
	f.SetRules(rules)
	return f, nil
}

// Listening is closed when the forwarder accepts connections at Addrs.
func (f *Forwarder) Listening() <-chan struct{} { return f.listening }

// Addrs is where the forwarder listens; call it after Listening.
func (f *Forwarder) Addrs() []net.Addr { return f.addrs }

// run is what one Run holds.
type run struct {
	*Forwarder
	spool    *spool.Spool
	lanes    *laneSet
	tracker  *tracker
	encoders encoders
	idle     atomic.Bool  // the pump has read all there is
	deaf     atomic.Bool  // the listeners close or are closed: no silence means anything
	held     atomic.Int64 // entries that open lines hold, as the pump last saw
	arrived  atomic.Int64 // bytes made durable

	mu      sync.Mutex
	running map[laneName]*lane
	start   func(*lane) // starts a lane's goroutine
}

type laneName struct {
	epoch  schema.Epoch
	number uint32
}

// Run opens the spool and the listeners, then works until ctx ends. Stopping
// keeps the listeners open for ListenGrace, then drains for at most DrainTimeout;
// what is not stored by then stays in the spool for the next start.
func (f *Forwarder) Run(ctx context.Context) error {
	sp, err := spool.Open(f.spoolCfg, f.reg, f.log)
	if err != nil {
		return fmt.Errorf("open spool: %w", err)
	}
	position, state := sp.Start()
	ghosts, err := parseState(state)
	if err != nil {
		// Without its ghosts a line may come twice, in fragments. Refusing to start
		// would stop every container of the instance.
		f.log.Error("cursor state not understood, some cut lines may come twice", "err", err)
	}
	r := &run{
		Forwarder: f, spool: sp, lanes: &laneSet{}, tracker: newTracker(position, ghosts), running: make(map[laneName]*lane),
		encoders: newEncoders(),
	}
	server, err := fluent.New(f.serverCfg, &intake{sp, f.spoolCfg.PendingBytes, r.lanes, &r.arrived, f.metrics}, f.reg, f.log)
	if err == nil {
		err = server.Listen()
	}
	if err != nil {
		return errors.Join(err, sp.Close())
	}
	f.addrs = server.Addrs()
	return r.work(ctx, server, ghosts)
}

// work runs all parts and stops them one after the other: listeners, pump and
// lanes, cursor, producer, spool. A part that fails stops all.
func (f *run) work(ctx context.Context, server *fluent.Server, ghosts []*ghost) error {
	base := context.WithoutCancel(ctx) // each part is stopped by its own cancel, in order
	failed, fail := context.WithCancelCause(base)
	defer fail(nil)
	part := func(name string, body func(context.Context) error) (stop func()) {
		partCtx, cancel := context.WithCancel(failed)
		done := make(chan struct{})
		go func() {
			defer close(done)
			err := body(partCtx)
			switch {
			case err == nil:
			case partCtx.Err() == nil:
				fail(fmt.Errorf("%s: %w", name, err))
			case !errors.Is(err, context.Canceled) && !errors.Is(err, stream.ErrStopped) && !errors.Is(err, spool.ErrClosed):
				f.log.Error("a part of the forwarder did not stop cleanly", "part", name, "err", err)
			}
		}()
		return func() { cancel(); <-done }
	}

	stopSpool := part("spool", f.spool.Run)
	defer stopSpool()
	if err := f.lanes.grow(failed, f.spool); err != nil {
		fail(err)
		return err
	}
	f.metrics.lanes.Set(1)
	stopProducer := part("producer", f.out.Run)
	defer stopProducer()
	stopLanes := part("lanes", func(ctx context.Context) error { return f.deliver(ctx, ghosts) })
	defer stopLanes()
	stopSaver := part("cursor", f.saveCursor)
	stopGrowing := part("lane balance", f.balance)
	stopServer := part("server", server.Run)
	close(f.listening)

	f.waitFor(ctx, failed, nil)
	f.log.Info("forwarder stops", "listen_grace", f.cfg.ListenGrace)
	f.waitFor(failed, failed, time.After(f.cfg.ListenGrace))
	// From here on the rest of a line cannot come, however alive its container is.
	// Ended now, a line in flight would be delivered in two fragments at every
	// restart; its beginning is safe in the spool and waits there for its end.
	f.deaf.Store(true)
	stopServer()
	stopGrowing()
	f.drain(failed)
	stopLanes()
	stopSaver()
	if err := context.Cause(failed); err != nil {
		return err
	}
	return f.saveNow()
}

// waitFor returns when one of the three ends.
func (f *run) waitFor(a, b context.Context, c <-chan time.Time) {
	select {
	case <-a.Done():
	case <-b.Done():
	case <-c:
	}
}

// deliver runs the pump and the lanes it fills.
func (f *run) deliver(ctx context.Context, ghosts []*ghost) error {
	group, ctx := errgroup.WithContext(ctx)
	f.start = func(l *lane) { group.Go(func() error { return l.run(ctx) }) }
	p := &pump{f: f, rejoiner: newRejoiner(f.cfg, f.tracker, ghosts), origins: newOrigins(f.cfg.Host, f.metrics), current: f.spool.Epoch()}
	group.Go(func() error { return p.loop(ctx) })
	return group.Wait()
}

// lane returns the running lane, starting it at the first use.
func (f *run) lane(e schema.Epoch, number uint32) *lane {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := laneName{e, number}
	if l := f.running[name]; l != nil {
		return l
	}
	key, ok := f.spool.LaneKey(e, number)
	if !ok {
		// Lost with a corrupt segment. Any key serves as long as it is the same at
		// every start, so that a record sent before and again lands on one shard.
		key = fmt.Sprintf("%s-%d", e, number)
		f.log.Warn("partition key of a lane lost, derived anew", "epoch", e, "lane", number)
	}
	l := newLane(e, number, key, f.cfg, f.out, f.tracker, f.metrics, f.encoders, f.log)
	f.running[name] = l
	f.start(l)
	return l
}

// endLanes ends the lanes of an earlier life: they drain and return.
func (f *run) endLanes(e schema.Epoch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, l := range f.running {
		if name.epoch == e && e != f.spool.Epoch() {
			l.end()
		}
	}
}

// drain waits until everything in the spool is stored, lines without their end
// excepted, or DrainTimeout.
func (f *run) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.DrainTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	// Twice in a row: between reading an entry and registering it there is a moment
	// in which nothing seems left.
	for quiet := 0; quiet < 2; {
		if f.drained() {
			quiet++
		} else {
			quiet = 0
		}
		f.hurry()
		select {
		case <-ctx.Done():
			f.log.Warn("drain timeout, the rest stays in the spool", "entries", f.tracker.undone())
			return
		case <-tick.C:
		}
	}
}

// drained reports whether the pump has read all and all of it is stored, apart from
// what lies behind the first piece of a line that stays open.
func (f *run) drained() bool {
	return f.idle.Load() && f.tracker.undone() == int(f.held.Load())
}

func (f *run) hurry() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.running {
		l.rush()
	}
}

// saveEvery is how often the cursor is saved. What is read again after a crash is
// dropped by the consumers, so this only bounds that work.
const saveEvery = time.Second

func (f *run) saveCursor(ctx context.Context) error {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	saved, _ := f.spool.Start()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		f.metrics.spoolBehind.Set(float64(f.tracker.undone()))
		position, state := f.tracker.cursor()
		if position == saved {
			continue
		}
		if err := f.spool.SetCursor(position, state); err != nil {
			f.log.Warn("cursor not saved, more is read again after a crash", "err", err)
			continue
		}
		saved = position
	}
}

func (f *run) saveNow() error {
	position, state := f.tracker.cursor()
	if err := f.spool.SetCursor(position, state); err != nil {
		return fmt.Errorf("save cursor: %w", err)
	}
	return nil
}
