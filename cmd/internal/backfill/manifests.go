package backfill

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"

	"tributary/sinks/lake"
	"tributary/sinks/objects"
)

// manifests knows which objects the lake's range manifests name.
type manifests struct {
	source *source
	prefix *string // the lake's; nil: there are no manifests, all objects count
	known  map[string]map[string]int64
	names  int // in known
}

// maxKnownNames bounds what is remembered of manifests.
const maxKnownNames = 50_000

func (s *source) newManifests(ctx context.Context) (*manifests, error) {
	prefix, err := s.manifestsPrefix(ctx)
	return &manifests{source: s, prefix: prefix, known: map[string]map[string]int64{}}, err
}

// manifestsPrefix is the nearest folder around the job's prefix, itself included, that
// has range manifests: empty, or with a slash at its end; nil if there is none.
func (s *source) manifestsPrefix(ctx context.Context) (*string, error) {
	for folder := s.job.Prefix; ; folder = path.Dir(folder) {
		if folder == "." || folder == "/" {
			folder = ""
		}
		prefix := folder
		if prefix != "" {
			prefix += "/"
		}
		page, err := s.options.Page(ctx, s.api, &s3.ListObjectsV2Input{Bucket: &s.job.Bucket, Prefix: aws.String(prefix + lake.RangesFolder + "/"), MaxKeys: aws.Int32(1)})
		if err != nil {
			return nil, err
		}
		if len(page.Contents) > 0 {
			return &prefix, nil
		}
		if folder == "" {
			return nil, nil
		}
	}
}

// orphans tells for each object whether it is one of the lake that no manifest names:
// of a flush that was given up, or is not ended yet.
func (m *manifests) orphans(ctx context.Context, list []object) ([]bool, error) {
	orphan := make([]bool, len(list))
	if m.prefix == nil {
		return orphan, nil
	}
	keys := make([]string, len(list))
	wanted := map[string]map[string]int64{}
	for i, o := range list {
		if o.form != parquet || !strings.HasPrefix(o.key, *m.prefix) {
			continue
		}
		key, ok := lake.ManifestOf(*m.prefix, o.key)
		if !ok {
			continue // no range has written it: it is somebody's own
		}
		keys[i] = key
		if _, known := m.known[key]; !known {
			wanted[key] = nil
		}
	}
	if err := m.fetch(ctx, wanted); err != nil {
		return nil, err
	}
	for i, key := range keys {
		if key == "" {
			continue
		}
		named, known := m.known[key]
		if !known {
			named = wanted[key]
		}
		size, there := named[list[i].key]
		orphan[i] = !there || size != list[i].size
	}
	if m.names > maxKnownNames {
		m.known, m.names = map[string]map[string]int64{}, 0
	}
	for key, names := range wanted {
		m.known[key] = names
		m.names += len(names) + 1
	}
	return orphan, nil
}

// manifestsAtOnce are asked for.
const manifestsAtOnce = 16

// fetch reads manifests; what is missing names nothing.
func (m *manifests) fetch(ctx context.Context, wanted map[string]map[string]int64) error {
	type result struct {
		key   string
		names map[string]int64
	}
	results := make(chan result, len(wanted))
	g, asking := errgroup.WithContext(ctx)
	g.SetLimit(manifestsAtOnce)
	for key := range wanted {
		g.Go(func() error {
			names, err := m.read(asking, key)
			results <- result{key, names}
			return err
		})
	}
	err := g.Wait()
	close(results)
	for r := range results {
		wanted[r.key] = r.names
	}
	return err
}

func (m *manifests) read(ctx context.Context, key string) (names map[string]int64, err error) {
	s := m.source
	err = objects.Patiently(ctx, func() error {
		ctx, cancel := s.options.Attempt(ctx, 0)
		defer cancel()
		out, err := s.options.Get(ctx, s.api, &s3.GetObjectInput{Bucket: &s.job.Bucket, Key: &key})
		if err != nil {
			return err
		}
		defer out.Body.Close()
		text, err := io.ReadAll(io.LimitReader(out.Body, lake.MaxManifest))
		if err != nil {
			return err
		}
		names, err = lake.ReadNames(text)
		return err
	})
	if objects.Status(err) == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read manifest s3://%s/%s: %w", s.job.Bucket, key, err)
	}
	return names, nil
}
