package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tributary/sinks/objects"
	"tributary/stream"
)

// folder is the archive's, in the bucket of the rejects.
const folder = "_tributary/replays/"

// maxDocument bounds a document: a plan holds the destination's, of up to 64 KiB.
const maxDocument = 1 << 20

// Archive keeps what is known of replays.
type Archive struct {
	API     *s3.Client
	Bucket  string
	Options objects.Options
}

// Plan is what a replay has decided for good before it delivers anything.
type Plan struct {
	Format int `json:"format"`
	Job
	Seam  time.Time `json:"seam"`  // From: nothing comes from the lake; To: nothing from the stream
	Plan  string    `json:"plan"`  // of the destination, for what comes from the lake
	Begun time.Time `json:"begun"` // when it was written
}

const formatVersion = 1

// mark says that a part is delivered.
type mark struct {
	At      time.Time             `json:"at"`
	Last    stream.SequenceNumber `json:"last,omitempty"` // of a range's records; empty: it had none of that time
	Records int64                 `json:"records,omitempty"`
	Rows    int64                 `json:"rows,omitempty"`
}

// create writes a document. It reports false if there is one already.
func (a Archive) create(ctx context.Context, key string, document any) (bool, error) {
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return false, fmt.Errorf("write %s: %w", key, err)
	}
	err = objects.Patiently(ctx, func() error {
		return a.Options.Create(ctx, a.API, objects.Object{Bucket: a.Bucket, Key: key, Content: append(text, '\n'), ContentType: "application/json"})
	})
	if errors.Is(err, objects.ErrExists) {
		return false, nil
	}
	return err == nil, err
}

// read reports false if there is no such document.
func (a Archive) read(ctx context.Context, key string, document any) (bool, error) {
	var text []byte
	err := objects.Patiently(ctx, func() error {
		ctx, cancel := a.Options.Attempt(ctx, 0)
		defer cancel()
		out, err := a.Options.Get(ctx, a.API, &s3.GetObjectInput{Bucket: &a.Bucket, Key: &key})
		if err != nil {
			return err
		}
		defer func() { _ = out.Body.Close() }() // it was only read
		text, err = io.ReadAll(io.LimitReader(out.Body, maxDocument))
		return err
	})
	switch {
	case objects.Status(err) == http.StatusNotFound:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read s3://%s/%s: %w", a.Bucket, key, err)
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(document); err != nil {
		return false, fmt.Errorf("read s3://%s/%s: %w", a.Bucket, key, err)
	}
	return true, nil
}

// plan reads that of a replay; false if it was never begun.
func (a Archive) plan(ctx context.Context, name string) (p Plan, begun bool, err error) {
	begun, err = a.read(ctx, folder+name+"/plan.json", &p)
	if err == nil && begun && p.Format != formatVersion {
		err = fmt.Errorf("the plan of replay %s has format %d, this build reads %d: use a newer one", name, p.Format, formatVersion)
	}
	return p, begun, err
}

// into lists the other replays of the same target that share some of a job's time.
func (a Archive) into(ctx context.Context, j Job) (shared []Plan, err error) {
	in := &s3.ListObjectsV2Input{Bucket: &a.Bucket, Prefix: aws.String(folder), Delimiter: aws.String("/")}
	var names []string
	err = a.Options.List(ctx, a.API, in, func(page *s3.ListObjectsV2Output) error {
		for _, p := range page.CommonPrefixes {
			names = append(names, path.Base(strings.TrimSuffix(aws.ToString(p.Prefix), "/")))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if name == j.Name() {
			continue
		}
		p, begun, err := a.plan(ctx, name)
		if err != nil {
			return nil, err
		}
		if from, _ := j.overlap(p.Job); begun && !from.IsZero() && p.Kind == j.Kind && p.Into == j.Into {
			shared = append(shared, p)
		}
	}
	return shared, nil
}
