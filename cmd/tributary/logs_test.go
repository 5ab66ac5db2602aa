package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"tributary/cmd/internal/app"
	"tributary/deploy/local/localtest"
)

// logAccount has log groups.
type logAccount struct {
	t      *testing.T
	server *localtest.Server
}

func newLogAccount(t *testing.T, groups ...string) logAccount {
	t.Helper()
	a := logAccount{t, localtest.Start(t)}
	for _, g := range groups {
		if _, err := a.client().CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &g}); err != nil {
			t.Fatal(err)
		}
		for _, shard := range []string{"shardId-000000000000", "shardId-000000000012"} {
			if _, err := a.client().CreateLogStream(t.Context(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &g, LogStreamName: &shard}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return a
}

func (a logAccount) client() *cloudwatchlogs.Client { return app.NewCloudWatchLogs(a.server.AWS) }

func (a logAccount) put(group string, shard int, at time.Time, message string) {
	a.t.Helper()
	_, err := a.client().PutLogEvents(a.t.Context(), &cloudwatchlogs.PutLogEventsInput{LogGroupName: &group, LogStreamName: aws.String(fmt.Sprintf("shardId-%012d", shard)),
		LogEvents: []types.InputLogEvent{{Timestamp: aws.Int64(at.UnixMilli()), Message: &message}}})
	if err != nil {
		a.t.Fatal(err)
	}
}

// logs runs the command line until it ends.
func (a logAccount) logs(ctx context.Context, out io.Writer, args ...string) error {
	root := newRoot()
	root.SetOut(out)
	root.SetErr(io.Discard)
	root.SetArgs(append([]string{"logs", "--region", "us-east-1", "--set", "aws.endpoint=" + a.server.URL}, args...))
	return app.Explain(root.ExecuteContext(ctx))
}

func TestLogsPrintsWhatServicesSaidAndNothingThatSteersATerminal(t *testing.T) {
	t.Parallel()
	a := newLogAccount(t, "/tributary/condor", "/tributary/condor/errors", "/tributary/crane", "/else")
	at := time.Now().Add(-time.Minute).UTC().Truncate(time.Second)
	a.put("/tributary/condor", 0, at, "plain <text> & \x1b[2Jmore\u202e\ttab")
	a.put("/tributary/crane", 0, at.Add(time.Millisecond), "of a crane")
	a.put("/tributary/condor", 12, at.Add(2*time.Millisecond), "ERROR stack\r\n  at one\n2026-11-22T15:04:05.000Z  condor  forged\rover\n")
	a.put("/tributary/condor/errors", 12, at.Add(2*time.Millisecond), "ERROR stack")
	a.put("/else", 0, at, "else")
	a.put("/tributary/condor", 0, at.Add(-time.Hour), "an hour ago")
	stamp := func(ms int) string {
		return at.Add(time.Duration(ms) * time.Millisecond).Format("2006-01-02T15:04:05.000Z")
	}
	const plain = "plain <text> & \uFFFD[2Jmore\uFFFD\ttab\n"
	const stack = "ERROR stack\n      at one\n    2026-11-22T15:04:05.000Z  condor  forged\uFFFDover\n"
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"a service":               {[]string{"--service", "condor"}, stamp(0) + "  " + plain + stamp(2) + "  " + stack},
		"its errors":              {[]string{"--service", "condor", "--errors"}, stamp(2) + "  ERROR stack\n"},
		"all errors":              {[]string{"--errors"}, stamp(2) + "  condor/errors  ERROR stack\n"},
		"two services":            {[]string{"--service", "condor,crane"}, stamp(0) + "  condor  " + plain + stamp(1) + "  crane  of a crane\n" + stamp(2) + "  condor  " + stack},
		"all services":            {[]string{"--service", "*"}, stamp(0) + "  condor  " + plain + stamp(1) + "  crane  of a crane\n" + stamp(2) + "  condor  " + stack},
		"a group and one below":   {[]string{"--group", "/tributary/condor/", "--group", "/e*"}, stamp(0) + "  /else  else\n" + stamp(2) + "  condor/errors  ERROR stack\n"},
		"a shard by its number":   {[]string{"--service", "condor", "--shard", "12"}, stamp(2) + "  " + stack},
		"streams by a prefix":     {[]string{"--service", "condor", "--stream", "shardId-00000000000"}, stamp(0) + "  " + plain},
		"a filter":                {[]string{"--service", "condor", "--filter", `ERROR -"plain"`}, stamp(2) + "  " + stack},
		"a time range":            {[]string{"--service", "*", "--since", "2h", "--until", "30m"}, stamp(-3_600_000) + "  condor  an hour ago\n"},
		"the first of an hour":    {[]string{"--service", "condor", "--since", "2h", "--limit", "1"}, stamp(-3_600_000) + "  an hour ago\n"},
		"nothing in a short time": {[]string{"--service", "condor", "--since", "1s"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := a.logs(t.Context(), &out, c.args...); err != nil {
				t.Fatal(err)
			}
			if out.String() != c.want {
				t.Errorf(" got %q\nwant %q", out.String(), c.want)
			}
		})
	}
	var out bytes.Buffer
	if err := a.logs(t.Context(), &out, "--service", "condor", "--json"); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var first map[string]string
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || len(lines) != 2 {
		t.Fatalf("%v in %q", err, lines)
	}
	if first["time"] != stamp(0) || first["group"] != "/tributary/condor" || first["stream"] != "shardId-000000000000" || first["message"] != "plain <text> & \x1b[2Jmore\u202e\ttab" ||
		len(first["event_id"]) != 56 || first["ingestion_time"] < stamp(60_000)[:16] || len(first) != 6 {
		t.Errorf("%q", first)
	}
	if !strings.Contains(lines[0], `plain <text> & \u001b[2J`) {
		t.Error(lines[0])
	}
}

