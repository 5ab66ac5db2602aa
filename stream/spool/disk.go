package spool

import (
	"io"
	"os"
	"slices"
	"syscall"
)

// Disk is every operation by which the log touches its directory, so that a
// failing or forgetful one can be put underneath. Names are paths.
type Disk interface {
	// MakeDir creates dir with its parents, unless it is there.
	MakeDir(dir string) error
	// Create makes an empty file, in place of one that is there.
	Create(name string) (File, error)
	// Open opens a file for reading, as it can be on a read-only disk too.
	Open(name string) (File, error)
	// Edit opens a file for reading and writing.
	Edit(name string) (File, error)
	// List returns the names of the regular files in dir, sorted.
	List(dir string) ([]string, error)
	Rename(from, to string) error
	Remove(name string) error
	// SyncDir makes creations, renames and removals in dir durable.
	SyncDir(dir string) error
}

// File is an open file of a Disk.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	// Sync makes content and size durable.
	Sync() error
}

// LocalDisk is the operating system's file system.
var LocalDisk Disk = localDisk{}

type localDisk struct{}

// The lines of containers may hold secrets: nobody but the owner reads them.
const (
	fileMode = 0o600
	dirMode  = 0o700
)

func (localDisk) MakeDir(dir string) error { return os.MkdirAll(dir, dirMode) }

func (localDisk) Create(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return nil, err
	}
	return localFile{f}, nil
}

func (localDisk) Open(name string) (File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return localFile{f}, nil
}

func (localDisk) Edit(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return localFile{f}, nil
}

func (localDisk) List(dir string) ([]string, error) {
	found, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range found {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

func (localDisk) Rename(from, to string) error { return os.Rename(from, to) }
func (localDisk) Remove(name string) error     { return os.Remove(name) }

func (localDisk) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

type localFile struct{ *os.File }

func (f localFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f localFile) Sync() error {
	for {
		if err := dataSync(f.File); err != syscall.EINTR {
			return err
		}
	}
}
