package logs

import (
	"math"
	"slices"
	"strings"

	"tributary/deploy/local/awsjson"
)

type getLogEventsInput struct {
	groupRef
	LogStreamName string  `json:"logStreamName"`
	StartTime     *int64  `json:"startTime"`
	EndTime       *int64  `json:"endTime"`
	StartFromHead bool    `json:"startFromHead"`
	Limit         *int    `json:"limit"`
	NextToken     *string `json:"nextToken"`
}

type getLogEventsOutput struct {
	Events            []outputLogEvent `json:"events"`
	NextForwardToken  string           `json:"nextForwardToken"`
	NextBackwardToken string           `json:"nextBackwardToken"`
}

type outputLogEvent struct {
	Timestamp     int64  `json:"timestamp"`
	Message       string `json:"message"`
	IngestionTime int64  `json:"ingestionTime"`
}

// A place is what the tokens of GetLogEvents hold: a boundary in a stream, which is told by its creation time.
type place struct {
	Stream int64 `json:"stream"`
	At     key   `json:"at"`
}

func (p place) forward() string  { return "f/" + awsjson.SealToken(forwardToken, p) }
func (p place) backward() string { return "b/" + awsjson.SealToken(backwardToken, p) }

// place opens the token; backward is its direction.
func (in getLogEventsInput) place() (p place, backward bool, err error) {
	switch kind, token, _ := strings.Cut(*in.NextToken, "/"); kind {
	case "f":
		// "If you are using a previous nextForwardToken value as the nextToken in this operation, you must specify true for startFromHead."
		if !in.StartFromHead {
			return p, false, invalid("a nextForwardToken needs startFromHead true")
		}
		return p, false, openToken(token, forwardToken, &p)
	case "b":
		return p, true, openToken(token, backwardToken, &p)
	}
	return p, false, invalid("The specified nextToken is invalid: it has no direction")
}

// readable refuses the reads that the group's class does not have.
func (g *group) readable(operation string) error {
	if g.meta.Class == classStandard {
		return nil
	}
	return awsjson.Refuse("InvalidOperationException", "The log group %s is of log-group-class %s. %s is not supported for this log class.",
		g.meta.Name, g.meta.Class, operation)
}

// between gives the boundaries of a time range; end is exclusive. What has expired lies before the horizon.
func between(start, end *int64, horizon int64) (from, to key, err error) {
	from, to = at(horizon), at(math.MaxInt64)
	if start != nil && *start < 0 || end != nil && *end < 0 {
		return from, to, invalid("startTime and endTime: want 0 or more")
	}
	if start != nil {
		from = at(max(*start, horizon))
	}
	if end != nil {
		to = at(*end)
	}
	return from, to, nil
}

func (c *call) getLogEvents(in getLogEventsInput) (out getLogEventsOutput, err error) {
	name, err := in.name()
	if err != nil {
		return out, err
	}
	if err := checkStreamName("logStreamName", in.LogStreamName); err != nil {
		return out, err
	}
	limit, err := limitOf(in.Limit, maxPageEvents)
	if err != nil {
		return out, err
	}
	g, unlock, err := c.use(name)
	if err != nil {
		return out, err
	}
	defer unlock()
	if err := g.readable("GetLogEvents"); err != nil {
		return out, err
	}
	st, err := g.stream(in.LogStreamName)
	if err != nil {
		return out, err
	}
	s := c.scan(limit, st)
	if s.from, s.to, err = between(in.StartTime, in.EndTime, g.horizon(c.now)); err != nil {
		return out, err
	}
	return in.page(s, st)
}

// scan reads these streams as of now.
func (c *call) scan(limit int, streams ...*stream) *scan {
	opts := c.svc.opts
	s := &scan{streams: streams, limit: limit, budget: opts.ScanBytes, seen: math.MaxInt64}
	if opts.VisibilityDelay > 0 {
		s.seen = c.now.Add(-opts.VisibilityDelay).UnixMilli()
	}
	return s
}

// page reads on from the token, or from an end of the time range in s.
func (in getLogEventsInput) page(s *scan, st *stream) (out getLogEventsOutput, err error) {
	stands := s.from // an empty page without a token stands there, so that what comes is in front of it
	s.backward = !in.StartFromHead
	if in.NextToken != nil {
		p, backward, err := in.place()
		if err != nil {
			return out, err
		}
		if p.Stream != st.meta.CreatedMS {
			return out, invalid("The specified nextToken is invalid: it is another stream's")
		}
		s.backward, stands = backward, p.At
		if backward && p.At.compare(s.to) < 0 {
			s.to = p.At
		}
		if !backward && p.At.compare(s.from) > 0 {
			s.from = p.At
		}
	}
	events, next, more, err := s.run()
	if err != nil {
		return out, err
	}
	if in.NextToken == nil && more {
		stands = next
	}
	if s.backward {
		slices.Reverse(events)
	}
	// The tokens are the places in front of the page and behind it.
	front, behind := stands, stands
	if len(events) > 0 {
		front, behind = events[0].before(), events[len(events)-1].after()
	}
	if more && s.backward {
		front = next
	}
	if more && !s.backward {
		behind = next
	}
	out.NextForwardToken, out.NextBackwardToken = place{st.meta.CreatedMS, behind}.forward(), place{st.meta.CreatedMS, front}.backward()
	out.Events = make([]outputLogEvent, len(events))
	for i, e := range events {
		out.Events[i] = outputLogEvent{e.TS, e.message, e.MS}
	}
	return out, nil
}
