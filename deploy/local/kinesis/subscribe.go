package kinesis

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"tributary/deploy/local/rate"
)

const (
	// subscriptionLife: "for up to 5 minutes, after which time you need to call SubscribeToShard again".
	subscriptionLife = 5 * time.Minute
	// subscribeAgain: "If you call SubscribeToShard again with the same ConsumerARN and ShardId within 5 seconds of a successful call,
	// you'll get a ResourceInUseException".
	subscribeAgain = 5 * time.Second
	// subscribesPerSecond: "one call to SubscribeToShard per second per registered consumer per shard".
	subscribesPerSecond = 1
)

// errEnded ends subscriptions as the end of their time does.
var errEnded = errors.New("the subscription's time is over")

type startingPosition struct {
	Type           string
	SequenceNumber *string
	Timestamp      *timestamp
}

type subscribeToShardInput struct {
	ConsumerARN      string
	ShardID          string `json:"ShardId"`
	StartingPosition *startingPosition
	DryRun           bool
}

// A subscription is one answer to SubscribeToShard while it is being written. The call's goroutine owns it, cancel apart.
type subscription struct {
	svc      *Service
	stream   *stream
	shard    *shard
	consumer consumerMeta
	position uint64 // of the next record to push
	pushed   *pushed

	done   context.Context // ends with the call, or by cancel
	cancel func(why error)
}

// subscribeToShard opens the subscription; serve writes it, outside of all locks.
func (c *call) subscribeToShard(in subscribeToShardInput) (none, error) {
	if in.DryRun {
		return none{}, unsupported("DryRun")
	}
	if c.svc.unsubscribed.Load() {
		return none{}, errClosed
	}
	if in.StartingPosition == nil {
		return none{}, validation("StartingPosition is missing")
	}
	want, err := consumerRef{ConsumerARN: in.ConsumerARN}.parse()
	if err != nil {
		return none{}, err
	}
	st, unlock, err := c.stream(want.stream)
	if err != nil {
		return none{}, err
	}
	defer unlock()
	m, err := want.find(st)
	if err != nil {
		return none{}, err
	}
	if !m.active(c.now) {
		return none{}, inUse("Consumer %s in stream %s under account %s not ACTIVE, instead in state CREATING", m.Name, st.meta.Name, accountID)
	}
	sh, ok := st.shard(in.ShardID)
	if !ok || sh.meta.expired(st.horizon(c.now)) {
		return none{}, noShard(st, in.ShardID)
	}
	at := in.StartingPosition
	position, err := c.position(st, sh, getShardIteratorInput{ShardIteratorType: at.Type, StartingSequenceNumber: at.SequenceNumber, Timestamp: at.Timestamp})
	if err != nil {
		return none{}, err
	}
	// No record of the shard has its first number or a lower one: so the number before the position is always one of the shard's.
	s := &subscription{svc: c.svc, stream: st, shard: sh, consumer: m, position: max(position, sh.meta.Start+1)}
	timed, stop := context.WithTimeoutCause(c.ctx, c.svc.opts.SubscriptionLife, errEnded)
	done, cancel := context.WithCancelCause(timed)
	s.done, s.cancel = done, func(why error) { cancel(why); stop() }
	if err := st.subscriptions.admit(s, c.svc.opts, c.now); err != nil {
		s.cancel(nil)
		return none{}, err
	}
	c.opened = s
	return none{}, nil
}

// subscribed says which consumer reads which shard.
type subscribed struct {
	consumer consumerMeta
	shard    string
}

// pushed is what is remembered of a consumer's subscriptions to a shard.
type pushed struct {
	current *subscription // nil: it has ended
	since   time.Time     // of the last successful call
	calls   rate.Bucket
	mu      sync.Mutex // guards bytes
	bytes   rate.Bucket
}

// subscriptions are those of one stream. Its methods may be called from any goroutine.
type subscriptions struct {
	mu     sync.Mutex
	known  map[subscribed]*pushed
	closed bool // no more are admitted
}

// admit makes s the subscription of its consumer and shard. One that has been there long enough is taken over.
func (r *subscriptions) admit(s *subscription, opts *Options, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errClosed
	}
	again := min(subscribeAgain, opts.SubscriptionLife)
	for k, p := range r.known { // so that shards and consumers that are gone leave nothing behind
		if p.current == nil && now.Sub(p.since) >= again {
			delete(r.known, k)
		}
	}
	key := subscribed{s.consumer, s.shard.meta.ID}
	p := r.known[key]
	if p == nil {
		p = &pushed{calls: rate.Bucket{Rate: subscribesPerSecond}, bytes: rate.Bucket{Rate: readBytesPerSecond}}
	}
	if opts.Limits && !p.calls.Takes(1, now) {
		return limitExceeded("Rate exceeded for consumer %s and shard %s in stream %s under account %s.", s.consumer.Name, s.shard.meta.ID, s.stream.meta.Name, accountID)
	}
	p.calls.Take(1)
	if !p.since.IsZero() && now.Sub(p.since) < again {
		return inUse("Another active subscription exists for this consumer: consumer %s, shard %s, stream %s, account %s.", s.consumer.Name, s.shard.meta.ID, s.stream.meta.Name, accountID)
	}
	if p.current != nil {
		p.current.cancel(inUse("Another subscription of consumer %s to shard %s has taken over.", s.consumer.Name, s.shard.meta.ID))
	}
	p.current, p.since = s, now
	if r.known == nil {
		r.known = make(map[subscribed]*pushed)
	}
	r.known[key] = p
	s.pushed = p
	return nil
}

// leave says that s has ended.
func (r *subscriptions) leave(s *subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.pushed.current == s {
		s.pushed.current = nil
	}
}

// end ends the subscriptions that match, for that reason.
func (r *subscriptions) end(match func(*subscription) bool, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.known {
		if p.current != nil && match(p.current) {
			p.current.cancel(why)
		}
	}
}

func anySubscription(*subscription) bool { return true }

// close ends all subscriptions as their time would, and admits no more.
func (r *subscriptions) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.end(anySubscription, errEnded)
}

// EndSubscriptions ends all answers to SubscribeToShard as if their time were over, and refuses further calls. Whoever shuts a server
// down calls it first: the answers would go on for minutes.
func (s *Service) EndSubscriptions() {
	s.unsubscribed.Store(true) // for streams made from now on
	all, _ := s.streamsAfter("", math.MaxInt)
	for _, st := range all {
		st.subscriptions.close()
	}
}
