package main

import (
	"github.com/spf13/cobra"
	"go.uber.org/fx"

	"tributary/cmd/internal/app"
)

func newLocal() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "local",
		Short: "Run everything on this machine: endpoints, forwarder and all destinations, no account needed",
	}
	f := addFlags(cmd, map[string][2]string{
		"dir":    {"local.dir", "directory of all data"},
		"listen": {"forward.server.listen", "tcp://host:port or unix:///path, separated by commas"},
		"limits": {"local.limits", "true: throttle as real shards do"},
		"shards": {"local.shards", "shards of a new stream"},
		"demo":   {"local.demo.enabled", "send a shop's app, audit and other lines to the own forwarder"},
		"rate":   {"local.demo.rate", "lines per second of --demo"},
	})
	cmd.Flags().Lookup("demo").NoOptDefVal = "true"
	endpoints := cmd.Flags().Bool("endpoints-only", false, "run only the endpoints, for forwarders and consumers in processes of their own")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		again := f.again(app.LocalDefaults, (*app.Settings).CheckLocal)
		if *endpoints {
			again = f.again(app.LocalDefaults, (*app.Settings).CheckEndpoints)
		}
		s, err := again()
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("rate") && !s.Local.Demo.Enabled {
			return app.Faultf("--rate is that of --demo: add --demo, or leave --rate out")
		}
		if *endpoints && s.Local.Demo.Enabled {
			return app.Faultf("--demo feeds the forwarder, and with --endpoints-only there is none: leave one of them out")
		}
		if *endpoints {
			return app.Execute(cmd.Context(), s, endpointOptions())
		}
		return app.Execute(cmd.Context(), s, localOptions(again))
	}
	return cmd
}

// localOptions start the endpoints first, the forwarder and what feeds it last, so
// that they stop the other way round: lines into the stream, the stream into its
// destinations, then the endpoints.
func localOptions(again app.Again) fx.Option {
	return fx.Options(
		app.Embedded, app.LimitMemory(app.EndpointsMemory, app.ForwarderMemory, app.LakeMemory, app.RealtimeMemory, app.TreasureDataMemory),
		fx.Supply(again), fx.Provide(app.NewReloader, app.NewProducer, app.NewForwarder, app.NewLakeGroup, app.NewRealtimeGroup, app.NewTreasureDataGroup),
		fx.Invoke(app.RunEndpoints, app.CheckBucket, app.RunAdmin, app.RunLake, app.RunRealtime, app.RunTreasureData, app.Settle, app.RunForwarder, app.Greet, app.RunDemo),
	)
}

// endpointOptions leave forwarder and lake to other processes.
func endpointOptions() fx.Option {
	return fx.Options(app.Embedded, app.LimitMemory(app.EndpointsMemory), fx.Invoke(app.RunEndpoints, app.RunAdmin, app.GreetClients))
}
