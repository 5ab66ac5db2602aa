package forwarder

import (
	"bytes"
	"sort"
	"strconv"

	"tributary/schema"
	"tributary/stream/fluent"
	"tributary/stream/multiline"
)

// attributes is a record of the Docker driver taken apart. Byte slices alias the
// record; it is reused from entry to entry.
type attributes struct {
	line          []byte
	hasLine       bool
	containerID   []byte
	containerName []byte
	source        []byte
	partial       bool
	partialID     []byte
	ordinal       int
	last          bool
	labels        []label
}

type label struct{ name, value []byte }

// read takes record apart. A record without "log" is not Docker's: its line is
// the whole map as JSON.
func (a *attributes) read(record []byte) error {
	*a = attributes{labels: a.labels[:0]}
	err := fluent.Fields(record, func(key, value []byte) bool {
		switch string(key) {
		case "log":
			a.line, a.hasLine = value, true
		case "container_id":
			a.containerID = value
		case "container_name":
			a.containerName = bytes.TrimPrefix(value, []byte("/"))
		case "source":
			a.source = value
		case "partial_message":
			a.partial = string(value) == "true"
		case "partial_id":
			a.partialID = value
		case "partial_ordinal":
			var err error
			if a.ordinal, err = strconv.Atoi(string(value)); err != nil || a.ordinal < 1 {
				a.ordinal = -1 // the ordinal of no piece, which marks the line incomplete
			}
		case "partial_last":
			a.last = string(value) == "true"
		default:
			a.labels = append(a.labels, label{key, value})
		}
		return true
	})
	if err != nil {
		return err
	}
	if !a.hasLine {
		a.line = fluent.RecordJSON(nil, record)
		a.partial = false
		a.labels = a.labels[:0] // they are in the line
	}
	return nil
}

// laneKey says whose order a lane keeps: the container's, or, where there is
// none, the connection's.
func laneKey(record []byte, conn uint64) (key []byte) {
	_ = fluent.Fields(record, func(k, v []byte) bool {
		if string(k) == "container_id" {
			key = v
			return false
		}
		return true
	})
	if len(key) == 0 {
		key = strconv.AppendUint([]byte("conn/"), conn, 10)
	}
	return key
}

// origins shares one schema.Origin between the events of a container. It belongs
// to the pump.
type origins struct {
	host    string
	metrics *metrics
	known   map[string]*schema.Origin // by container and source, service unset
	named   map[named]*schema.Origin
	key     []byte

	grammars map[*schema.Origin]*multiline.Grammar
}

type named struct {
	base    *schema.Origin
	service string
}

const (
	// maxOrigins bounds the cache; ECS runs some hundred containers on an instance,
	// and a cleared cache costs one allocation per container.
	maxOrigins = 4096
	// maxLabelBytes bounds the labels of one origin: with the largest part of a
	// line they must fit one record.
	maxLabelBytes = 16 << 10
	// maxName bounds container id, name and source: Docker's have 64 to 255 bytes.
	maxName = 1024
)

func newOrigins(host string, m *metrics) *origins {
	return &origins{host: host, metrics: m, known: make(map[string]*schema.Origin), named: make(map[named]*schema.Origin), grammars: make(map[*schema.Origin]*multiline.Grammar)}
}

// of returns the shared origin for a and tag, its service unset.
func (o *origins) of(a *attributes, tag []byte) *schema.Origin {
	o.key = append(append(o.key[:0], a.containerID...), 0)
	o.key = append(o.key, a.source...)
	if known, ok := o.known[string(o.key)]; ok && same(known, a, tag) {
		return known
	}
	fresh := &schema.Origin{
		ContainerID:   short(a.containerID),
		ContainerName: short(a.containerName),
		Source:        short(a.source),
		Tag:           string(tag),
		Host:          o.host,
	}
	bytes := 0
	for _, l := range a.labels {
		if bytes += len(l.name) + len(l.value); bytes > maxLabelBytes {
			o.metrics.labelsDropped.Inc()
			break
		}
		fresh.Labels = append(fresh.Labels, schema.Label{Name: string(l.name), Value: string(l.value)})
	}
	sort.Slice(fresh.Labels, func(i, j int) bool { return fresh.Labels[i].Name < fresh.Labels[j].Name })
	if len(o.known) >= maxOrigins {
		clear(o.known)
		clear(o.named)
	}
	if len(o.grammars) >= maxOrigins {
		clear(o.grammars)
	}
	o.known[string(o.key)] = fresh
	return fresh
}

// withService returns the shared origin that is base with its service.
func (o *origins) withService(base *schema.Origin, service string) *schema.Origin {
	if known, ok := o.named[named{base, service}]; ok {
		return known
	}
	fresh := *base
	fresh.Service = service
	if len(o.named) >= maxOrigins {
		clear(o.named)
	}
	o.named[named{base, service}] = &fresh
	return &fresh
}

func short(b []byte) string { return string(b[:min(len(b), maxName)]) }

// same compares without allocating. Docker's key order is random, so labels are
// looked up by name.
func same(o *schema.Origin, a *attributes, tag []byte) bool {
	if o.ContainerName != string(a.containerName) || o.Tag != string(tag) || len(o.Labels) != len(a.labels) {
		return false
	}
	for _, l := range a.labels {
		i := sort.Search(len(o.Labels), func(i int) bool { return o.Labels[i].Name >= string(l.name) })
		if i == len(o.Labels) || o.Labels[i].Name != string(l.name) || o.Labels[i].Value != string(l.value) {
			return false
		}
	}
	return true
}
