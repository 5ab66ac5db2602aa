package kinesis

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Expire makes what arrived in a stream before a moment leave it now, as retention would later. It does not come back, whatever the
// retention becomes.
func (s *Service) Expire(stream string, before time.Time) error {
	st, err := s.find(stream)
	if err != nil {
		return fmt.Errorf("expire records: %w", err)
	}
	if err := st.raiseFloor(before.UnixMilli()); err != nil {
		return fmt.Errorf("expire records: %w", err)
	}
	return st.trim(s.opts.Now())
}

func (st *stream) raiseFloor(floor int64) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.usable(); err != nil {
		return err
	}
	previous := st.meta.FloorMS
	st.meta.FloorMS = max(previous, floor)
	if err := st.save(); err != nil {
		st.meta.FloorMS = previous
		return err
	}
	return nil
}

// An expiry is the body of a call to Expiry.
type expiry struct {
	Stream string    `json:"stream"`
	Before time.Time `json:"before"`
}

// Expiry serves Expire: a POST of {"stream": "logs", "before": "2026-11-22T15:04:05.123Z"}.
func (s *Service) Expiry() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "want POST", http.StatusMethodNotAllowed)
			return
		}
		in, err := readExpiry(http.MaxBytesReader(w, r.Body, smallBody))
		if err == nil {
			err = s.Expire(in.Stream, in.Before)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
}

func readExpiry(body io.Reader) (in expiry, err error) {
	dec := json.NewDecoder(body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return in, fmt.Errorf("read what is to expire: %w", err)
	}
	if in.Before.IsZero() {
		return in, fmt.Errorf("read what is to expire: before is missing: name a moment")
	}
	return in, nil
}
