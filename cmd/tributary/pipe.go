package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tributary/cmd/internal/app"
	"tributary/cmd/internal/pipe"
	"tributary/stream/fluent"
)

func newPipe() *cobra.Command {
	cfg := pipe.DefaultConfig()
	var tee, quiet bool
	cmd := &cobra.Command{
		Use:   "pipe --service NAME",
		Short: "Send the lines of standard input to a forwarder",
		Long: `Send the lines of standard input to a forwarder, as if the program that writes
them ran in a container. Each byte of a line but its newline arrives as it is;
an empty line is a line.

The command ends with 0 when all lines are acked, that is, safe on the
forwarder's disk; with 1 when they are not; with 2 when it was called wrongly.
Ctrl-C ends reading and waits for the acks; a second one ends at once.`,
		Example: `  ./batch-job | tributary pipe --service batch-job
  tail -F app.log | tributary pipe --service app --address unix:///run/tributary.sock
  ./batch-job | tributary pipe --service batch-job --address tls://logs.internal:24225 \
    --ca-file ca.pem --shared-key-file /run/secrets/forward`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := cmd.Flags()
	flags.StringVar(&cfg.Service, "service", "", "service of the lines (required)")
	flags.StringVar(&cfg.Address, "address", cfg.Address, "the forwarder: tcp://host:port, tls://host:port or unix:///path")
	flags.StringVar(&cfg.Tag, "tag", cfg.Tag, "tag of the lines")
	flags.DurationVar(&cfg.Timeout, "timeout", cfg.Timeout, "give up when lines wait and nothing is acked for so long;\nbeyond the forwarder's chunk_window (5m) a line may be stored twice")
	var secrets secretFiles
	flags.StringVar(&cfg.TLS.CAFile, "ca-file", "", "authorities of a tls:// forwarder's certificate, PEM (default the system's)")
	flags.StringVar(&cfg.TLS.ServerName, "server-name", "", "name in that certificate (default the address's host)")
	flags.StringVar(&cfg.TLS.CertFile, "cert-file", "", "certificate to show the forwarder, PEM")
	flags.StringVar(&cfg.TLS.KeyFile, "key-file", "", "and its key")
	flags.StringVar(&secrets.key, "shared-key-file", "", "file of the shared key, for a forwarder that asks for it")
	flags.StringVar(&cfg.Security.User, "user", "", "user, for a forwarder that asks for one")
	flags.StringVar(&secrets.password, "password-file", "", "file of that user's password")
	flags.BoolVar(&tee, "tee", false, "copy standard input to standard output")
	flags.BoolVarP(&quiet, "quiet", "q", false, "say nothing unless something is wrong")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if cfg.Service == "" {
			return app.Faultf("pipe: --service is not set: name the service that the lines are from")
		}
		if err := secrets.read(&cfg.Security); err != nil {
			return app.Faultf("pipe: %w", err)
		}
		if err := cfg.Validate(); err != nil {
			return app.Faultf("pipe: %w", err)
		}
		if _, err := cfg.TLS.Load(); err != nil {
			return app.Faultf("pipe: read TLS files: %w", err)
		}
		var copyTo io.Writer
		if tee {
			copyTo = cmd.OutOrStdout()
		}
		return runPipe(cmd, cfg, copyTo, quiet)
	}
	return cmd
}

// secretFiles hold what must not stand on a command line, where others see it.
type secretFiles struct{ key, password string }

func (f secretFiles) read(into *fluent.ClientSecurity) (err error) {
	if f.key != "" {
		if into.SharedKey, err = fluent.ReadSecret(f.key); err != nil {
			return fmt.Errorf("read --shared-key-file: %w", err)
		}
	}
	if f.password != "" {
		if into.Password, err = fluent.ReadSecret(f.password); err != nil {
			return fmt.Errorf("read --password-file: %w", err)
		}
	}
	return nil
}

func runPipe(cmd *cobra.Command, cfg pipe.Config, copyTo io.Writer, quiet bool) error {
	// Otherwise a reader of --tee's copy, or of stderr, that ends early would end
	// this process with lines not acked.
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)
	errOut := cmd.ErrOrStderr()
	typed := isTerminal(cmd.InOrStdin())
	// The line of figures would be drawn over what is typed or copied.
	terminal := isTerminal(errOut) && !quiet && !typed && !isTerminal(copyTo)
	var logTo io.Writer = errOut
	progress := app.NewProgress(errOut, app.Columns)
	if terminal {
		logTo = progress
	}
	if quiet {
		logTo = io.Discard
	}
	log, err := app.NewLogger(app.LogConfig{Level: "info", Format: "text"}, logTo, terminal)
	if err != nil {
		return err
	}
	p, err := pipe.New(cfg, &net.Dialer{}, log)
	if err != nil {
		return app.Faultf("pipe: %w", err)
	}
	if typed {
		log.Info("reading from the terminal: Ctrl-D on an empty line ends")
	}
	stopShowing := func() {}
	if terminal {
		stopShowing = show(progress, p)
	}
	ran := make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() { tellInterrupt(cmd.Context(), ran, log) })
	err = p.Run(cmd.Context(), cmd.InOrStdin(), copyTo)
	close(ran)
	telling.Wait()
	stopShowing()
	lines := p.Figures()
	if err != nil {
		return fmt.Errorf("%s of %s acked: %w", app.Group(float64(lines.Acked)), count(lines.Read), err)
	}
	if !quiet {
		fmt.Fprintf(errOut, "tributary: %s, all acked\n", count(lines.Read))
	}
	return nil
}

// patience is how long a person presses Ctrl-C and wonders.
const patience = 300 * time.Millisecond

// tellInterrupt says why Ctrl-C has not ended the command, unless it has.
func tellInterrupt(ctx context.Context, ran <-chan struct{}, log *slog.Logger) {
	select {
	case <-ctx.Done():
	case <-ran:
		return
	}
	select {
	case <-time.After(patience):
		log.Info("stopping: waiting for acks, Ctrl-C again ends at once")
	case <-ran:
	}
}

func count(lines int64) string {
	if lines == 1 {
		return "1 line"
	}
	return app.Group(float64(lines)) + " lines"
}

// show draws the figures until the returned function is called.
func show(progress *app.Progress, p *pipe.Pipe) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var before pipe.Figures
	go func() {
		defer close(done)
		progress.Show(ctx, func(over time.Duration) string {
			now := p.Figures()
			text := count(now.Read) + " · " + app.Group(float64(now.Acked)) + " acked"
			if now.Trouble != "" {
				text += " · waiting: " + now.Trouble
			} else if over > 0 {
				text += " · " + app.Group(float64(now.Acked-before.Acked)/over.Seconds()) + "/s"
			}
			before = now
			return text
		})
	}()
	return func() { cancel(); <-done }
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
