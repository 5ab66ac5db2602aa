package treasuredata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// client speaks to Treasure Data, one attempt per call: the engine repeats the whole
// flush, and ids make that cheap. It is safe for concurrent use.
type client struct {
	http    *http.Client
	api     *host
	imports *host
	key     keyring
	timeout time.Duration
	create  bool
	refused *prometheus.GaugeVec
	creates prometheus.Counter

	creating chan struct{} // one at a time: several bodies miss the same table
}

// host is an endpoint, and until when it does not want to be asked.
type host struct {
	name string // in the configuration
	base *url.URL

	mu    sync.Mutex
	until time.Time
}

func newHost(name, text string) (*host, error) {
	base, err := parseEndpoint(text)
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", name, text, err)
	}
	return &host{name: name, base: base}, nil
}

// paused fails until the time that the host told.
func (h *host) paused() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if wait := time.Until(h.until); wait > 0 {
		return fmt.Errorf("%s asked not to be called for %v more", h.base.Host, wait.Round(time.Second))
	}
	return nil
}

func (h *host) pause(until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if until.After(h.until) {
		h.until = until
	}
}

const (
	// maxPause bounds what a host may ask for.
	maxPause = time.Hour
	// maxAnswer bounds what is read of an answer.
	maxAnswer = 64 << 10
	// maxRedirects bounds how often one request is sent elsewhere.
	maxRedirects = 3
)

// tableName names a table.
type tableName struct{ database, table string }

func (t tableName) String() string { return t.database + "." + t.table }

// verdict is what TD says of a body.
type verdict uint8

const (
	unknown  verdict = iota
	accepted         // durable
	tooLarge         // to be halved
	refused          // something in it is wrong
	conflict         // the id stands for something else
)

// importBody sends a body under an id. A missing table is created once. An error says
// nothing of the body, only that it is to be sent again.
func (c *client) importBody(ctx context.Context, to tableName, id string, b *body) (verdict, string, error) {
	a, err := c.put(ctx, to, id, b)
	if err == nil && a.status == http.StatusNotFound {
		if err = c.createTable(ctx, to, a); err == nil {
			a, err = c.put(ctx, to, id, b)
		}
	}
	if err != nil {
		return unknown, "", err
	}
	switch {
	case a.ok():
		if err := a.confirms(b); err != nil {
			return unknown, "", fmt.Errorf("import into %s under id %s: %w", to, id, err)
		}
		return accepted, "", nil
	case a.status == http.StatusRequestEntityTooLarge:
		return tooLarge, a.text, nil
	case a.status == http.StatusBadRequest, a.status == http.StatusUnprocessableEntity:
		return refused, a.text, nil
	case a.status == http.StatusConflict:
		return conflict, a.text, nil
	case a.status == http.StatusNotFound:
		return unknown, "", fmt.Errorf("import into %s: it was created and is not found: is import_endpoint of the same region as api_endpoint? %w", to, a.error())
	}
	return unknown, "", fmt.Errorf("import into %s: %w", to, a.error())
}

func (c *client) put(ctx context.Context, to tableName, id string, b *body) (*answer, error) {
	a, err := c.do(ctx, http.MethodPut, c.imports, "/v3/table/import_with_id/"+url.PathEscape(to.database)+"/"+url.PathEscape(to.table)+"/"+id+"/msgpack.gz", b)
	if err != nil {
		return nil, fmt.Errorf("import into %s: %w", to, err)
	}
	return a, nil
}

// createTable creates a table, and its database if that is missing too.
func (c *client) createTable(ctx context.Context, t tableName, missing *answer) error {
	if !c.create {
		return fmt.Errorf("import into %s: database or table is missing: create it, or let create_missing do so: %w", t, missing.error())
	}
	select {
	case c.creating <- struct{}{}:
		defer func() { <-c.creating }()
	case <-ctx.Done():
		return fmt.Errorf("create table %s: %w", t, context.Cause(ctx))
	}
	table := "/v3/table/create/" + url.PathEscape(t.database) + "/" + url.PathEscape(t.table) + "/log"
	found, err := c.post(ctx, "table "+t.String(), table)
	if err == nil && !found {
		if found, err = c.post(ctx, "database "+t.database, "/v3/database/create/"+url.PathEscape(t.database)); err == nil && found {
			found, err = c.post(ctx, "table "+t.String(), table)
		}
	}
	if err == nil && !found {
		err = fmt.Errorf("create table %s: %s answers that there is no such place: is api_endpoint of the right region?", t, c.api.base.Host)
	}
	return err
}

// post creates what may be there already. It is false of 404: what it belongs to is
// missing.
func (c *client) post(ctx context.Context, what, path string) (bool, error) {
	a, err := c.do(ctx, http.MethodPost, c.api, path, nil)
	if err != nil {
		return false, fmt.Errorf("create %s: %w", what, err)
	}
	switch {
	case a.ok():
		c.creates.Inc()
		return true, nil
	case a.status == http.StatusConflict:
		return true, nil
	case a.status == http.StatusNotFound:
		return false, nil
	}
	return false, fmt.Errorf("create %s: %w", what, a.error())
}

