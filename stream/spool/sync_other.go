//go:build !linux

package spool

import "os"

func dataSync(f *os.File) error { return f.Sync() }
