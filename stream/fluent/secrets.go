package fluent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// secrets are what the handshake is about.
type secrets struct {
	host  string            // the server's name
	key   string            // not empty
	users map[string]string // passwords; empty: users are not asked for
}

// load reads the files that c names; nil without a key.
func (c SecurityConfig) load() (*secrets, error) {
	if !c.asks() {
		return nil, nil
	}
	s := &secrets{host: c.SelfHostname, key: c.SharedKey}
	var err error
	if s.host == "" {
		if s.host, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("find the host name: %w", err)
		}
		s.host = s.host[:min(len(s.host), maxHostnameBytes)]
	}
	if c.SharedKeyFile != "" {
		if s.key, err = ReadSecret(c.SharedKeyFile); err != nil {
			return nil, fmt.Errorf("shared key: %w", err)
		}
	}
	lines := c.Passwords
	if c.PasswordsFile != "" {
		text, err := ReadSecret(c.PasswordsFile)
		if err != nil {
			return nil, fmt.Errorf("passwords: %w", err)
		}
		lines = strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	}
	if s.users, err = parsePasswords(lines); err != nil {
		return nil, fmt.Errorf("passwords: %w", err)
	}
	return s, nil
}

// maxSecretBytes is more than a file of a thousand users.
const maxSecretBytes = 256 << 10

// ReadSecret reads a file whose content must not be shown: without the newlines at
// its end, and not empty.
func ReadSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecretBytes+1))
	if err != nil {
		return "", err
	}
	if len(text) > maxSecretBytes {
		return "", fmt.Errorf("%s has more than %d bytes", path, maxSecretBytes)
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" {
		return "", fmt.Errorf("%s: %w", path, errEmpty)
	}
	return secret, nil
}

var errEmpty = errors.New("the file is empty")
