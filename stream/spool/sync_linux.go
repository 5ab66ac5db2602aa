package spool

import (
	"os"

	"golang.org/x/sys/unix"
)

// dataSync is fdatasync: content and size, without the times that nobody reads.
func dataSync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }
