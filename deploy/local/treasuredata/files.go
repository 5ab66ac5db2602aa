package treasuredata

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"tributary/deploy/local/disk"
)

const (
	tempDir      = ".tmp" // no name of a database
	databaseFile = ".database.json"
	tableFile    = ".table.json"
	metaVersion  = 1
)

var errClosed = errors.New("the service is closed")

// A database is a directory of tables.
type database struct {
	name   string
	dir    string
	tables map[string]*table
	databaseMeta
}

type databaseMeta struct {
	Version   int   `json:"version"`
	CreatedMS int64 `json:"created_ms"`
}

// A table is a directory of imports.
type table struct {
	name      string
	dir       string
	createdMS int64
	schema    *schema
	unsaved   bool // the schema has changed since it was written
	rows      int64
	bytes     int64
	updatedMS int64
}

type tableMeta struct {
	Version   int      `json:"version"`
	CreatedMS int64    `json:"created_ms"`
	Schema    []column `json:"schema"`
}

func (t *table) save(dir string) error {
	return saveMeta(filepath.Join(dir, tableFile), tableMeta{metaVersion, t.createdMS, t.schema.columns})
}

// add counts an import.
func (t *table) add(name fileName, size int64) {
	t.rows += name.rows
	t.bytes += size
	t.updatedMS = max(t.updatedMS, name.stamp)
}

// A fileName is all that is known of an import beside its rows.
type fileName struct {
	stamp int64
	rows  int64
	id    string
}

var fileShape = regexp.MustCompile(`^(\d{15})-(\d{1,18})(?:-([0-9a-f]+))?\.jsonl$`)

func (n fileName) String() string {
	if n.id == "" {
		return fmt.Sprintf("%015d-%d.jsonl", n.stamp, n.rows)
	}
	return fmt.Sprintf("%015d-%d-%s.jsonl", n.stamp, n.rows, n.id)
}

// parseName reads the name of an import's file; other files are nobody's.
func parseName(file string) (n fileName, ok bool) {
	parts := fileShape.FindStringSubmatch(file)
	if parts == nil {
		return n, false
	}
	n.stamp, _ = strconv.ParseInt(parts[1], 10, 64) // the shape fits
	n.rows, _ = strconv.ParseInt(parts[2], 10, 64)
	n.id = parts[3]
	return n, true
}

// load reads what is below the directory.
func (s *Service) load() error {
	if err := os.RemoveAll(filepath.Join(s.dir, tempDir)); err != nil {
		return err
	}
	names, err := directories(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var imports []fileName
	for _, name := range names {
		if imports, err = s.loadDatabase(name, imports); err != nil {
			return err
		}
	}
	slices.SortFunc(imports, func(a, b fileName) int { return cmp.Compare(a.stamp, b.stamp) })
	for _, n := range imports {
		s.ids.add(n.id, n.stamp)
	}
	if len(names) > 0 {
		return os.Mkdir(filepath.Join(s.dir, tempDir), 0o755)
	}
	return nil
}

func directories(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// loadDatabase adds the database's imports with an id to imports.
func (s *Service) loadDatabase(name string, imports []fileName) ([]fileName, error) {
	d := &database{name: name, dir: filepath.Join(s.dir, name), tables: make(map[string]*table)}
	if err := loadMeta(filepath.Join(d.dir, databaseFile), &d.databaseMeta, &d.Version); err != nil {
		return nil, err
	}
	s.databases[name] = d
	s.made = max(s.made, d.CreatedMS)
	names, err := directories(d.dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		t := &table{name: name, dir: filepath.Join(d.dir, name)}
		if imports, err = t.load(imports); err != nil {
			return nil, err
		}
		d.tables[name] = t
		s.made = max(s.made, t.updatedMS)
	}
	return imports, nil
}

func (t *table) load(imports []fileName) ([]fileName, error) {
	var meta tableMeta
	if err := loadMeta(filepath.Join(t.dir, tableFile), &meta, &meta.Version); err != nil {
		return nil, err
	}
	t.createdMS, t.updatedMS, t.schema = meta.CreatedMS, meta.CreatedMS, newSchema(meta.Schema)
	entries, err := os.ReadDir(t.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		n, ok := parseName(e.Name())
		if !ok {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		t.add(n, info.Size())
		if n.id != "" {
			imports = append(imports, n)
		}
	}
	return imports, nil
}

// makeDatabase and makeTable make a directory aside and give it its name when it is complete. The caller holds the lock.
func (s *Service) makeDatabase(name string) error {
	d := &database{name: name, dir: filepath.Join(s.dir, name), tables: make(map[string]*table), databaseMeta: databaseMeta{metaVersion, s.stamp()}}
	if err := os.MkdirAll(filepath.Join(s.dir, tempDir), 0o755); err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	err := s.makeDir(d.dir, func(temp string) error { return saveMeta(filepath.Join(temp, databaseFile), d.databaseMeta) })
	if err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	s.databases[name] = d
	return nil
}

func (s *Service) makeTable(d *database, name string) error {
	stamp := s.stamp()
	t := &table{name: name, dir: filepath.Join(d.dir, name), createdMS: stamp, updatedMS: stamp, schema: newSchema([]column{})}
	if err := s.makeDir(t.dir, t.save); err != nil {
		return fmt.Errorf("create table: %w", err)
	}
	d.tables[name] = t
	return nil
}

func (s *Service) makeDir(dir string, fill func(temp string) error) error {
	temp := s.tempName()
	err := os.Mkdir(temp, 0o755)
	if err == nil {
		err = fill(temp)
	}
	if err == nil {
		err = os.Rename(temp, dir)
	}
	if err == nil {
		err = disk.SyncDir(filepath.Dir(dir))
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(temp))
	}
	return nil
}

func (s *Service) tempName() string {
	s.temps++
	return filepath.Join(s.dir, tempDir, strconv.Itoa(s.temps))
}

// temp makes a file for rows that are on their way.
func (s *Service) temp() (path string, file *os.File, err error) {
	s.mu.Lock()
	path = s.tempName()
	s.mu.Unlock()
	file, err = os.Create(path)
	return path, file, err
}

func saveMeta(path string, meta any) error {
	text, err := json.Marshal(meta)
	if err == nil {
		err = disk.ReplaceFile(path, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write metadata: %w", err)
	}
	return nil
}

func loadMeta(path string, meta any, version *int) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read metadata: %w", err)
	}
	if err := json.Unmarshal(text, meta); err != nil {
		return fmt.Errorf("read metadata %s: %w", path, err)
	}
	if *version != metaVersion {
		return fmt.Errorf("read metadata %s: version %d, this program reads %d", path, *version, metaVersion)
	}
	return nil
}
