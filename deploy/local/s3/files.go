package s3

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// files are the few durable operations on the directory. os.Root keeps every
// path inside it, whatever a key or a symbolic link says.
type files struct{ root *os.Root }

// create opens a new temporary file and names it.
func (f files) create() (*os.File, string, error) {
	name := path.Join(tempDir, rand.Text())
	file, err := f.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, "", fmt.Errorf("create temporary file: %w", err)
	}
	return file, name, nil
}

// place moves a synced temporary file to its name, making the directories above
// it, and syncs what makes the name durable.
func (f files) place(temp, name string) error {
	if err := f.mkdir(path.Dir(name)); err != nil {
		return err
	}
	if err := f.root.Rename(temp, name); err != nil {
		return fmt.Errorf("rename: %w", err)
	}
	return f.sync(path.Dir(name))
}

// write stores a small file as a whole.
func (f files) write(name string, content []byte) error {
	file, temp, err := f.create()
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", name, err), f.remove(temp))
	}
	if err := f.place(temp, name); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", name, err), f.remove(temp))
	}
	return nil
}

// mkdir makes dir and those above it, durably.
func (f files) mkdir(dir string) error {
	if info, err := f.root.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if err := f.root.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	for dir != "." {
		dir = path.Dir(dir)
		if err := f.sync(dir); err != nil {
			return err
		}
	}
	return nil
}

func (f files) sync(dir string) error {
	d, err := f.root.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}

// remove is no error when there is nothing.
func (f files) remove(name string) error {
	if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// read is a small file's content.
func (f files) read(name string, limit int64) ([]byte, error) {
	file, err := f.root.Open(name)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(file, limit))
	return content, errors.Join(err, file.Close())
}

// list is a directory's entries; one that does not exist has none.
func (f files) list(dir string) ([]fs.DirEntry, error) {
	d, err := f.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	entries, err := d.ReadDir(-1)
	if err := errors.Join(err, d.Close()); err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	return entries, nil
}
