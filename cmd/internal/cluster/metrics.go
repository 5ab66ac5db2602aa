package cluster

import (
	"bufio"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Metrics are a process's figures: name with labels, as /metrics prints it → value.
type Metrics map[string]float64

// Metrics asks the process.
func (n *Node) Metrics() (Metrics, error) {
	resp, err := http.Get("http://" + n.Admin + "/metrics")
	if err != nil {
		return nil, fmt.Errorf("read metrics of %s: %w", n.Name, err)
	}
	defer resp.Body.Close()
	m := make(Metrics)
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		text := lines.Text()
		i := strings.LastIndexByte(text, ' ')
		if i < 0 || text[0] == '#' {
			continue
		}
		if v, err := strconv.ParseFloat(text[i+1:], 64); err == nil {
			m[text[:i]] = v
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read metrics of %s: %w", n.Name, err)
	}
	return m, nil
}

// Sum adds up the metric over all its labels.
func (m Metrics) Sum(name string) (sum float64) {
	for key, v := range m {
		if key == name || strings.HasPrefix(key, name+"{") {
			sum += v
		}
	}
	return sum
}
