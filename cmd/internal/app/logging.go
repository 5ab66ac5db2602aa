package app

import (
	"fmt"
	"io"
	"log/slog"
)

// LogConfig chooses what is logged, and how.
type LogConfig struct {
	Level  string `koanf:"level" json:"level"`   // debug, info, warn, error
	Format string `koanf:"format" json:"format"` // auto (text on a terminal, else json), text, json
}

// NewLogger logs to w.
func NewLogger(cfg LogConfig, w io.Writer, terminal bool) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		return nil, Faultf("log.level is %q, want debug, info, warn or error", cfg.Level)
	}
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: readable}
	switch {
	case cfg.Format == "json", cfg.Format == "auto" && !terminal:
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	case cfg.Format == "text", cfg.Format == "auto":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	}
	return nil, Fault{fmt.Errorf("log.format is %q, want auto, text or json", cfg.Format)}
}

// readable writes durations as "10s": in JSON they would be nanoseconds.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}