// do sends one request and follows it where the configuration allows.
func (c *client) do(ctx context.Context, method string, to *host, path string, b *body) (*answer, error) {
	if err := to.paused(); err != nil {
		return nil, err
	}
	size := int64(0)
	if b != nil {
		size = b.size
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout+time.Duration(size>>20)*time.Second)
	defer cancel()
	key, err := c.key.get(ctx)
	if err != nil {
		return nil, err
	}
	target := *to.base
	u := target.JoinPath(path)
	for range maxRedirects + 1 {
		a, location, err := c.send(ctx, method, u, key, b)
		if err != nil {
			return nil, err
		}
		if location == nil {
			c.heed(to, a, key)
			return a, nil
		}
		// The key goes where the configuration says, and nowhere else.
		if !c.knows(location) {
			return nil, fmt.Errorf("%s answered %d and points at %s://%s, which is not followed: if that is right, set %s to it", u.Host, a.status, location.Scheme, location.Host, to.name)
		}
		u = location
	}
	return nil, fmt.Errorf("%s sends in circles", u.Host)
}

func (c *client) knows(u *url.URL) bool {
	for _, h := range []*host{c.api, c.imports} {
		if u.Scheme == h.base.Scheme && u.Host == h.base.Host {
			return true
		}
	}
	return false
}

// send sends one request. location is where an answer sends it on.
func (c *client) send(ctx context.Context, method string, u *url.URL, key string, b *body) (a *answer, location *url.URL, err error) {
	req, err := http.NewRequestWithContext(ctx, method, u.String(), b.reader())
	if err != nil {
		return nil, nil, err
	}
	if b != nil {
		req.ContentLength = b.size
		// Lets a request go out again that met a connection closed while idle.
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(b.reader()), nil }
		req.Header.Set("Content-Type", "application/octet-stream")
	} else {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("Authorization", "TD1 "+key)
	req.Header.Set("Date", time.Now().UTC().Format(time.RFC1123Z))
	req.Header.Set("User-Agent", "tributary")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, nil, fmt.Errorf("read the answer of %s: %w", u.Host, err)
	}
	a = newAnswer(u.Host, resp, text, key)
	if a.status == http.StatusTemporaryRedirect || a.status == http.StatusPermanentRedirect {
		if location, err = resp.Location(); err != nil {
			return nil, nil, fmt.Errorf("%s answered %d: %w", u.Host, a.status, err)
		}
	}
	return a, location, nil
}

// heed follows what an answer says beside its body.
func (c *client) heed(h *host, a *answer, key string) {
	alarm := c.refused.WithLabelValues(h.name)
	switch {
	case a.unauthorized():
		c.key.refused(key)
		alarm.Set(1)
	case a.ok():
		alarm.Set(0)
	}
	if a.status == http.StatusTooManyRequests || a.status >= 500 {
		h.pause(a.retry)
	}
}

// calm ends the alarms: all that was to be done was done, creations by others included.
func (c *client) calm() {
	for _, h := range []*host{c.api, c.imports} {
		c.refused.WithLabelValues(h.name).Set(0)
	}
}

// answer is what TD said.
type answer struct {
	host   string
	status int
	body   []byte
	text   string    // what the body says, for people
	retry  time.Time // zero if it does not say
}

func newAnswer(host string, resp *http.Response, text []byte, key string) *answer {
	a := &answer{host: host, status: resp.StatusCode, body: text}
	var said struct{ Message, Error, Text string }
	if json.Unmarshal(text, &said) == nil {
		for _, s := range []string{said.Message, said.Error, said.Text} {
			if a.text == "" {
				a.text = s
			}
		}
	} else {
		a.text = string(text)
	}
	a.text = strings.ToValidUTF8(strings.Join(strings.Fields(strings.ReplaceAll(a.text, key, masked)), " "), "\uFFFD")
	if len(a.text) > maxTold {
		a.text = strings.ToValidUTF8(a.text[:maxTold], "") + "…"
	}
	a.retry = retryTime(resp.Header.Get("Retry-After"), time.Now())
	return a
}

// maxTold bounds what of an answer goes into an error.
const maxTold = 300

// retryTime reads Retry-After: seconds, or a date.
func retryTime(header string, now time.Time) time.Time {
	var until time.Time
	if seconds, err := strconv.ParseUint(header, 10, 32); err == nil {
		until = now.Add(time.Duration(seconds) * time.Second)
	} else if until, err = http.ParseTime(header); err != nil {
		return time.Time{}
	}
	if limit := now.Add(maxPause); until.After(limit) {
		return limit
	}
	return until
}

func (a *answer) ok() bool { return a.status >= 200 && a.status < 300 }

func (a *answer) unauthorized() bool {
	return a.status == http.StatusUnauthorized || a.status == http.StatusForbidden
}

// confirms compares the MD5 that TD saw with that of what was sent.
func (a *answer) confirms(b *body) error {
	var said struct {
		MD5 string `json:"md5_hex"`
	}
	if err := json.Unmarshal(a.body, &said); err != nil {
		return fmt.Errorf("%s answered %d and no JSON: %w", a.host, a.status, err)
	}
	if want := b.md5(); said.MD5 != want {
		return fmt.Errorf("%s took a body with md5_hex %q, sent was %s", a.host, said.MD5, want)
	}
	return nil
}

// ErrKeyRefused is in every error that is so because TD refused the API key.
var ErrKeyRefused = errors.New("refused the API key")

// error tells of an answer that says nothing of the body. None is permanent: all can
// be mended at TD or in the configuration, and until then nothing is lost.
func (a *answer) error() error {
	if a.unauthorized() {
		return fmt.Errorf("%s %w with %d (%s): check that it is whole, of this region and account, not expired, and may import into and create tables; nothing is lost meanwhile",
			a.host, ErrKeyRefused, a.status, a.text)
	}
	return fmt.Errorf("%s answered %d (%s)", a.host, a.status, a.text)
}
