package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"tributary/deploy/local/fault"
)

// SetFaults replaces the endpoints' rules of misbehaviour; none makes them well
// again. Counters begin anew.
func (c *Cluster) SetFaults(ctx context.Context, rules ...fault.Rule) error {
	body, err := json.Marshal(append([]fault.Rule{}, rules...))
	if err != nil {
		return fmt.Errorf("set faults: %w", err)
	}
	_, err = c.faults(ctx, http.MethodPut, bytes.NewReader(body))
	return err
}

// Faults returns the rules in force with their counters.
func (c *Cluster) Faults(ctx context.Context) ([]fault.Status, error) {
	return c.faults(ctx, http.MethodGet, nil)
}

func (c *Cluster) faults(ctx context.Context, method string, body io.Reader) ([]fault.Status, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.AWS+"/_local/faults", body)
	if err != nil {
		return nil, fmt.Errorf("ask for faults: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for faults: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return nil, fmt.Errorf("ask for faults: %s %s", resp.Status, text)
	}
	var rules []fault.Status
	if err := json.NewDecoder(resp.Body).Decode(&rules); err != nil {
		return nil, fmt.Errorf("read faults: %w", err)
	}
	return rules, nil
}
