package kinesis

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxConsumers = 20 // "With On-demand Standard and Provisioned streams, you can register up to 20 consumers per stream"
	maxCreating  = 5  // "only 5 consumers can be created simultaneously"
	// consumerCreation is how long a consumer is CREATING; the service takes some seconds.
	consumerCreation = 100 * time.Millisecond

	registersPerSecond   = 5 // per account, the others per stream
	deregistersPerSecond = 5
	describesPerSecond   = 20
	listsPerSecond       = 5
)

// consumerMeta is a registered consumer as it is stored.
type consumerMeta struct {
	Name      string `json:"name"`
	CreatedMS int64  `json:"created_ms"`
}

func (m consumerMeta) active(now time.Time) bool {
	return now.UnixMilli() >= m.CreatedMS+consumerCreation.Milliseconds()
}

// arn contains the creation time, so that a consumer made anew has another one.
func (m consumerMeta) arn(stream string) string {
	return arn(stream) + "/consumer/" + m.Name + ":" + strconv.FormatInt(m.CreatedMS, 10)
}

type consumerOutput struct {
	ConsumerName              string
	ConsumerARN               string
	ConsumerStatus            string
	ConsumerCreationTimestamp timestamp
}

func (m consumerMeta) describe(stream string, now time.Time) consumerOutput {
	status := "CREATING"
	if m.active(now) {
		status = statusActive
	}
	return consumerOutput{m.Name, m.arn(stream), status, timestamp(m.CreatedMS)}
}

type registerStreamConsumerInput struct {
	StreamARN    string
	ConsumerName string
}

type registerStreamConsumerOutput struct{ Consumer consumerOutput }

func (c *call) registerStreamConsumer(in registerStreamConsumerInput) (out registerStreamConsumerOutput, err error) {
	if !streamNames.MatchString(in.ConsumerName) {
		return out, validation("ConsumerName %q: want 1 to 128 of a-z, A-Z, 0-9, _, . and -", in.ConsumerName)
	}
	if err := c.svc.rates.take("RegisterStreamConsumer", registersPerSecond, c.now); err != nil {
		return out, err
	}
	if n := c.svc.creating(c.now); n >= maxCreating {
		return out, limitExceeded("%d consumers are in the CREATING status under account %s, more are not allowed.", n, accountID)
	}
	st, unlock, err := c.change(streamRef{StreamARN: in.StreamARN})
	if err != nil {
		return out, err
	}
	defer unlock()
	if _, exists := st.consumer(in.ConsumerName); exists {
		return out, inUse("Consumer %s under stream %s already exists for account %s.", in.ConsumerName, st.meta.Name, accountID)
	}
	if n := len(st.meta.Consumers); n >= maxConsumers {
		return out, limitExceeded("Stream %s has %d registered consumers, more are not allowed.", st.meta.Name, n)
	}
	before, beforeMS := st.meta.Consumers, st.meta.ConsumerMS
	st.meta.ConsumerMS = max(beforeMS+1, c.now.UnixMilli())
	made := consumerMeta{in.ConsumerName, st.meta.ConsumerMS}
	st.meta.Consumers = append(slices.Clone(before), made)
	if err := st.save(); err != nil {
		st.meta.Consumers, st.meta.ConsumerMS = before, beforeMS
		return out, err
	}
	out.Consumer = made.describe(st.meta.Name, c.now)
	return out, nil
}

// creating counts the consumers in the CREATING status.
func (s *Service) creating(now time.Time) (n int) {
	all, _ := s.streamsAfter("", math.MaxInt)
	for _, st := range all {
		st.mu.RLock()
		for _, m := range st.meta.Consumers {
			if !m.active(now) {
				n++
			}
		}
		st.mu.RUnlock()
	}
	return n
}

func (st *stream) consumer(name string) (consumerMeta, bool) {
	i := slices.IndexFunc(st.meta.Consumers, func(m consumerMeta) bool { return m.Name == name })
	if i < 0 {
		return consumerMeta{}, false
	}
	return st.meta.Consumers[i], true
}

// consumerRef names a consumer: by its ARN, by the stream's and its name, or by all three.
type consumerRef struct {
	ConsumerARN  string
	ConsumerName string
	StreamARN    string
}

var consumerARNs = regexp.MustCompile(`^(arn:aws[a-z-]*:kinesis:[^:]*:[^:]*:stream/[a-zA-Z0-9_.-]{1,128})/consumer/([a-zA-Z0-9_.-]{1,128}):(\d{1,18})$`)

// wanted is what a consumerRef says. createdMS is 0 when the ARN is not given.
type wanted struct {
	stream    streamRef
	name      string
	createdMS int64
}

func (ref consumerRef) parse() (wanted, error) {
	if ref.ConsumerARN == "" {
		if ref.StreamARN == "" || ref.ConsumerName == "" {
			return wanted{}, invalidArgument("Either ConsumerARN or both StreamARN and ConsumerName must be provided.")
		}
		return wanted{streamRef{StreamARN: ref.StreamARN}, ref.ConsumerName, 0}, nil
	}
	match := consumerARNs.FindStringSubmatch(ref.ConsumerARN)
	if match == nil {
		return wanted{}, validation("ConsumerARN %q is not the ARN of a consumer", ref.ConsumerARN)
	}
	if ref.StreamARN != "" && ref.StreamARN != match[1] || ref.ConsumerName != "" && ref.ConsumerName != match[2] {
		return wanted{}, invalidArgument("ConsumerARN %s, StreamARN %q and ConsumerName %q name different consumers.", ref.ConsumerARN, ref.StreamARN, ref.ConsumerName)
	}
	ms, _ := strconv.ParseInt(match[3], 10, 64) // 18 digits always fit
	return wanted{streamRef{StreamARN: match[1]}, match[2], ms}, nil
}

