package logs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tributary/deploy/local/awsjson"
)

type filterLogEventsInput struct {
	groupRef
	LogStreamNames      []string `json:"logStreamNames"`
	LogStreamNamePrefix *string  `json:"logStreamNamePrefix"`
	StartTime           *int64   `json:"startTime"`
	EndTime             *int64   `json:"endTime"`
	FilterPattern       string   `json:"filterPattern"`
	StartFromHead       *bool    `json:"startFromHead"`
	Interleaved         *bool    `json:"interleaved"` // "this parameter is ignored and the value is assumed to be true"
	Limit               *int     `json:"limit"`
	NextToken           *string  `json:"nextToken"`
}

type filterLogEventsOutput struct {
	Events             []filteredLogEvent `json:"events"`
	SearchedLogStreams []struct{}         `json:"searchedLogStreams"`
	NextToken          string             `json:"nextToken,omitempty"`
}

type filteredLogEvent struct {
	LogStreamName string `json:"logStreamName"`
	Timestamp     int64  `json:"timestamp"`
	Message       string `json:"message"`
	IngestionTime int64  `json:"ingestionTime"`
	EventID       string `json:"eventId"`
}

// A search is what a token of FilterLogEvents holds. Its direction stands over startFromHead.
type search struct {
	Group    int64 `json:"group"`
	At       key   `json:"at"`
	Backward bool  `json:"backward,omitempty"`
}

const (
	maxSearchedNames  = 100
	maxPatternLetters = 1024
)

// newestFirstSince is the earliest startTime of a search with the newest first.
var newestFirstSince = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

func (in filterLogEventsInput) check() error {
	if in.LogStreamNames != nil && in.LogStreamNamePrefix != nil {
		return invalid("logStreamNames and logStreamNamePrefix are mutually exclusive")
	}
	if in.LogStreamNames != nil && (len(in.LogStreamNames) < 1 || len(in.LogStreamNames) > maxSearchedNames) {
		return invalid("logStreamNames has %d members: want 1 to %d", len(in.LogStreamNames), maxSearchedNames)
	}
	for _, name := range in.LogStreamNames {
		if err := checkStreamName("logStreamNames", name); err != nil {
			return err
		}
	}
	if in.LogStreamNamePrefix != nil {
		if err := checkStreamName("logStreamNamePrefix", *in.LogStreamNamePrefix); err != nil {
			return err
		}
	}
	if in.backward() && in.StartTime != nil && *in.StartTime < newestFirstSince {
		return invalid("startFromHead false needs a startTime on or after 2024-01-01")
	}
	return nil
}

func (in filterLogEventsInput) backward() bool { return in.StartFromHead != nil && !*in.StartFromHead }

// searched are the streams that are meant.
func (in filterLogEventsInput) searched(g *group) (all []*stream, err error) {
	if in.LogStreamNames == nil {
		for name, st := range g.streams {
			if in.LogStreamNamePrefix == nil || strings.HasPrefix(name, *in.LogStreamNamePrefix) {
				all = append(all, st)
			}
		}
		return all, nil
	}
	named := make(map[*stream]bool)
	for _, name := range in.LogStreamNames {
		st, err := g.stream(name)
		if err != nil {
			return nil, err
		}
		named[st] = true
	}
	return slices.Collect(maps.Keys(named)), nil
}

func (c *call) filterLogEvents(in filterLogEventsInput) (out filterLogEventsOutput, err error) {
	name, err := in.name()
	if err != nil {
		return out, err
	}
	limit, err := limitOf(in.Limit, maxPageEvents)
	if err != nil {
		return out, err
	}
	if err := in.check(); err != nil {
		return out, err
	}
	pattern, err := parsePattern(in.FilterPattern)
	if err != nil {
		return out, err
	}
	g, unlock, err := c.use(name)
	if err != nil {
		return out, err
	}
	defer unlock()
	if err := g.readable("FilterLogEvents"); err != nil {
		return out, err
	}
	streams, err := in.searched(g)
	if err != nil {
		return out, err
	}
	s := c.scan(limit, streams...)
	s.match = pattern.matches
	if err := in.aim(s, g, g.horizon(c.now)); err != nil {
		return out, err
	}
	return g.search(s)
}

// aim sets where and in which direction s goes.
func (in filterLogEventsInput) aim(s *scan, g *group, horizon int64) (err error) {
	end := in.EndTime
	if end != nil && *end >= 0 {
		// "Events with a timestamp later than this time are not returned": here the end is inclusive.
		behind := max(*end, *end+1)
		end = &behind
	}
	if s.from, s.to, err = between(in.StartTime, end, horizon); err != nil {
		return err
	}
	s.backward = in.backward()
	if in.NextToken == nil {
		return nil
	}
	var token search
	if err := openToken(*in.NextToken, filterToken, &token); err != nil {
		return err
	}
	if token.Group != g.meta.CreatedMS {
		return invalid("The specified nextToken is invalid: it is another group's")
	}
	s.backward = token.Backward
	if s.backward && token.At.compare(s.to) < 0 {
		s.to = token.At
	}
	if !s.backward && token.At.compare(s.from) > 0 {
		s.from = token.At
	}
	return nil
}

func (g *group) search(s *scan) (out filterLogEventsOutput, err error) {
	events, next, more, err := s.run()
	if err != nil {
		return out, err
	}
	out.Events, out.SearchedLogStreams = make([]filteredLogEvent, len(events)), []struct{}{}
	for i, e := range events {
		out.Events[i] = filteredLogEvent{e.stream, e.TS, e.message, e.MS, e.id()}
	}
	if more {
		out.NextToken = awsjson.SealToken(filterToken, search{g.meta.CreatedMS, next, s.backward})
	}
	return out, nil
}

// id is an event's own, in the 56 digits that the service uses.
func (e event) id() string { return fmt.Sprintf("3%013d%013d%029d", e.TS, e.Stream, e.Number) }
