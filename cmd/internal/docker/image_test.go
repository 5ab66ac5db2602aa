package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
)

const image = "tributary-docker-test"

// importImage makes an image from the static busybox, without any registry.
func (d *daemon) importImage(ctx context.Context) error {
	const busybox = "/bin/busybox"
	if f, err := elf.Open(busybox); err != nil {
		return fmt.Errorf("look at busybox: %w", err)
	} else {
		libraries, err := f.ImportedLibraries()
		_ = f.Close()
		if err != nil || len(libraries) > 0 {
			return fmt.Errorf("%s is not static: install busybox-static", busybox)
		}
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		return fmt.Errorf("read busybox: %w", err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err = w.WriteHeader(&tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(program)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = w.Write(program)
	}
	for _, name := range []string{"sh", "cat", "sleep", "usleep"} {
		if err == nil {
			err = w.WriteHeader(&tar.Header{Name: "bin/" + name, Linkname: "busybox", Typeflag: tar.TypeSymlink})
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return fmt.Errorf("make the image: %w", err)
	}
	path := filepath.Join(d.dir, "image.tar")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write the image: %w", err)
	}
	_, err = d.docker(ctx, "import", path, image)
	return err
}
