package treasuredata

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
)

// Key returns the API key. It is asked again after the key was refused.
type Key func(ctx context.Context) (string, error)

// keyOf is where a configuration says the key is.
func (c Config) keyOf(given Key) (Key, error) {
	switch {
	case given != nil && (c.APIKey != "" || c.APIKeyFile != ""):
		return nil, errors.New("the key is given twice")
	case given != nil:
		return given, nil
	case c.APIKeyFile != "":
		return func(context.Context) (string, error) {
			text, err := os.ReadFile(c.APIKeyFile)
			if err != nil {
				return "", fmt.Errorf("api_key_file: %w", err)
			}
			return string(text), nil
		}, nil
	case c.APIKey != "":
		return func(context.Context) (string, error) { return string(c.APIKey), nil }, nil
	}
	return nil, errors.New("api_key is missing: set it, api_key_file, or a secret of AWS Secrets Manager")
}

// keyring remembers the key until it is refused.
type keyring struct {
	fetch Key
	mu    sync.Mutex
	key   string
}

func (k *keyring) get(ctx context.Context) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.key != "" {
		return k.key, nil
	}
	text, err := k.fetch(ctx)
	if err != nil {
		return "", fmt.Errorf("read the API key: %w", err)
	}
	text = strings.TrimSpace(text)
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", errors.New("read the API key: it is empty or has characters that no key has")
	}
	k.key = text
	return text, nil
}

// refused forgets the key, unless another one was read meanwhile.
func (k *keyring) refused(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.key == key {
		k.key = ""
	}
}
