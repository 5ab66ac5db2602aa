package logs

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"tributary/deploy/local/disk"
)

const (
	groupFile   = "group.json"
	streamFile  = "stream.json"
	metaVersion = 1
)

// groupMeta is what a group is, streams apart. It is replaced as a whole, so that a crash leaves the old or the new one.
type groupMeta struct {
	Version       int    `json:"version"`
	Name          string `json:"name"`
	CreatedMS     int64  `json:"created_ms"`
	Class         string `json:"class"`
	KMSKeyID      string `json:"kms_key_id,omitempty"`
	RetentionDays int    `json:"retention_days,omitempty"` // 0: events do not expire
}

// streamMeta is what a stream is, events apart. It never changes.
type streamMeta struct {
	Version   int    `json:"version"`
	Name      string `json:"name"`
	CreatedMS int64  `json:"created_ms"`
}

func (m groupMeta) save(dir string) error {
	m.Version = metaVersion
	return saveMeta(filepath.Join(dir, groupFile), m)
}

func (m streamMeta) save(dir string) error {
	m.Version = metaVersion
	return saveMeta(filepath.Join(dir, streamFile), m)
}

func saveMeta(path string, meta any) error {
	text, err := json.MarshalIndent(meta, "", "  ")
	if err == nil {
		err = disk.ReplaceFile(path, text)
	}
	if err != nil {
		return fmt.Errorf("write logs metadata: %w", err)
	}
	return nil
}

func loadGroupMeta(dir string) (m groupMeta, err error) {
	path := filepath.Join(dir, groupFile)
	if err := loadMeta(path, &m); err != nil {
		return m, err
	}
	return m, checkVersion(path, m.Version)
}

func loadStreamMeta(dir string) (m streamMeta, err error) {
	path := filepath.Join(dir, streamFile)
	if err := loadMeta(path, &m); err != nil {
		return m, err
	}
	return m, checkVersion(path, m.Version)
}

func loadMeta(path string, meta any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read logs metadata: %w", err)
	}
	if err := json.Unmarshal(text, meta); err != nil {
		return fmt.Errorf("read logs metadata %s: %w", path, err)
	}
	return nil
}

func checkVersion(path string, version int) error {
	if version != metaVersion {
		return fmt.Errorf("read logs metadata %s: version %d, this program reads %d", path, version, metaVersion)
	}
	return nil
}
