// Command tributary carries container logs from the Docker log driver through
// Kinesis into a Parquet lake.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // rules.time_zone must work in an image without zone files

	"tributary/cmd/internal/app"
)

// version is set by the linker.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := app.Explain(newRoot().ExecuteContext(ctx))
	stop()
	if code := app.Code(err); code != 0 {
		fmt.Fprintln(os.Stderr, "tributary: "+app.OneLine(err))
		os.Exit(code)
	}
}
