package fluent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

// ClientTLS is the client's side of TLS, which a tls:// address has. The files, all
// PEM, are read at each new connection.
type ClientTLS struct {
	// CAFile holds the authorities of the server's certificate; empty: the system's.
	CAFile string `koanf:"ca_file" json:"ca_file"`
	// ServerName is what the certificate must be for; empty: the address's host.
	ServerName string `koanf:"server_name" json:"server_name"`
	// CertFile and KeyFile are shown to a server that asks for a certificate.
	CertFile string `koanf:"cert_file" json:"cert_file"`
	KeyFile  string `koanf:"key_file" json:"key_file"`
}

// ClientSecurity is the client's side of the handshake. With a key it talks to no
// server that does not prove that it knows it too.
type ClientSecurity struct {
	SharedKey string `koanf:"shared_key" json:"-"`
	User      string `koanf:"user" json:"user"`
	Password  string `koanf:"password" json:"-"`
	// SelfHostname is the client's name; empty: "client of" the machine's. It must not
	// be the server's.
	SelfHostname string `koanf:"self_hostname" json:"self_hostname"`
}

func (c ClientConfig) validateSecurity() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	a, err := parseAddress("address", c.Address)
	if err == nil && !a.tls && c.TLS != (ClientTLS{}) {
		fault("tls is set, but address %q is not: it must begin with tls://", c.Address)
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		fault("tls: cert_file and key_file must both be set, or neither")
	}
	s := c.Security
	if (s.User == "") != (s.Password == "") {
		fault("security: user and password must both be set, or neither")
	}
	if s.User != "" && s.SharedKey == "" {
		fault("security.user is set without shared_key: a user is told only in its handshake")
	}
	if len(s.SelfHostname) > maxHostnameBytes || len(s.User) > maxHostnameBytes {
		fault("security: self_hostname and user must have %d bytes at most", maxHostnameBytes)
	}
	return errors.Join(faults...)
}

// Load reads the files, to show early what is wrong with them.
func (c ClientTLS) Load() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.CAFile != "" {
		text, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s: %w", c.CAFile, errNoCertificate)
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("%s with %s: %w", c.CertFile, c.KeyFile, err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

var (
	errNoAnswer    = errors.New("the server does not answer to TLS or the handshake")
	errNoHelo      = errors.New("the server asks for no shared key, and so proves none")
	errServerKey   = errors.New("the server has another shared key")
	errMirror      = errors.New("the server has the client's own name in the handshake: set another self_hostname")
	errKeepsAsking = errors.New("the server asks for a user, and none is set")
)

// open connects, with TLS and the handshake where they are configured, within
// DialTimeout.
func (c *Client) open(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.DialTimeout, fmt.Errorf("%w within %s", errNoAnswer, c.cfg.DialTimeout))
	defer cancel()
	nc, err := c.dialer.DialContext(ctx, c.address.network, c.address.name)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	greeted, err := c.greet(nc)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		nc.Close()
		if cause := context.Cause(ctx); cause != nil {
			err = cause // closed by ourselves, which says nothing
		}
		return nil, err
	}
	return greeted, nil
}

func (c *Client) greet(nc net.Conn) (net.Conn, error) {
	if c.address.tls {
		conf, err := c.cfg.TLS.Load()
		if err != nil {
			return nil, fmt.Errorf("read TLS files: %w", err)
		}
		if conf.ServerName == "" {
			if conf.ServerName, _, err = net.SplitHostPort(c.address.name); err != nil {
				return nil, err
			}
		}
		secured := tls.Client(nc, conf)
		if err := secured.Handshake(); err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
		nc = secured
	}
	if c.cfg.Security.SharedKey == "" {
		return nc, nil
	}
	if err := c.cfg.Security.introduce(nc); err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return nc, nil
}

// introduce reads HELO, says PING and checks PONG. The salt is new each time, so
// that what one server has heard serves none at another.
func (c ClientSecurity) introduce(nc net.Conn) error {
	b, err := readAnswer(nc)
	if err != nil {
		return err
	}
	h, err := parseHelo(b)
	if err != nil {
		return errNoHelo
	}
	key := []byte(c.SharedKey)
	m := ping{host: []byte(c.SelfHostname), salt: newSalt()}
	if len(m.host) == 0 {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("find the host name: %w", err)
		}
		m.host = []byte("client of " + name)
		m.host = m.host[:min(len(m.host), maxHostnameBytes)]
	}
	m.digest = digest(m.salt, m.host, h.nonce, key)
	switch {
	case len(h.auth) > 0 && c.User == "":
		return errKeepsAsking
	case len(h.auth) > 0:
		m.user = []byte(c.User)
		m.passwordDigest = digest(h.auth, m.user, []byte(c.Password))
	}
	if _, err := nc.Write(m.append(nil)); err != nil {
		return fmt.Errorf("write PING: %w", err)
	}
	if b, err = readAnswer(nc); err != nil {
		return err
	}
	p, err := parsePong(b)
	switch {
	case err != nil:
		return err
	case !p.ok:
		return fmt.Errorf("the server refuses: %.100q", p.reason)
	case string(p.host) == string(m.host):
		return errMirror // it may have sent back our own digest
	case !same(p.digest, digest(m.salt, p.host, h.nonce, key)):
		return errServerKey
	}
	return nil
}

// readAnswer reads one value. A server says nothing more before it is asked.
func readAnswer(nc net.Conn) ([]byte, error) {
	buf := make([]byte, maxAckBytes)
	s := newScanner(maxAckBytes, maxAckDepth)
	for end := 0; end < len(buf); {
		n, err := nc.Read(buf[end:])
		end += n
		if n > 0 {
			whole, err := s.scan(buf[:end])
			switch {
			case err != nil:
				return nil, err
			case whole && s.off < end:
				return nil, errHandshake
			case whole:
				return buf[:end], nil
			}
			continue
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil, errServerClosed
		case err != nil:
			return nil, err
		}
	}
	return nil, errHandshake
}
