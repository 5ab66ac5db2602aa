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
	"tributary/stream/ecs"
	"tributary/stream/fluent"
	"tributary/stream/multiline"
	"tributary/stream/refused"
	"tributary/stream/spool"
)

// publisher stores records in the stream.
type publisher interface {
	// Publish returns nil when the record is stored, a Permanent error when it never
	// can be, and another error only when the publisher or ctx ends.
	Publish(ctx context.Context, r stream.Record) error
	Run(ctx context.Context) error
	// Called is when an attempt to store last ended, whichever way.
	Called() time.Time
	// MaxRecordBytes is the largest record that Publish takes now, at least
	// SmallRecordBytes; it may change.
	MaxRecordBytes() int64
	// Known reports whether the stream has ever been reached.
	Known() bool
}

// Forwarder receives lines on this instance and publishes them. Make one with New
// and Run it once.
type Forwarder struct {
	cfg       Config
	serverCfg fluent.Config
	spoolCfg  spool.Config
	rules     atomic.Pointer[Rules]
	grammars  multiline.Grammars
	joining   *schema.Classifier // names the services of grammars; the start's
	agent     *ecs.Agent         // nil: not asked
	out       publisher
	reg       prometheus.Registerer
	metrics   *metrics
	log       *slog.Logger
	disk      spool.Disk
	vitals    vitals
	listening chan struct{}
	addrs     []net.Addr
}

// New checks the configuration; it opens nothing.
func New(cfg Config, server fluent.Config, sp spool.Config, rules *Rules, out publisher, reg prometheus.Registerer, log *slog.Logger) (*Forwarder, error) {
	if err := errors.Join(cfg.Validate(), cfg.ValidateStop(server.Drain)); err != nil {
		return nil, err
	}
	if need := 2 * max(server.MaxRequestBytes, server.MaxDecompressedBytes); sp.PendingBytes < need {
		return nil, fmt.Errorf("spool.pending_bytes is %d, want at least %d: twice the largest request of the server", sp.PendingBytes, need)
	}
	grammars, err := cfg.Multiline.Compile()
	if err != nil {
		return nil, err
	}
	if cfg.Host == "" {
		if cfg.Host, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("find the host name: %w", err)
		}
	}
	var agent *ecs.Agent
	if cfg.ECS.Introspection != "" {
		agent = ecs.New(cfg.ECS, reg, log)
	}
	f := &Forwarder{
		cfg: cfg, agent: agent, serverCfg: server, spoolCfg: sp, grammars: grammars, joining: rules.classifier, out: out,
		reg: reg, metrics: newMetrics(reg), log: log, disk: spool.LocalDisk, listening: make(chan struct{}),
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
	stopReading func() // stops pump, lanes and what moves the cursor; may be called again
	spool       *spool.Spool
	lanes       *laneSet
	tracker     *tracker
	idle        atomic.Bool  // the pump has read all there is
	deaf        atomic.Bool  // the listeners close or are closed: no silence means anything
	held        atomic.Int64 // entries that open lines hold, as the pump last saw
	arrived     atomic.Int64 // bytes made durable
	encoders    encoders
	aside       *aside

	mu      sync.Mutex
	running map[laneName]*lane
	start   func(*lane) // starts a lane's goroutine

	saving sync.Mutex // the cursor is one's at a time
}

type laneName struct {
	epoch  schema.Epoch
	number uint32
}

// Run opens the spool and the listeners, then works until ctx ends. Stopping
// keeps the listeners open for ListenGrace, then drains for at most DrainTimeout;
// what is not stored by then stays in the spool for the next start.
func (f *Forwarder) Run(ctx context.Context) error {
	r, ghosts, err := f.open()
	if err != nil {
		return err
	}
	server, err := fluent.New(f.serverCfg, &intake{spool: r.spool, limit: f.spoolCfg.PendingBytes, lanes: r.lanes, arrived: &r.arrived, metrics: f.metrics}, f.reg, f.log)
	if err == nil {
		err = server.Listen()
	}
	if err != nil {
		return errors.Join(err, r.spool.Close())
	}
	f.addrs = server.Addrs()
	return r.work(ctx, server, ghosts)
}

// open recovers the spool.
func (f *Forwarder) open() (*run, []*ghost, error) {
	sp, err := spool.OpenOn(f.spoolCfg, f.disk, f.reg, f.log)
	if err != nil {
		return nil, nil, fmt.Errorf("open spool: %w", err)
	}
	position, state := sp.Start()
	rejects, err := refused.Open(f.spoolCfg.Dir, position, f.cfg.Rejects, f.disk, f.reg, f.log)
	if err != nil {
		return nil, nil, errors.Join(err, sp.Close())
	}
	ghosts, err := parseState(state)
	if err != nil {
		// Without its ghosts a line may come twice, in fragments. Refusing to start
		// would stop every container of the instance.
		f.log.Error("cursor state not understood, some cut lines may come twice", "err", err)
	}
	return &run{
		Forwarder: f, spool: sp, lanes: &laneSet{}, tracker: newTracker(position, ghosts), running: make(map[laneName]*lane),
		encoders: newEncoders(f.cfg.MaxLanes), aside: &aside{file: rejects},
	}, ghosts, nil
}

