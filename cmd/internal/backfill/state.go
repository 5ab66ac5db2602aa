package backfill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tributary/sinks/objects"
)

// A State keeps what a job remembers. Names are paths; what was created never changes.
// It is safe for concurrent use.
type State interface {
	// Create is durable when it returns; objects.ErrExists if the name is taken.
	Create(ctx context.Context, name string, content []byte) error
	Read(ctx context.Context, name string) ([]byte, error)
	// List names what is in a folder, in the order of the names.
	List(ctx context.Context, folder string, each func(name string) error) error
	fmt.Stringer
}

var errMissing = errors.New("it is not there")

// API is what is asked of an S3 client.
type API interface {
	objects.Putter
	objects.Getter
	objects.Lister
}

// bucketState keeps it below a prefix of a bucket.
type bucketState struct {
	api            API
	options        objects.Options
	bucket, prefix string
}

// NewBucketState keeps the state below s3://bucket/prefix.
func NewBucketState(api API, options objects.Options, bucket, prefix string) State {
	return &bucketState{api, options, bucket, strings.Trim(prefix, "/")}
}

func (s *bucketState) String() string { return "s3://" + s.bucket + "/" + s.prefix }

func (s *bucketState) key(name string) string { return strings.TrimPrefix(s.prefix+"/"+name, "/") }

// Create repeats an attempt of which the answer was lost, and finds its own object
// then; so an object with the same content counts as created.
func (s *bucketState) Create(ctx context.Context, name string, content []byte) error {
	tries := 0
	err := objects.Patiently(ctx, func() error {
		tries++
		return s.options.Create(ctx, s.api, objects.Object{Bucket: s.bucket, Key: s.key(name), Content: content, ContentType: "application/json"})
	})
	if errors.Is(err, objects.ErrExists) && tries > 1 {
		if there, readErr := s.Read(ctx, name); readErr == nil && string(there) == string(content) {
			return nil
		}
	}
	return err
}

// maxState bounds what is read back: an inventory's segment, compressed.
const maxState = 16 << 20

func (s *bucketState) Read(ctx context.Context, name string) (content []byte, err error) {
	key := s.key(name)
	err = objects.Patiently(ctx, func() error {
		ctx, cancel := s.options.Attempt(ctx, maxState)
		defer cancel()
		out, err := s.options.Get(ctx, s.api, &s3.GetObjectInput{Bucket: &s.bucket, Key: &key})
		if err != nil {
			return err
		}
		defer out.Body.Close()
		content, err = io.ReadAll(io.LimitReader(out.Body, maxState))
		return err
	})
	if objects.Status(err) == http.StatusNotFound {
		return nil, errMissing
	}
	return content, err
}

func (s *bucketState) List(ctx context.Context, folder string, each func(string) error) error {
	in := &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: aws.String(s.key(folder))}
	return s.options.List(ctx, s.api, in, func(page *s3.ListObjectsV2Output) error {
		for _, o := range page.Contents {
			if err := each(folder + strings.TrimPrefix(aws.ToString(o.Key), *in.Prefix)); err != nil {
				return err
			}
		}
		return nil
	})
}

// dirState keeps it in a directory.
type dirState struct{ dir string }

// NewDirState keeps the state in a directory, which is made.
func NewDirState(dir string) State { return dirState{filepath.Clean(dir)} }

func (s dirState) String() string { return s.dir }

func (s dirState) Create(_ context.Context, name string, content []byte) (err error) {
	path := filepath.Join(s.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	// A link, unlike a rename, leaves alone what is there.
	if err := os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return objects.ErrExists
	} else if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (s dirState) Read(_ context.Context, name string) ([]byte, error) {
	content, err := os.ReadFile(filepath.Join(s.dir, filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errMissing
	}
	return content, err
}

func (s dirState) List(_ context.Context, folder string, each func(string) error) error {
	entries, err := os.ReadDir(filepath.Join(s.dir, filepath.FromSlash(folder)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue // never got its name
		}
		if err := each(folder + e.Name()); err != nil {
			return err
		}
	}
	return nil
}
