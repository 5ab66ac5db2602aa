package forwarder

import (
	"context"
	"errors"
	"time"

	"tributary/schema"
	"tributary/schema/edit"
	"tributary/schema/filter"
	"tributary/stream/multiline"
	"tributary/stream/spool"
)

const (
	// tickEvery is how often open lines are looked at.
	tickEvery = 100 * time.Millisecond
	// nearHead is how young the entry just read must be for the pump to count as
	// keeping up.
	nearHead = time.Second
	// ticklessEntries is how many entries may be handled between two looks at the time.
	ticklessEntries = 32
	// readAgain is the pause before a disk that could not be read is tried again.
	readAgain = time.Second
)

// pump reads the spool, rejoins, classifies and puts events on their lanes. One
// goroutine.
type pump struct {
	f        *run
	rejoiner *rejoiner
	origins  *origins
	attrs    attributes
	indexes  []uint64     // a block of them, of which one is taken for each whole line
	current  schema.Epoch // of the entries being read
	lastTick time.Time

	work     edit.Work
	event    schema.Event // being edited
	subject  filter.Subject
	counted  *Rules        // whose counters are
	counters []ruleCounter // by rule
	blind    bool          // the spool could not be read when last tried
	waited   bool          // the entry just read was waited for
	unticked int           // entries since the last tick
}

func (p *pump) loop(ctx context.Context) error {
	p.lastTick = time.Now()
	for {
		item, head, err := p.next(ctx)
		if err != nil {
			return err
		}
		if !head {
			if err := p.take(ctx, item); err != nil {
				return err
			}
		}
		// With each short line, asking for the time would be a twentieth of all work.
		if p.unticked++; !head && !p.waited && p.unticked < ticklessEntries {
			continue
		}
		p.unticked = 0
		if err := p.tick(head && !p.blind || !head && time.Since(time.Unix(0, item.Received)) < nearHead); err != nil {
			return err
		}
	}
}

// next returns the next entry, or head = true when lines are open and nothing
// comes for a tick.
func (p *pump) next(ctx context.Context) (item spool.Item, head bool, err error) {
	p.waited = !p.f.spool.Pending()
	if !p.waited {
		item, err = p.read(ctx)
		return item, false, err
	}
	p.f.vitals.pumped.Store(0)
	p.f.idle.Store(true)
	defer p.f.idle.Store(false)
	if p.rejoiner.waiting() == 0 {
		item, err = p.read(ctx)
		return item, false, err
	}
	wait, cancel := context.WithTimeout(ctx, tickEvery)
	defer cancel()
	item, err = p.read(wait)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return item, true, nil
	}
	return item, false, err
}

// read is the spool's Next. A disk that cannot be read is tried again: it may be
// mended, and what it holds was promised to be delivered.
func (p *pump) read(ctx context.Context) (spool.Item, error) {
	for {
		item, err := p.f.spool.Next(ctx)
		switch {
		case err == nil && p.blind:
			p.blind = false
			p.f.log.Info("spool can be read again")
		case err == nil:
		case ctx.Err() != nil:
			return item, ctx.Err()
		case errors.Is(err, spool.ErrClosed):
			return item, err
		default:
			if !p.blind {
				p.f.log.Error("spool cannot be read, nothing is published until it can", "err", err)
			}
			p.blind = true
			p.f.waitFor(ctx, ctx, time.After(readAgain))
			continue
		}
		return item, nil
	}
}

// tick lets the rejoiner's clock go on while the pump keeps up, the spool takes what
// arrives and the listeners are open, and asks for close markers. A tick never counts
// for more than twice its length: what a stalled process slept through is no silence of the containers.
func (p *pump) tick(keepsUp bool) error {
	now := time.Now()
	p.f.vitals.pumped.Store(now.UnixNano())
	elapsed := now.Sub(p.lastTick)
	if elapsed < tickEvery {
		return nil
	}
	p.lastTick = now
	if !keepsUp || p.f.deaf.Load() || p.f.spool.Stalled(tickEvery) || p.f.lanes.open.Load() == nil {
		return nil
	}
	for _, l := range p.rejoiner.tick(min(elapsed, 2*tickEvery)) {
		lane := p.f.lanes.pick([]byte(l.origin.ContainerID))
		if err := p.f.spool.Mark(lane, closeMark(l.mark())); err != nil {
			return err
		}
	}
	return nil
}

// showOpen shows what rejoining holds.
func (p *pump) showOpen() {
	p.f.held.Store(int64(p.rejoiner.held))
	p.f.metrics.openLines.Set(float64(p.rejoiner.count()))
	p.f.metrics.openBytes.Set(float64(p.rejoiner.bytes))
}

// take handles one entry.
func (p *pump) take(ctx context.Context, item spool.Item) error {
	if item.Epoch != p.current {
		p.f.endLanes(p.current) // nothing of an earlier life comes any more
		p.current = item.Epoch
	}
	if item.Gap {
		p.skip(item.Position)
	}
	index := p.f.tracker.add(item.Position, item.After)
	if item.Mark {
		key, err := parseCloseMark(item.Payload)
		if err != nil {
			return p.unreadable(ctx, item, index, err)
		}
		line, ok := p.rejoiner.closed(key, index, item.Position)
		p.showOpen()
		if ok {
			return p.emit(ctx, item, line)
		}
		return nil
	}
	a, err := parseArrival(item.Payload)
	if err != nil {
		return p.unreadable(ctx, item, index, err)
	}
	if err := p.attrs.read(a.record); err != nil {
		return p.unreadable(ctx, item, index, err)
	}
	origin := p.origins.of(&p.attrs, a.tag)
	key, cut := p.lineKey()
	grammar := p.grammar(origin)
	if !cut && grammar == nil {
		return p.emit(ctx, item, joined{line: p.attrs.line, origin: origin, time: a.time, received: item.Received, indexes: p.alone(index)})
	}
	one := piece{
		index: index, position: item.Position, key: key, grammar: grammar, ordinal: p.attrs.ordinal, last: p.attrs.last,
		data: p.attrs.line, origin: origin, time: a.time, received: item.Received, recent: item.Epoch == p.f.spool.Epoch(),
	}
	if grammar != nil {
		one.block = blockKey(p.attrs.containerID, p.attrs.source)
	}
	lines := p.rejoiner.take(one)
	p.showOpen()
	return p.emitAll(ctx, item, lines)
}

