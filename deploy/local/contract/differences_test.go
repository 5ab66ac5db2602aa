package contract_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A difference is a case in which a server does not do what the case says, while the documentation does.
type difference struct {
	server string
	says   string // the case
	does   string // what the server does instead
	shows  string // a part of the failure's text, so that another failure is not taken for this one; empty with norun
	docs   string // the documentation's word
	url    string // where it says so
	norun  bool   // the case would hang, kill or slow the server down, or fail at times only; all others are run and have to fail
}

// differences are all there are, by service.
var differences = map[string][]difference{
	"Kinesis":  kinesisDifferences,
	"DynamoDB": dynamodbDifferences,
	"S3":       s3Differences,
}

// sentences are what each service is asked, to find entries whose case is gone.
func sentences() map[string][]string {
	return map[string][]string{
		"Kinesis":  kinesisSuite.sentences(),
		"DynamoDB": dynamodbSuite.sentences(),
		"S3":       s3Suite.sentences(),
		"Logs":     logsSuite.sentences(),
	}
}

func lookUp(service, server, says string) *difference {
	for i, d := range differences[service] {
		if d.server == server && d.says == says {
			return &differences[service][i]
		}
	}
	return nil
}

func TestDifferences(t *testing.T) {
	for service, all := range sentences() {
		for i, says := range all {
			if slices.Contains(all[:i], says) {
				t.Errorf("%s: two cases say %q", service, says)
			}
		}
	}
	for service, all := range differences {
		for i, d := range all {
			t.Logf("%s, %s: %s\n\tdoes: %s\n\tdocumentation: %s\n\t%s\n\trun: %t", service, d.server, d.says, d.does, d.docs, d.url, !d.norun)
			if err := d.faulty(sentences()[service]); err != nil {
				t.Errorf("%s, %s, %q: %v", service, d.server, d.says, err)
			}
			if slices.ContainsFunc(all[:i], func(o difference) bool { return o.server == d.server && o.says == d.says }) {
				t.Errorf("%s, %s: %q stands twice", service, d.server, d.says)
			}
		}
	}
}

func (d difference) faulty(sentences []string) error {
	switch {
	case !slices.Contains(sentences, d.says):
		return fmt.Errorf("no case says this")
	case d.does == "" || d.docs == "" || !strings.HasPrefix(d.url, "https://"):
		return fmt.Errorf("want what it does, the documentation's word and its address")
	case d.norun == (d.shows != ""):
		return fmt.Errorf("want a part of the failure's text if the case is run, and none if not")
	}
	return nil
}
