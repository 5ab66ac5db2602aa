package fault

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// maxRules bounds the body of a PUT of rules, in bytes.
const maxRules = 1 << 20

// Admin serves the rules: GET answers them with their counters, PUT replaces them by a JSON list, DELETE removes all.
func (s *Set) Admin() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet:
		case http.MethodPut:
			rules, err := readRules(http.MaxBytesReader(w, r.Body, maxRules))
			if err == nil {
				err = s.Replace(rules)
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		case http.MethodDelete:
			_ = s.Replace(nil) // no rules, hence no rule to refuse
		default:
			w.Header().Set("Allow", "GET, PUT, DELETE")
			http.Error(w, "want GET, PUT or DELETE", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.Rules()) // fails only when the client has left
	})
}

func readRules(body io.Reader) ([]Rule, error) {
	dec := json.NewDecoder(body)
	var rules []Rule
	if err := dec.Decode(&rules); err != nil {
		return nil, fmt.Errorf("read fault rules: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("read fault rules: want one JSON list and nothing behind it")
	}
	return rules, nil
}
