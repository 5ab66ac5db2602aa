package fluent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// reloadEvery is how often the files of TLS are looked at.
const reloadEvery = 10 * time.Second

// certificates are the server's pair and the authorities of its clients, as the
// files last held them well.
type certificates struct {
	cfg     TLSConfig
	metrics *metrics
	log     *slog.Logger
	inForce atomic.Pointer[tls.Config]

	// Of the goroutine that loads:
	seen    [sha256.Size]byte // of what inForce was made of
	suspect [sha256.Size]byte // of what could not be used when it was last looked at
	told    bool              // that suspect is refused
}

// tlsFiles is what the files hold.
type tlsFiles struct{ cert, key, clientCA []byte }

func (c TLSConfig) read() (p tlsFiles, err error) {
	if p.cert, err = os.ReadFile(c.CertFile); err != nil {
		return p, err
	}
	if p.key, err = os.ReadFile(c.KeyFile); err != nil {
		return p, err
	}
	if c.ClientCAFile != "" {
		p.clientCA, err = os.ReadFile(c.ClientCAFile)
	}
	return p, err
}

func (p tlsFiles) sum(err error) [sha256.Size]byte {
	parts := [][]byte{p.cert, p.key, p.clientCA}
	if err != nil {
		parts = append(parts, []byte(err.Error()))
	}
	return sha256.Sum256(bytes.Join(parts, []byte{0}))
}

// config makes the server's TLS of what the files hold.
func (c TLSConfig) config(p tlsFiles) (*tls.Config, error) {
	pair, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil {
		return nil, fmt.Errorf("%s with %s: %w", c.CertFile, c.KeyFile, err)
	}
	out := &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
		// Connections last for days; a ticket would outlive a change of authorities.
		SessionTicketsDisabled: true,
	}
	if c.ClientCAFile != "" {
		out.ClientCAs, out.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !out.ClientCAs.AppendCertsFromPEM(p.clientCA) {
			return nil, fmt.Errorf("%s: %w", c.ClientCAFile, errNoCertificate)
		}
	}
	return out, nil
}

var (
	errNoCertificate = errors.New("there is no certificate in it")
	errExpired       = errors.New("the certificate has expired")
)

// load reads the files for the first time.
func (c *certificates) load() error {
	p, err := c.cfg.read()
	if err != nil {
		return err
	}
	conf, err := c.cfg.config(p)
	if err != nil {
		return err
	}
	c.use(conf, p.sum(nil))
	if ends := expiry(conf); ends.Before(time.Now()) {
		// Other addresses need not fall with this one.
		c.log.Warn("TLS certificate has expired, clients will refuse it", "cert_file", c.cfg.CertFile, "expired", ends)
	}
	return nil
}

func (c *certificates) use(conf *tls.Config, sum [sha256.Size]byte) {
	c.seen, c.suspect, c.told = sum, [sha256.Size]byte{}, false
	c.inForce.Store(conf)
	c.metrics.certExpiry.Set(float64(expiry(conf).Unix()))
}

func expiry(conf *tls.Config) time.Time { return conf.Certificates[0].Leaf.NotAfter }

// serve is the configuration of listeners: each connection has what is in force
// when it begins.
func (c *certificates) serve() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS12,
		SessionTicketsDisabled: true,
		GetConfigForClient:     func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.inForce.Load(), nil },
	}
}

// watch looks at the files until ctx ends.
func (c *certificates) watch(ctx context.Context) {
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.look()
		case <-ctx.Done():
			return
		}
	}
}

// look takes what has changed, if it is good. What is not is refused when it is the
// same at the next look: files are written one after the other.
func (c *certificates) look() {
	p, err := c.cfg.read()
	sum := p.sum(err)
	if sum == c.seen {
		c.suspect, c.told = [sha256.Size]byte{}, false
		return
	}
	var conf *tls.Config
	if err == nil {
		conf, err = c.cfg.config(p)
	}
	if err == nil && expiry(conf).Before(time.Now()) {
		err = fmt.Errorf("%s: %w", c.cfg.CertFile, errExpired)
	}
	switch {
	case err == nil:
		c.use(conf, sum)
		c.metrics.certsLoaded.Inc()
		c.log.Info("TLS files reloaded", "cert_file", c.cfg.CertFile, "expires", expiry(conf))
	case sum != c.suspect:
		c.suspect, c.told = sum, false
	case !c.told:
		c.told = true
		c.metrics.certsRefused.Inc()
		c.log.Warn("new TLS files refused, the old ones stay in force", "err", err)
	}
}
