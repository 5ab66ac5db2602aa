package app

import (
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"tributary/cmd/internal/config"
	"tributary/stream/forwarder"
)

// Again reads and checks the configuration as the command did at its start.
type Again func() (*Settings, error)

// Reloader takes over what of the configuration may change while a forwarder runs: its
// rules.
type Reloader struct {
	again     Again
	started   *Settings
	forwarder *forwarder.Forwarder
	log       *slog.Logger
	good, at  prometheus.Gauge
}

// NewReloader makes the Reloader of a forwarder that was started with s.
func NewReloader(again Again, s *Settings, f *forwarder.Forwarder, reg prometheus.Registerer, log *slog.Logger) *Reloader {
	r := &Reloader{
		again: again, started: s, forwarder: f, log: log,
		good: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tributary_config_last_reload_successful", Help: "1 if the configuration in force is the one last read, 0 if that had faults.",
		}),
		at: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tributary_config_last_reload_success_timestamp_seconds", Help: "When the configuration in force was read.",
		}),
	}
	reg.MustRegister(r.good, r.at)
	r.good.Set(1)
	r.at.SetToCurrentTime()
	return r
}

// Reload reads the configuration again. With a fault in it all stays as it is.
func (r *Reloader) Reload() {
	s, err := r.again()
	var rules *forwarder.Rules
	if err == nil {
		rules, err = s.LineRules()
	}
	if err != nil {
		r.good.Set(0)
		for line := range strings.Lines(err.Error()) {
			r.log.Error("configuration not reloaded, all stays as it is", "err", strings.TrimSuffix(line, "\n"))
		}
		return
	}
	r.forwarder.SetRules(rules)
	r.good.Set(1)
	r.at.SetToCurrentTime()
	if keys := r.fixed(s); len(keys) > 0 {
		r.log.Warn("configuration has changes that need a restart", "keys", strings.Join(keys, ", "))
	}
	r.log.Info("configuration reloaded", "rules", len(s.Forward.Edits.Rules))
}

// fixed lists the keys that have changed and cannot while the process runs.
func (r *Reloader) fixed(s *Settings) (keys []string) {
	for _, key := range config.Changed(r.started, s) {
		switch {
		case strings.HasPrefix(key, "rules."):
		case key == "forward.rules", key == "forward.level_paths", key == "forward.hash_secret", key == "forward.hash_secret_file":
		default:
			keys = append(keys, key)
		}
	}
	return keys
}

// onHangup is what SIGHUP does.
type onHangup struct {
	fx.In
	Reloader *Reloader `optional:"true"`
}

func (h onHangup) handle(log *slog.Logger) {
	if h.Reloader == nil {
		log.Info("nothing to reload: what this command is configured with needs a restart")
		return
	}
	h.Reloader.Reload()
}
