package s3

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// listing is one page of ListObjectsV2 being made.
type listing struct {
	prefix    string
	delimiter string
	after     string // keys up to this one were answered before
	rolled    string // keys with this prefix were answered, rolled up in it
	limit     int
	page      listResult
	full      bool // something follows the page
}

type listedObject struct {
	Key          string
	LastModified string
	ETag         string
	Size         int64
	StorageClass string
}

type commonPrefix struct{ Prefix string }

type listResult struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	Name                  string
	Prefix                string
	Delimiter             string `xml:",omitempty"`
	StartAfter            string `xml:",omitempty"`
	EncodingType          string `xml:",omitempty"`
	MaxKeys               int
	KeyCount              int
	IsTruncated           bool
	ContinuationToken     string `xml:",omitempty"`
	NextContinuationToken string `xml:",omitempty"`
	Contents              []listedObject
	CommonPrefixes        []commonPrefix
}

func (s *Service) listObjects(w http.ResponseWriter, c call) error {
	l, err := newListing(c)
	if err != nil {
		return err
	}
	if l.limit > 0 {
		if err := s.walk(c.bucket, "", l.wants, func(key string) error { return s.add(c.bucket, key, l) }); err != nil && !errors.Is(err, errPageFull) {
			return err
		}
	}
	l.page.KeyCount = len(l.page.Contents) + len(l.page.CommonPrefixes)
	if l.full {
		l.page.IsTruncated = true
		l.page.NextContinuationToken = l.token()
	}
	if l.page.EncodingType != "" {
		l.page.encode()
	}
	writeXML(w, http.StatusOK, l.page)
	return nil
}

func newListing(c call) (*listing, error) {
	q := c.URL.Query()
	l := &listing{prefix: q.Get("prefix"), delimiter: q.Get("delimiter"), after: q.Get("start-after"), limit: maxBatch}
	if q.Get("list-type") != "2" {
		return nil, notImplemented("list-type " + q.Get("list-type"))
	}
	if v := q.Get("max-keys"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return nil, invalidArgument("max-keys must be a number from 0 on, not " + v)
		}
		l.limit = min(n, maxBatch)
	}
	if q.Has("continuation-token") {
		if err := l.resume(q.Get("continuation-token")); err != nil {
			return nil, err
		}
	}
	if v := q.Get("encoding-type"); v != "" && v != "url" {
		return nil, invalidArgument("Invalid Encoding Method specified in Request: " + v)
	}
	if v := q.Get("fetch-owner"); v != "" && v != "false" {
		return nil, notImplemented("fetch-owner")
	}
	l.page = listResult{Name: c.bucket, Prefix: l.prefix, Delimiter: l.delimiter, StartAfter: q.Get("start-after"),
		EncodingType: q.Get("encoding-type"), MaxKeys: l.limit, ContinuationToken: q.Get("continuation-token")}
	return l, nil
}

// A token is the last key of the page before, or its last common prefix.
const (
	afterKey    = "k"
	afterPrefix = "p"
)

func (l *listing) token() string {
	text := afterKey + l.after
	if l.rolled != "" && l.rolled == l.after {
		text = afterPrefix + l.rolled
	}
	return base64.URLEncoding.EncodeToString([]byte(text))
}

func (l *listing) resume(token string) error {
	text, err := base64.URLEncoding.DecodeString(token)
	if err != nil || len(text) < 2 {
		return invalidArgument("The continuation token provided is incorrect")
	}
	l.after = string(text[1:])
	switch string(text[:1]) {
	case afterKey:
	case afterPrefix:
		l.rolled = l.after
	default:
		return invalidArgument("The continuation token provided is incorrect")
	}
	return nil
}

// wants tells whether anything under a directory ("…/") can be on the page.
func (l *listing) wants(dir string) bool {
	inside := strings.HasPrefix(dir, l.prefix) || strings.HasPrefix(l.prefix, dir)
	before := dir < l.after && !strings.HasPrefix(l.after, dir)
	return inside && !before && !l.isRolled(dir)
}

func (l *listing) isRolled(key string) bool {
	return l.rolled != "" && strings.HasPrefix(key, l.rolled)
}

var errPageFull = errors.New("page is full")

// add puts one key on the page, as itself or rolled up.
func (s *Service) add(bucket, key string, l *listing) error {
	name, rolled := l.roll(key)
	switch {
	case !strings.HasPrefix(key, l.prefix) || key <= l.after || l.isRolled(key):
		return nil
	case len(l.page.Contents)+len(l.page.CommonPrefixes) == l.limit:
		l.full = true
		return errPageFull
	case rolled:
		l.page.CommonPrefixes = append(l.page.CommonPrefixes, commonPrefix{name})
		l.after, l.rolled = name, name
		return nil
	}
	unlock := s.lock(bucket, key)
	file, o, err := s.open(bucket, key)
	unlock()
	var e *apiError
	if errors.As(err, &e) && e.code == "NoSuchKey" {
		return nil // deleted since the directory was read
	}
	if err != nil {
		return err
	}
	l.page.Contents = append(l.page.Contents, listedObject{key, o.modified().Format(timeFormat), o.ETag, o.Size, o.class()})
	l.after = key
	return file.Close()
}

// roll is the common prefix a key falls under, or the key.
func (l *listing) roll(key string) (name string, rolled bool) {
	rest, ok := strings.CutPrefix(key, l.prefix)
	if !ok || l.delimiter == "" {
		return key, false
	}
	before, _, found := strings.Cut(rest, l.delimiter)
	if !found {
		return key, false
	}
	return l.prefix + before + l.delimiter, true
}

// walk calls each for the keys under dir ("" or "…/") in the order of their
// bytes, leaving out directories that are not wanted.
func (s *Service) walk(bucket, dir string, wanted func(string) bool, each func(string) error) error {
	entries, err := s.files.list(dataPath(bucket, strings.TrimSuffix(dir, "/")))
	if err != nil {
		return err
	}
	for _, e := range sorted(entries) {
		name := dir + e.Name()
		switch {
		case e.IsDir() && wanted(name+"/"):
			if err := s.walk(bucket, name+"/", wanted, each); err != nil {
				return err
			}
		case e.Type().IsRegular() && checkKey(name) == nil:
			if err := each(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// sorted orders entries as the keys under them are ordered: "a.txt" is before
// "a/b", which is before "a0".
func sorted(entries []fs.DirEntry) []fs.DirEntry {
	place := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(place(a), place(b)) })
	return entries
}

// encode is encoding-type=url: XML cannot hold every key.
func (r *listResult) encode() {
	escape := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "%2F", "/") }
	r.Prefix, r.Delimiter, r.StartAfter = escape(r.Prefix), escape(r.Delimiter), escape(r.StartAfter)
	for i := range r.Contents {
		r.Contents[i].Key = escape(r.Contents[i].Key)
	}
	for i := range r.CommonPrefixes {
		r.CommonPrefixes[i].Prefix = escape(r.CommonPrefixes[i].Prefix)
	}
}
