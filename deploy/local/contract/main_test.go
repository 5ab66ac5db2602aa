package contract_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	options := []goleak.Option{goleak.Cleanup(func(code int) {
		fmt.Print(&summary)
		os.Exit(code)
	})}
	if os.Getenv(awsVariable) == "1" {
		// The SDK's credential providers keep connections of their own, which nothing closes.
		options = append(options, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
	}
	goleak.VerifyTestMain(m, options...)
}
