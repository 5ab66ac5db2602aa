package s3

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"time"
)

type bucketEntry struct {
	Name         string
	CreationDate string
}

type listBucketsResult struct {
	XMLName xml.Name      `xml:"ListAllMyBucketsResult"`
	Buckets []bucketEntry `xml:"Buckets>Bucket"`
}

const timeFormat = "2006-01-02T15:04:05.000Z"

func (s *Service) listBuckets(w http.ResponseWriter, _ call) error {
	entries, err := s.files.list(".")
	if err != nil {
		return err
	}
	var out listBucketsResult
	for _, e := range sorted(entries) {
		if !e.IsDir() || checkBucket(e.Name()) != nil {
			continue
		}
		// A directory keeps no time of its creation; that of its metadata's
		// directory comes closest and does not move with every object.
		created := time.Unix(0, 0)
		if info, err := s.files.root.Stat(path.Join(metaDir, e.Name())); err == nil {
			created = info.ModTime()
		}
		out.Buckets = append(out.Buckets, bucketEntry{e.Name(), created.UTC().Format(timeFormat)})
	}
	writeXML(w, http.StatusOK, out)
	return nil
}

// createBucket answers a bucket that exists with 409, as the service does
// outside us-east-1. The body can only name a region.
func (s *Service) createBucket(w http.ResponseWriter, c call) error {
	s.tree.Lock()
	defer s.tree.Unlock()
	err := s.files.root.Mkdir(c.bucket, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return refuse(http.StatusConflict, "BucketAlreadyOwnedByYou", "Your previous request to create the named bucket succeeded and you already own it.")
	}
	if err != nil {
		return fmt.Errorf("create bucket: %w", err)
	}
	if err := errors.Join(s.files.mkdir(path.Join(metaDir, c.bucket)), s.files.sync(".")); err != nil {
		return fmt.Errorf("create bucket: %w", err)
	}
	w.Header().Set("Location", "/"+c.bucket)
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Service) headBucket(w http.ResponseWriter, _ call) error {
	w.WriteHeader(http.StatusOK) // that it exists was checked on the way here
	return nil
}

func (s *Service) deleteBucket(w http.ResponseWriter, c call) error {
	s.tree.Lock()
	defer s.tree.Unlock()
	if err := s.files.root.Remove(c.bucket); err != nil {
		entries, listErr := s.files.list(c.bucket)
		if listErr == nil && len(entries) > 0 {
			return refuse(http.StatusConflict, "BucketNotEmpty", "The bucket you tried to delete is not empty")
		}
		return fmt.Errorf("delete bucket: %w", err)
	}
	if err := errors.Join(s.files.root.RemoveAll(path.Join(metaDir, c.bucket)), s.files.sync(".")); err != nil {
		return fmt.Errorf("delete bucket: %w", err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
