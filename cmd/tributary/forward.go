package main

import (
	"github.com/spf13/cobra"
	"go.uber.org/fx"

	"tributary/cmd/internal/app"
)

func newForward() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "forward",
		Short: "Receive lines on this instance and publish them to the stream",
	}
	f := addFlags(cmd, map[string][2]string{
		"listen": {"forward.server.listen", "tcp://host:port, tls://host:port or unix:///path, separated by commas"},
		"spool":  {"forward.spool.dir", "directory of the spool"},
	})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		again := f.again(app.Defaults, (*app.Settings).CheckForward)
		s, err := again()
		if err != nil {
			return err
		}
		return app.Execute(cmd.Context(), s, forwardOptions(again))
	}
	return cmd
}

func forwardOptions(again app.Again) fx.Option {
	return fx.Options(
		app.AWS, app.LimitMemory(app.ForwarderMemory), app.BoundGrowth, fx.Supply(again), fx.Provide(app.NewProducer, app.NewForwarder, app.NewReloader),
		fx.Invoke(app.CheckStream, app.RunAdmin, app.RunForwarder),
	)
}
