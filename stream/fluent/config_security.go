package fluent

import (
	"errors"
	"fmt"
	"strings"
)

// TLSConfig names the files of the server's TLS, all PEM. They are looked at every
// ten seconds: what has changed serves new connections, those that stand stay as
// they are, and files that cannot serve change nothing.
type TLSConfig struct {
	// CertFile is the server's certificate, followed by its chain; KeyFile its key.
	CertFile string `koanf:"cert_file" json:"cert_file"`
	KeyFile  string `koanf:"key_file" json:"key_file"`
	// ClientCAFile holds the authorities of client certificates. When it is set,
	// every client must show one.
	ClientCAFile string `koanf:"client_ca_file" json:"client_ca_file"`
}

func (c TLSConfig) validate(listens bool) error {
	switch {
	case (c.CertFile == "") != (c.KeyFile == ""):
		return errors.New("tls: cert_file and key_file must both be set, or neither")
	case c.CertFile == "" && listens:
		return errors.New("tls.cert_file is not set: a tls:// address needs a certificate and its key")
	case c.CertFile == "" && c.ClientCAFile != "":
		return errors.New("tls.client_ca_file is set without cert_file and key_file")
	}
	return nil
}

// Values of SecurityConfig.AskOn.
const (
	AskRemote = "remote"
	AskAll    = "all"
)

// SecurityConfig is the handshake of the Forward protocol, as Fluentd and Fluent Bit
// speak it. Without a key there is none. Docker's log driver does not speak it.
type SecurityConfig struct {
	// SharedKey is what clients must know, or SharedKeyFile holds it (a newline at its
	// end is not of it).
	SharedKey     string `koanf:"shared_key" json:"-"`
	SharedKeyFile string `koanf:"shared_key_file" json:"shared_key_file"`
	// Passwords, each "user:password", are asked for besides; PasswordsFile holds one
	// on each line.
	Passwords     []string `koanf:"passwords" json:"-"`
	PasswordsFile string   `koanf:"passwords_file" json:"passwords_file"`
	// AskOn is where clients are asked: "remote" is all addresses but unix and
	// loopback, so that Docker goes on beside it; "all" is all.
	AskOn string `koanf:"ask_on" json:"ask_on"`
	// SelfHostname is the server's name in the handshake; empty: the machine's.
	// Fluentd refuses a server that has its own name.
	SelfHostname string `koanf:"self_hostname" json:"self_hostname"`
	// Keepalive lets clients keep a connection for more than one request.
	Keepalive bool `koanf:"keepalive" json:"keepalive"`
}

// maxHostnameBytes bounds a name in the handshake: Fluent Bit reads a PONG into 1 KiB.
const maxHostnameBytes = 255

// asks reports whether there is a handshake at all.
func (c SecurityConfig) asks() bool { return c.SharedKey != "" || c.SharedKeyFile != "" }

func (c SecurityConfig) validate() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("security."+format, args...))
	}
	if c.SharedKey != "" && c.SharedKeyFile != "" {
		fault("shared_key and shared_key_file are both set: set one")
	}
	if len(c.Passwords) > 0 && c.PasswordsFile != "" {
		fault("passwords and passwords_file are both set: set one")
	}
	if !c.asks() && (len(c.Passwords) > 0 || c.PasswordsFile != "") {
		fault("passwords are set without shared_key: users are asked only in its handshake")
	}
	if _, err := parsePasswords(c.Passwords); err != nil {
		fault("passwords: %w", err)
	}
	if c.AskOn != AskRemote && c.AskOn != AskAll {
		fault("ask_on is %q: must be %s or %s", c.AskOn, AskRemote, AskAll)
	}
	if len(c.SelfHostname) > maxHostnameBytes {
		fault("self_hostname has %d bytes: must be %d at most", len(c.SelfHostname), maxHostnameBytes)
	}
	return errors.Join(faults...)
}

// parsePasswords returns passwords by user. Its error names places, not contents.
func parsePasswords(lines []string) (map[string]string, error) {
	users := make(map[string]string, len(lines))
	for i, line := range lines {
		user, password, ok := strings.Cut(line, ":")
		if !ok || user == "" || password == "" {
			return nil, fmt.Errorf("number %d is not user:password", i+1)
		}
		if _, twice := users[user]; twice {
			return nil, fmt.Errorf("number %d has the user of one before", i+1)
		}
		users[user] = password
	}
	return users, nil
}
