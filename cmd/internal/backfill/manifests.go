package backfill

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"

	"tributary/sinks/lake"
	"tributary/sinks/objects"
)

// manifests knows which objects the range manifests of lakes name.
type manifests struct {
	source *source
	lakes  map[string]bool // folders: whether manifests lie there
	known  map[string]map[string]lake.Named
	names  int // in known
}

const (
	// maxKnownNames bounds what is remembered of manifests, maxFolders of folders.
	maxKnownNames = 50_000
	maxFolders    = 10_000
)

func (s *source) newManifests() *manifests {
	return &manifests{source: s, lakes: map[string]bool{}, known: map[string]map[string]lake.Named{}}
}

// lakeOf is the outermost folder around an object that has range manifests: empty, or
// with a slash at its end. It is false if there is none.
func (m *manifests) lakeOf(ctx context.Context, key string) (string, bool, error) {
	for end := 0; ; {
		folder := key[:end]
		has, known := m.lakes[folder]
		if !known {
			s := m.source
			page, err := s.options.Page(ctx, s.api, &s3.ListObjectsV2Input{Bucket: &s.job.Bucket, Prefix: aws.String(folder + lake.RangesFolder + "/"), MaxKeys: aws.Int32(1)})
			if err != nil {
				return "", false, err
			}
			if len(m.lakes) == maxFolders {
				clear(m.lakes)
			}
			has = len(page.Contents) > 0
			m.lakes[folder] = has
		}
		if has {
			return folder, true, nil
		}
		slash := strings.IndexByte(key[end:], '/')
		if slash < 0 {
			return "", false, nil
		}
		end += slash + 1
	}
}

// manifestOf is the key of the manifest that has to name an object; empty of an object
// of no lake.
func (m *manifests) manifestOf(ctx context.Context, o object) (string, error) {
	if o.form != parquet {
		return "", nil
	}
	if _, ranged := lake.ManifestOf("", o.key); !ranged {
		return "", nil // it is somebody's own
	}
	folder, is, err := m.lakeOf(ctx, o.key)
	if err != nil || !is {
		return "", err
	}
	key, _ := lake.ManifestOf(folder, o.key)
	return key, nil
}

// ruling is what manifests say of an object.
type ruling struct {
	orphan bool   // one of the lake that none names: of a flush that was given up, or is not ended yet
	sha256 string // empty: none says
}

// rule asks the manifests for each object.
func (m *manifests) rule(ctx context.Context, list []object) ([]ruling, error) {
	rulings := make([]ruling, len(list))
	keys := make([]string, len(list))
	wanted := map[string]map[string]lake.Named{}
	for i, o := range list {
		key, err := m.manifestOf(ctx, o)
		if err != nil {
			return nil, err
		}
		keys[i] = key
		if _, known := m.known[key]; key != "" && !known {
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
		object, there := named[list[i].key]
		rulings[i] = ruling{!there || object.Bytes != list[i].size, object.SHA256}
	}
	if m.names > maxKnownNames {
		m.known, m.names = map[string]map[string]lake.Named{}, 0
	}
	for key, names := range wanted {
		m.known[key] = names
		m.names += len(names) + 1
	}
	return rulings, nil
}

// manifestsAtOnce are asked for.
const manifestsAtOnce = 16

// fetch reads manifests; what is missing names nothing.
func (m *manifests) fetch(ctx context.Context, wanted map[string]map[string]lake.Named) error {
	type result struct {
		key   string
		names map[string]lake.Named
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

func (m *manifests) read(ctx context.Context, key string) (names map[string]lake.Named, err error) {
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