func TestFollowedLogsComeUntilCtrlC(t *testing.T) {
	t.Parallel()
	a := newLogAccount(t, "/tributary/condor")
	a.put("/tributary/condor", 0, time.Now(), "first")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	read, write := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- a.logs(ctx, write, "--service", "condor", "-f"); write.Close() }()
	lines := bufio.NewScanner(read)
	for n, want := range []string{"first", "second", "third"} {
		if n > 0 {
			a.put("/tributary/condor", 12*(n%2), time.Now().Add(-time.Second), want)
		}
		if !lines.Scan() || !strings.HasSuffix(lines.Text(), "  "+want) {
			t.Fatalf("%q, want %q: %v", lines.Text(), want, lines.Err())
		}
	}
	cancel()
	if err := <-ended; app.Code(err) != 0 {
		t.Errorf("exit %d: %v", app.Code(err), err)
	}
	if lines.Scan() {
		t.Errorf("more: %q", lines.Text())
	}
}

func TestWrongFlagsOfLogsAreToldInOneLine(t *testing.T) {
	t.Parallel()
	a := newLogAccount(t, "/tributary/condor")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no group":                {nil, "no log group is named: set --service, --group or --errors"},
		"a group by half":         {[]string{"--group", "a b"}, `"a b" names no log group`},
		"a service without name":  {[]string{"--service", ""}, "no log group is named"},
		"two stars":               {[]string{"--service", "*a*"}, "at most one *"},
		"streams twice":           {[]string{"--errors", "--stream", "x", "--shard", "1"}, "leave one of them out"},
		"an end of what goes on":  {[]string{"--errors", "-f", "--until", "1m"}, "leave one of them out"},
		"a begin nobody knows":    {[]string{"--errors", "--since", "soon"}, `--since is "soon"`},
		"an end nobody knows":     {[]string{"--errors", "--until", "soon"}, `--until is "soon"`},
		"an end before the begin": {[]string{"--errors", "--until", "1h"}, "not after its begin"},
		"a limit below zero":      {[]string{"--errors", "--limit", "-1"}, "logs: the limit is -1"},
		"an overlap below zero":   {[]string{"--errors", "--overlap", "-1s"}, "logs: overlap is -1s"},
		"a group that is missing": {[]string{"--service", "cnodor"}, "log group /tributary/cnodor does not exist; the nearest: /tributary/condor"},
		"no errors anywhere":      {[]string{"--errors"}, "there is no log group /tributary/*/errors"},
	} {
		t.Run(name, func(t *testing.T) {
			err := a.logs(t.Context(), io.Discard, c.args...)
			if got := app.OneLine(err); app.Code(err) != 2 || !strings.Contains(got, c.want) {
				t.Errorf("exit %d: %s\nwant %q", app.Code(err), got, c.want)
			}
		})
	}
}

func TestLogsWithoutCredentialsEndsAtOnce(t *testing.T) {
	a := newLogAccount(t)
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_SHARED_CREDENTIALS_FILE": t.TempDir() + "/none", "AWS_CONFIG_FILE": t.TempDir() + "/none"} {
		t.Setenv(name, value)
	}
	err := a.logs(t.Context(), io.Discard, "--service", "condor")
	if app.Code(err) != 2 || !strings.Contains(app.OneLine(err), "no AWS credentials: ") {
		t.Errorf("exit %d: %v", app.Code(err), err)
	}
}