// grammar says how the container's lines are joined; nil: not at all. It comes from
// the entry and the configuration of the start alone, so that reading again joins the
// same lines.
func (p *pump) grammar(origin *schema.Origin) *multiline.Grammar {
	if len(p.f.grammars) == 0 || !p.attrs.hasLine || origin.ContainerID == "" {
		return nil
	}
	g, known := p.origins.grammars[origin]
	if !known {
		g = p.f.grammars.Of(p.f.joining.ServiceOf(origin))
		p.origins.grammars[origin] = g
	}
	return g
}

// placeStride is the distance between the places of an entry. It is more than a line
// has parts: 284, of 256 MiB and a piece of 16 MiB more.
const placeStride = spool.OffsetStride / uint64(places)

// emitAll emits the lines that the entry of item ended. One that it did not complete
// has an offset of its own below the entry's: the entry may be a line itself, or the
// first of one whose lines would then lie at or below an offset that consumers have,
// if they were ever joined otherwise.
func (p *pump) emitAll(ctx context.Context, item spool.Item, lines []ended) error {
	for _, l := range lines {
		at := item
		at.Offset -= uint64(l.place) * placeStride
		if err := p.emit(ctx, at, l.joined); err != nil {
			return err
		}
	}
	return nil
}

// skip goes on behind a gap, where the spool was full and dropped entries.
func (p *pump) skip(position uint64) {
	pieces, bytes := p.rejoiner.lose(position)
	p.f.metrics.lostPieces.Add(float64(pieces))
	if pieces > 0 {
		p.f.log.Warn("pieces of cut lines are dropped, their rest was dropped from the spool", "pieces", pieces, "bytes", bytes)
	}
	p.showOpen()
}

// lineKey says whether the entry just read is a piece, and of which line.
//
// Older Docker sends no partial id: all pieces but the last carry only
// partial_message, and the last nothing at all. There a line is known by
// container and source, and what follows its pieces there is its end.
func (p *pump) lineKey() (key string, cut bool) {
	a := &p.attrs
	if len(a.partialID) > 0 && a.partial {
		return string(a.containerID) + "/" + string(a.partialID), true
	}
	if len(a.containerID) == 0 {
		return "", false
	}
	if !a.partial && len(p.rejoiner.open) == 0 {
		return "", false // the usual case, without building the key
	}
	key = string(a.containerID) + "//" + string(a.source)
	if a.partial {
		return key, true
	}
	if p.rejoiner.open[key] != nil {
		a.last = true
		return key, true
	}
	return "", false
}

// emit classifies and edits a whole line and puts it on the lane of item, under item's
// offset: the entry that completed it. The line may be the spool's or the rejoiner's.
func (p *pump) emit(ctx context.Context, item spool.Item, line joined) error {
	rules := p.f.rules.Load()
	origin := p.origins.place(line.origin)
	v := rules.Classify(line.line, origin, line.time, line.received)
	if v.Service != "" {
		origin = p.origins.withService(origin, v.Service)
	}
	if line.flags&schema.FlagIncomplete != 0 {
		p.f.metrics.incomplete.Inc()
	}
	if line.capped != "" {
		p.f.metrics.capped.WithLabelValues(line.capped).Inc()
	}
	p.f.metrics.lines.Inc()
	p.f.metrics.lineBytes.Add(float64(len(line.line)))
	event := schema.Event{Time: v.Time, Kind: v.Kind, Flags: line.flags, Origin: origin, Line: line.line, Offset: item.Offset}
	l := p.f.lane(item.Epoch, item.Lane)
	if rules.Edits() {
		var goesOn bool
		if event.Line, goesOn = p.edit(rules, item.Epoch, item.Lane, event); !goesOn {
			l.raw.Add(int64(len(line.line)))
			p.f.tracker.done(line.indexes...) // nothing is to be stored
			return nil
		}
	}
	p.f.vitals.pumped.Store(0) // a full lane is the lane's fault
	return l.put(ctx, event, line.indexes, item.Position)
}

// unreadable keeps an entry that this version cannot take apart: the spool has
// verified its checksum, so a newer version wrote it. It goes out as a raw line,
// marked, rather than hold the cursor or be lost.
func (p *pump) unreadable(ctx context.Context, item spool.Item, index uint64, err error) error {
	p.f.metrics.unreadable.Inc()
	p.f.log.Error("spool entry not understood, kept as a raw line", "position", item.Position, "err", err)
	return p.emit(ctx, item, joined{
		line: item.Payload, flags: schema.FlagIncomplete, origin: &schema.Origin{Host: p.origins.host},
		time: item.Received, received: item.Received, indexes: p.alone(index),
	})
}

// alone is a list of one, without an allocation for each.
func (p *pump) alone(index uint64) []uint64 {
	if len(p.indexes) == cap(p.indexes) {
		p.indexes = make([]uint64, 0, 512)
	}
	n := len(p.indexes)
	p.indexes = append(p.indexes, index)
	return p.indexes[n : n+1 : n+1]
}
