package s3

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

// object is an object's metadata. Size and Modified tell which file it belongs
// to: they are compared with the file itself.
type object struct {
	Size     int64             `json:"size"`
	Modified int64             `json:"modified_ns"`
	ETag     string            `json:"etag"`              // in quotes, as it goes over the wire
	Headers  map[string]string `json:"headers,omitempty"` // Content-Type, x-amz-meta-*, checksum, storage
}

func (o object) belongsTo(info fs.FileInfo) bool {
	return o.Size == info.Size() && o.Modified == info.ModTime().UnixNano()
}

func (o object) modified() time.Time { return time.Unix(0, o.Modified).UTC() }

// metaFile is the content of one metadata file. A PUT over an existing object
// writes the new and the old one, then renames the data: whichever file a crash
// leaves in place, its own metadata is here.
type metaFile struct {
	Version int      `json:"version"`
	Key     string   `json:"key"`
	Objects []object `json:"objects"`
}

const (
	metaVersion = 1
	maxMeta     = 1 << 20
)

func (s *Service) readMeta(bucket, key string) ([]object, error) {
	raw, err := s.files.read(metaPath(bucket, key), maxMeta)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	var m metaFile
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("read metadata of %s/%s: %w", bucket, key, err)
	}
	if m.Version != metaVersion || m.Key != key {
		return nil, fmt.Errorf("read metadata of %s/%s: version %d of key %q, want version %d", bucket, key, m.Version, m.Key, metaVersion)
	}
	return m.Objects, nil
}

func (s *Service) writeMeta(bucket, key string, objects ...object) error {
	raw, err := json.Marshal(metaFile{metaVersion, key, objects})
	if err != nil {
		return fmt.Errorf("write metadata: %w", err)
	}
	return s.files.write(metaPath(bucket, key), raw)
}

// open opens an object's file with the metadata that belongs to it. The file
// stays readable when the object is overwritten or deleted meanwhile. The
// object's lock is held.
func (s *Service) open(bucket, key string) (*os.File, object, error) {
	file, err := s.files.root.Open(dataPath(bucket, key))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, object{}, noSuchKey(key)
	}
	if err != nil {
		return nil, object{}, fmt.Errorf("open object: %w", err)
	}
	o, err := s.describe(bucket, key, file)
	if err != nil {
		return nil, object{}, errors.Join(err, file.Close())
	}
	return file, o, nil
}

// describe finds the metadata of an open file. A file that none belongs to was
// put there by hand.
func (s *Service) describe(bucket, key string, file *os.File) (object, error) {
	info, err := file.Stat()
	if err != nil {
		return object{}, fmt.Errorf("open object: %w", err)
	}
	if !info.Mode().IsRegular() {
		return object{}, noSuchKey(key)
	}
	known, err := s.readMeta(bucket, key)
	if err != nil {
		return object{}, err
	}
	for _, o := range known {
		if o.belongsTo(info) {
			return o, nil
		}
	}
	o, err := s.handmade.describe(dataPath(bucket, key), file, info)
	for _, k := range known {
		// A copied directory may have lost its times: the content tells as well.
		if k.Size == o.Size && (k.ETag == o.ETag || k.ETag == sealed(o.ETag)) {
			o.Headers, o.ETag = k.Headers, k.ETag
		}
	}
	return o, err
}

// handmade makes metadata for files that nobody PUT, from their content. It
// remembers some, so that a list need not read them all again; reading an object
// never writes to the disk.
type handmade struct {
	mu    sync.Mutex
	known map[string]object // by path
}

// maxHandmade bounds what is remembered: a few megabytes.
const maxHandmade = 10_000

func (h *handmade) describe(name string, file *os.File, info fs.FileInfo) (object, error) {
	h.mu.Lock()
	o, ok := h.known[name]
	h.mu.Unlock()
	if ok && o.belongsTo(info) {
		return o, nil
	}
	sum := md5.New()
	if _, err := io.Copy(sum, io.NewSectionReader(file, 0, info.Size())); err != nil {
		return object{}, fmt.Errorf("read object: %w", err)
	}
	o = object{Size: info.Size(), Modified: info.ModTime().UnixNano(), ETag: quote(hex.EncodeToString(sum.Sum(nil)))}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known == nil || len(h.known) >= maxHandmade {
		h.known = map[string]object{}
	}
	h.known[name] = o
	return o, nil
}

func quote(etag string) string { return `"` + etag + `"` }

// setHeaders writes what GET and HEAD have in common.
func (o object) setHeaders(h http.Header, checksums bool) {
	h.Set("Content-Type", "binary/octet-stream")
	tellEncryption(h, o.Headers)
	for name, value := range o.Headers {
		if checksums || !isChecksum(name) {
			h.Set(name, value)
		}
	}
	h.Set("ETag", o.ETag)
	h.Set("Last-Modified", o.modified().Format(http.TimeFormat))
	h.Set("Accept-Ranges", "bytes")
}
