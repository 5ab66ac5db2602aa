// Package config reads a configuration struct from defaults, a YAML file, the
// environment and flags, in that order, the later winning.
//
// Keys are the struct's koanf tags joined by dots: forward.spool.max_bytes. Every
// key is also an environment variable, TRIBUTARY_FORWARD_SPOOL_MAX_BYTES. A key
// nobody knows is a fault that names the nearest known one. Keys that end in
// _bytes take sizes ("64MiB"), time.Duration fields take durations ("5m").
package config
