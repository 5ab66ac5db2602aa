package app

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.uber.org/fx"

	"tributary/deploy/local/fault"
	"tributary/deploy/local/localtest"
	"tributary/sinks/objects"
)

// lookAtBuckets starts nothing but the check and gives what it says and logs.
func lookAtBuckets(t *testing.T, s *Settings, client *s3.Client) (logged string, said error) {
	t.Helper()
	var log bytes.Buffer
	app, err := start(t, &Outcome{}, func(lc fx.Lifecycle) { CheckBucket(lc, s, client, slog.New(slog.NewTextHandler(&log, nil))) })
	stop(t, app)
	return log.String(), err
}

func settings(change func(*Settings)) *Settings {
	s := Defaults()
	s.Lake.Bucket = "mine"
	change(s)
	s.finish()
	return s
}

func TestBucketsAreLookedAtBeforeTheStart(t *testing.T) {
	server := localtest.Start(t)
	cfg := server.AWS
	cfg.RetryMaxAttempts = 1
	client := NewS3(cfg)
	for _, name := range []string{"mine", "spare"} {
		if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(name)}); err != nil {
			t.Fatal(err)
		}
	}
	const stranger = "111122223333"
	away := []fault.Rule{{Service: "s3", Operation: "HeadBucket", Action: fault.Error}}
	for name, c := range map[string]struct {
		set   func(*Settings)
		rules []fault.Rule
		says  string // empty: the start goes on
		logs  string
	}{
		"it is there":                        {set: func(*Settings) {}},
		"it is there and whose it should be": {set: func(s *Settings) { s.Lake.ExpectedBucketOwner = "000000000000" }},
		"it is missing":                      {set: func(s *Settings) { s.Lake.Bucket = "missing" }, says: "bucket missing does not exist: create it, or set lake.bucket"},
		"it is another account's": {set: func(s *Settings) { s.Lake.ExpectedBucketOwner = stranger },
			says: "bucket mine does not belong to account 111122223333: set lake.bucket or lake.expected_bucket_owner"},
		"that of the rejects is missing": {set: func(s *Settings) { s.Lake.Rejects.Bucket = "missing" }, says: "set lake.rejects.bucket"},
		"that of the rejects is another account's": {set: func(s *Settings) { s.Lake.Rejects.Bucket, s.Lake.Rejects.ExpectedBucketOwner = "spare", stranger },
			says: "bucket spare does not belong to account 111122223333: set lake.rejects.bucket"},
		"S3 is away": {set: func(*Settings) {}, rules: away, logs: "bucket not looked at"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := server.Faults.Replace(c.rules); err != nil {
				t.Fatal(err)
			}
			logged, said := lookAtBuckets(t, settings(c.set), client)
			if (said == nil) != (c.says == "") || said != nil && (!strings.Contains(said.Error(), c.says) || Code(said) != 2) {
				t.Errorf("the start ends with %v, want %q", said, c.says)
			}
			if (logged == "") != (c.logs == "") || !strings.Contains(logged, c.logs) {
				t.Errorf("logged is %q, want %q", logged, c.logs)
			}
		})
	}
}

func TestABucketThatMayNotBeLookedAtHindersNoStart(t *testing.T) {
	server := localtest.Start(t)
	denies := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer denies.Close()
	cfg := server.AWS
	cfg.BaseEndpoint = &denies.URL
	for _, owner := range []string{"", "111122223333"} {
		logged, said := lookAtBuckets(t, settings(func(s *Settings) { s.Lake.ExpectedBucketOwner = owner }), NewS3(cfg))
		if said != nil || !strings.Contains(logged, "s3:ListBucket is missing") || strings.Count(logged, "\n") != 1 {
			t.Errorf("for owner %q the start ends with %v and logs %q", owner, said, logged)
		}
	}
}

func TestRejectsInTheLakesBucketAreWrittenAsTheLake(t *testing.T) {
	lake := func(s *Settings) {
		s.Lake.ServerSideEncryption, s.Lake.KMSKeyID, s.Lake.StorageClass, s.Lake.ExpectedBucketOwner = "aws:kms", "alias/logs", "GLACIER_IR", "111122223333"
	}
	for name, c := range map[string]struct {
		set  func(*Settings)
		want objects.Options
	}{
		"in the lake's bucket": {func(*Settings) {}, objects.Options{ServerSideEncryption: "aws:kms", KMSKeyID: "alias/logs", StorageClass: "GLACIER_IR", ExpectedBucketOwner: "111122223333"}},
		"in the lake's bucket, of another class": {func(s *Settings) { s.Lake.Rejects.StorageClass = "STANDARD" },
			objects.Options{ServerSideEncryption: "aws:kms", KMSKeyID: "alias/logs", StorageClass: "STANDARD", ExpectedBucketOwner: "111122223333"}},
		"in a bucket of their own": {func(s *Settings) { s.Lake.Rejects.Bucket = "spare" }, objects.Options{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := settings(func(s *Settings) { lake(s); c.set(s) })
			c.want.AttemptTimeout = s.Lake.Rejects.AttemptTimeout
			if s.Lake.Rejects.Options != c.want {
				t.Errorf("options are %+v, want %+v", s.Lake.Rejects.Options, c.want)
			}
		})
	}
	wrong := settings(func(s *Settings) { s.Lake.StorageClass = "GLACIER" })
	if err := wrong.CheckLake(); err == nil || strings.Count(err.Error(), "GLACIER") != 1 || !strings.Contains(err.Error(), "lake.storage_class GLACIER cannot be read at once") {
		t.Errorf("a wrong class is told as %v", err)
	}
}