// work runs all parts and stops them one after the other: listeners, pump and
// lanes, cursor, producer, spool. A part that fails stops all.
func (f *run) work(ctx context.Context, server *fluent.Server, ghosts []*ghost) error {
	p := newParts(ctx, f.log)
	defer p.fail(nil)
	defer f.begin(p, ghosts)()
	if opened, err := f.openFirst(ctx, p); !opened {
		closed, cancel := context.WithCancel(p.failed)
		cancel()
		return errors.Join(err, server.Run(closed))
	}
	stopGrowing := p.start("lane balance", f.balance)
	stopServer := p.start("server", server.Run)
	f.vitals.spool = f.spool
	f.vitals.phase.Store(phaseServing)
	close(f.listening)

	f.waitFor(ctx, p.failed, nil)
	f.vitals.phase.Store(phaseStopping)
	f.log.Info("forwarder stops", "listen_grace", f.cfg.ListenGrace)
	f.waitFor(p.failed, p.failed, time.After(f.cfg.ListenGrace))
	// From here on the rest of a line cannot come, however alive its container is.
	// Ended now, a line in flight would be delivered in two fragments at every
	// restart; its beginning is safe in the spool and waits there for its end.
	f.deaf.Store(true)
	stopServer()
	stopGrowing()
	f.drain(p.failed)
	f.stopReading()
	if err := context.Cause(p.failed); err != nil {
		return err
	}
	return f.saveNow()
}

// begin starts what empties the spool. stop ends it in order.
func (f *run) begin(p *parts, ghosts []*ghost) (stop func()) {
	stopSpool := p.start("spool", f.spool.Run)
	stopProducer := p.start("producer", f.out.Run)
	stopLanes := p.start("lanes", func(ctx context.Context) error { return f.deliver(ctx, ghosts) })
	stopSaver := p.start("cursor", f.saveCursor)
	stopDropping := p.start("dropper", f.dropOldest)
	f.stopReading = func() { stopLanes(); stopSaver(); stopDropping() }
	return func() { f.stopReading(); stopProducer(); f.aside.file.Close(); stopSpool() }
}

// openFirst opens the first lane. A full disk lets it wait until the other parts,
// which run already, have made room; so it ends with ctx too, without an error.
func (f *run) openFirst(ctx context.Context, p *parts) (opened bool, err error) {
	opening, cancel := context.WithCancel(p.failed)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	if err := f.lanes.grow(opening, f.spool); err != nil {
		if cause := context.Cause(p.failed); cause != nil {
			return false, cause
		}
		if ctx.Err() != nil {
			f.stopReading()
			return false, f.saveNow()
		}
		return false, err
	}
	f.metrics.lanes.Set(1)
	return true, nil
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
	p := &pump{f: f, rejoiner: newRejoiner(f.cfg, f.tracker, ghosts), origins: newOrigins(f.cfg.Host, f.agent, f.metrics), current: f.spool.Epoch()}
	group.Go(func() error { return p.loop(ctx) })
	if f.agent != nil {
		group.Go(func() error { return f.agent.Run(ctx) })
	}
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
	l := newLane(e, number, key, f.cfg, f.out, f.tracker, f.metrics, &f.vitals, f.encoders, f.aside, f.log)
	l.past = e != f.spool.Epoch()
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
		position, err := f.save(saved)
		if err != nil {
			f.log.Warn("cursor not saved, more is read again after a crash", "err", err)
			continue
		}
		saved = position
	}
}

// save saves the cursor, unless it is where it was.
func (f *run) save(saved uint64) (uint64, error) {
	f.saving.Lock()
	defer f.saving.Unlock()
	position, state := f.tracker.cursor()
	if position == saved {
		return position, nil
	}
	return position, f.spool.SetCursor(position, state)
}

func (f *run) saveNow() error {
	f.saving.Lock()
	defer f.saving.Unlock()
	position, state := f.tracker.cursor()
	if err := f.spool.SetCursor(position, state); err != nil {
		return fmt.Errorf("save cursor: %w", err)
	}
	return nil
}

// dropOldest gives up the oldest entries of a full spool, if the operator chose
// that.
func (f *run) dropOldest(ctx context.Context) error {
	again := make(<-chan time.Time)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.spool.Full():
		case <-again:
		}
		f.saving.Lock()
		position, err := f.spool.DropOldest(f.tracker.state)
		f.tracker.drop(position)
		f.saving.Unlock()
		if err != nil {
			f.log.Error("spool is full and nothing could be dropped", "err", err)
			again = time.After(saveEvery)
		}
	}
}
