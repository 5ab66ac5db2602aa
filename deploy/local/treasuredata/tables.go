package treasuredata

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

var nameShape = regexp.MustCompile(`^[a-z0-9_]+$`)

// checkName refuses names for what is to be created.
func checkName(name string) error {
	switch {
	case len(name) < 3 || len(name) > 256:
		return refuse(http.StatusBadRequest, "Name must be 3 to 256 characters, got %d characters. name = '%s'", len(name), name)
	case !nameShape.MatchString(name):
		return refuse(http.StatusBadRequest, "Name must consist of a-z, 0-9 and '_'. name = '%s'", name)
	case len(name) > 255:
		return refuse(http.StatusBadRequest, "the local endpoint does not support names of 256 characters. name = '%s'", name)
	}
	return nil
}

func (c *call) createDatabase(w http.ResponseWriter) error {
	name := c.args[0]
	if err := checkName(name); err != nil {
		return err
	}
	s := c.svc
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	if s.databases[name] != nil {
		return refuse(http.StatusConflict, "Database %s already exists", name)
	}
	if err := s.makeDatabase(name); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct {
		Database string `json:"database"`
	}{name})
	return nil
}

func (c *call) createTable(w http.ResponseWriter) error {
	database, name := c.args[0], c.args[1]
	s := c.svc
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.databases[database]
	switch {
	case s.closed:
		return errClosed
	case d == nil:
		return noDatabase(database)
	case d.tables[name] != nil:
		return refuse(http.StatusConflict, "Table %s already exists", name)
	}
	if err := checkName(name); err != nil {
		return err
	}
	if err := s.makeTable(d, name); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct {
		Database string `json:"database"`
		Table    string `json:"table"`
		Type     string `json:"type"`
	}{database, name, "log"})
	return nil
}

// table finds a table; an apiError says what is missing.
func (s *Service) table(database, name string) (*table, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.databases[database]
	if d == nil {
		return nil, noDatabase(database)
	}
	t := d.tables[name]
	if t == nil {
		return nil, noTable(name)
	}
	return t, nil
}

type databaseAnswer struct {
	Name         string  `json:"name"`
	Count        int64   `json:"count"`
	CreatedAt    string  `json:"created_at"`
	UpdatedAt    string  `json:"updated_at"`
	Organization *string `json:"organization"`
	Permission   string  `json:"permission"`
}

func (c *call) listDatabases(w http.ResponseWriter) error {
	s := c.svc
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []databaseAnswer{}
	for _, d := range s.databases {
		a := databaseAnswer{Name: d.name, CreatedAt: timeOf(d.CreatedMS), Permission: "administrator"}
		updated := d.CreatedMS
		for _, t := range d.tables {
			a.Count += t.rows
			updated = max(updated, t.updatedMS)
		}
		a.UpdatedAt = timeOf(updated)
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b databaseAnswer) int { return strings.Compare(a.Name, b.Name) })
	writeJSON(w, http.StatusOK, struct {
		Databases []databaseAnswer `json:"databases"`
	}{all})
	return nil
}

type tableAnswer struct {
	ID                   int64  `json:"id"`
	Name                 string `json:"name"`
	Type                 string `json:"type"`
	Count                int64  `json:"count"`
	Schema               string `json:"schema"` // JSON within JSON
	CreatedAt            string `json:"created_at"`
	UpdatedAt            string `json:"updated_at"`
	CounterUpdatedAt     string `json:"counter_updated_at"`
	LastLogTimestamp     *int64 `json:"last_log_timestamp"`
	EstimatedStorageSize int64  `json:"estimated_storage_size"`
	ExpireDays           *int   `json:"expire_days"`
	IncludeV             bool   `json:"include_v"`
	DeleteProtected      bool   `json:"delete_protected"`
}

func (t *table) answer() tableAnswer {
	columns, _ := json.Marshal(t.schema.columns) // strings always marshal
	if len(t.schema.columns) == 0 {
		columns = []byte("[]")
	}
	updated := timeOf(t.updatedMS)
	return tableAnswer{ID: t.createdMS, Name: t.name, Type: "log", Count: t.rows, Schema: string(columns), CreatedAt: timeOf(t.createdMS),
		UpdatedAt: updated, CounterUpdatedAt: updated, EstimatedStorageSize: t.bytes}
}

func (c *call) listTables(w http.ResponseWriter) error {
	s := c.svc
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.databases[c.args[0]]
	if d == nil {
		return noDatabase(c.args[0])
	}
	all := []tableAnswer{}
	for _, t := range d.tables {
		all = append(all, t.answer())
	}
	slices.SortFunc(all, func(a, b tableAnswer) int { return strings.Compare(a.Name, b.Name) })
	writeJSON(w, http.StatusOK, struct {
		Tables []tableAnswer `json:"tables"`
	}{all})
	return nil
}

func (c *call) showTable(w http.ResponseWriter) error {
	t, err := c.svc.table(c.args[0], c.args[1])
	if err != nil {
		return err
	}
	c.svc.mu.Lock()
	defer c.svc.mu.Unlock()
	writeJSON(w, http.StatusOK, t.answer())
	return nil
}

func timeOf(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05 UTC") }
