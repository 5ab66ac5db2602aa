package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Expire makes what arrived in a stream before a moment leave it, as retention would.
func (c *Cluster) Expire(ctx context.Context, stream string, before time.Time) error {
	body, err := json.Marshal(map[string]any{"stream": stream, "before": before})
	if err != nil {
		return fmt.Errorf("expire records: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.AWS+"/_local/expire", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("expire records: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("expire records: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("expire records: %s %s", resp.Status, text)
	}
	return nil
}