// find gives the consumer, or says that there is none.
func (w wanted) find(st *stream) (consumerMeta, error) {
	m, ok := st.consumer(w.name)
	if !ok || w.createdMS != 0 && w.createdMS != m.CreatedMS {
		return consumerMeta{}, notFound("Consumer %s in stream %s under account %s not found.", w.name, st.meta.Name, accountID)
	}
	return m, nil
}

type consumerDescription struct {
	consumerOutput
	StreamARN string
}

type describeStreamConsumerOutput struct{ ConsumerDescription consumerDescription }

func (c *call) describeStreamConsumer(in consumerRef) (out describeStreamConsumerOutput, err error) {
	want, err := in.parse()
	if err != nil {
		return out, err
	}
	st, unlock, err := c.stream(want.stream)
	if err != nil {
		return out, err
	}
	defer unlock()
	if err := st.rates.take("DescribeStreamConsumer", describesPerSecond, c.now); err != nil {
		return out, err
	}
	m, err := want.find(st)
	if err != nil {
		return out, err
	}
	out.ConsumerDescription = consumerDescription{m.describe(st.meta.Name, c.now), arn(st.meta.Name)}
	return out, nil
}

func (c *call) deregisterStreamConsumer(in consumerRef) (none, error) {
	want, err := in.parse()
	if err != nil {
		return none{}, err
	}
	st, unlock, err := c.change(want.stream)
	if err != nil {
		return none{}, err
	}
	defer unlock()
	if err := st.rates.take("DeregisterStreamConsumer", deregistersPerSecond, c.now); err != nil {
		return none{}, err
	}
	m, err := want.find(st)
	if err != nil {
		return none{}, err
	}
	before := st.meta.Consumers
	st.meta.Consumers = slices.DeleteFunc(slices.Clone(before), func(o consumerMeta) bool { return o.Name == m.Name })
	if err := st.save(); err != nil {
		st.meta.Consumers = before
		return none{}, err
	}
	st.subscriptions.end(func(s *subscription) bool { return s.consumer.Name == m.Name },
		notFound("Consumer %s in stream %s under account %s was deregistered.", m.Name, st.meta.Name, accountID))
	return none{}, nil
}

type listStreamConsumersInput struct {
	StreamARN               string
	MaxResults              *int
	NextToken               string
	StreamCreationTimestamp *timestamp
}

type listStreamConsumersOutput struct {
	Consumers []consumerOutput
	NextToken string `json:",omitempty"`
}

// consumersPage is the content of a NextToken: which listing goes on, and where.
type consumersPage struct {
	Stream    string
	CreatedMS int64
	AtMS      int64 // when the token was given
	After     string
}

func (c *call) listStreamConsumers(in listStreamConsumersInput) (out listStreamConsumersOutput, err error) {
	limit := 100 // "if you specify a value greater than 100, at most 100 results are returned"
	if in.MaxResults != nil {
		if *in.MaxResults < 1 || *in.MaxResults > 10_000 {
			return out, validation("MaxResults %d: want 1 to 10000", *in.MaxResults)
		}
		limit = min(limit, *in.MaxResults)
	}
	page, err := c.consumersPage(in)
	if err != nil {
		return out, err
	}
	st, unlock, err := c.stream(streamRef{StreamARN: in.StreamARN, StreamName: page.Stream})
	if err != nil {
		return out, err
	}
	defer unlock()
	if err := st.rates.take("ListStreamConsumers", listsPerSecond, c.now); err != nil {
		return out, err
	}
	if page.CreatedMS != 0 && page.CreatedMS != st.meta.CreatedMS {
		return out, notFound("Stream %s created at %s not found.", st.meta.Name, timestamp(page.CreatedMS))
	}
	all := slices.SortedFunc(slices.Values(st.meta.Consumers), func(a, b consumerMeta) int { return strings.Compare(a.Name, b.Name) })
	out.Consumers = []consumerOutput{}
	for _, m := range all {
		if m.Name <= page.After {
			continue
		}
		if len(out.Consumers) == limit {
			out.NextToken = sealToken(consumersToken, consumersPage{st.meta.Name, st.meta.CreatedMS, c.now.UnixMilli(), out.Consumers[limit-1].ConsumerName})
			break
		}
		out.Consumers = append(out.Consumers, m.describe(st.meta.Name, c.now))
	}
	return out, nil
}

func (c *call) consumersPage(in listStreamConsumersInput) (page consumersPage, err error) {
	if in.NextToken == "" {
		if in.StreamCreationTimestamp != nil {
			page.CreatedMS = int64(*in.StreamCreationTimestamp)
		}
		return page, nil
	}
	if in.StreamCreationTimestamp != nil {
		return page, invalidArgument("NextToken and StreamCreationTimestamp cannot be provided together.")
	}
	if err := openToken(in.NextToken, consumersToken, &page); err != nil {
		return page, invalidArgument("NextToken is invalid: %v", err)
	}
	if age := c.now.Sub(time.UnixMilli(page.AtMS)); age > tokenLife {
		return page, refuse("ExpiredNextTokenException", "NextToken expired: it was given %s ago, its life is %s", age, tokenLife)
	}
	return page, nil
}
