package rejects

import (
	"errors"
	"fmt"
	"strings"

	"tributary/sinks/objects"
)

// Config says where rejects are kept.
type Config struct {
	// Bucket is the S3 bucket; it must exist.
	Bucket string `koanf:"bucket" json:"bucket"`
	// Prefix is the folder of all groups' rejects.
	Prefix string `koanf:"prefix" json:"prefix"`
	// Group is the consumer group, a folder below the prefix.
	Group string `koanf:"group" json:"group"`
	// ObjectBytes close an object; a longer item goes alone. One object at a time
	// is in memory beside the items.
	ObjectBytes     int64 `koanf:"object_bytes" json:"object_bytes"`
	objects.Options `koanf:",squash"`
}

// DefaultConfig lacks bucket and group.
func DefaultConfig() Config {
	return Config{
		Prefix: "rejects",
		// A whole record in base64 is 11 MiB at most (8 MiB decoded): one fits, and an
		// editor still opens it.
		ObjectBytes: 16 << 20,
		Options:     objects.DefaultOptions(),
	}
}

// Validate joins all faults.
func (c Config) Validate() error {
	var errs []error
	if c.Bucket == "" {
		errs = append(errs, errors.New("bucket is missing: name an existing S3 bucket"))
	}
	errs = append(errs, checkFolder("prefix", c.Prefix), checkFolder("group", c.Group))
	if strings.Contains(c.Group, "/") {
		errs = append(errs, fmt.Errorf("group %q has a slash: it is one folder", c.Group))
	}
	if c.Group == replaysFolder {
		errs = append(errs, fmt.Errorf("group %q: the manifests of replays lie there", c.Group))
	}
	if c.ObjectBytes < 64<<10 || c.ObjectBytes > 1<<30 {
		errs = append(errs, fmt.Errorf("object_bytes %d is not within %d and %d", c.ObjectBytes, 64<<10, 1<<30))
	}
	return errors.Join(append(errs, c.Options.Validate())...)
}

// checkFolder refuses what is a key in S3 but no path elsewhere.
func checkFolder(key, path string) error {
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("%s %q has a part %q: it needs a name, without a slash at an end", key, path, part)
		}
	}
	return nil
}
