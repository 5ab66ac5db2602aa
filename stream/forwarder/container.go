package forwarder

import (
	"bytes"
	"slices"
	"sort"
	"strconv"

	"tributary/schema"
	"tributary/stream/ecs"
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
	agent   *ecs.Agent        // nil: not asked
	known   map[string]*given // by container and source
	named   map[named]*schema.Origin
	key     []byte

	placed map[*schema.Origin]placed

	grammars map[*schema.Origin]*multiline.Grammar
}

// given is an origin, its service unset, and the labels that came with the lines: the
// origin's own may be more.
type given struct {
	*schema.Origin
	labels []schema.Label
}

// placed is an origin with what the ECS agent said of its container.
type placed struct {
	task   *ecs.Task
	origin *schema.Origin
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

func newOrigins(host string, agent *ecs.Agent, m *metrics) *origins {
	return &origins{host: host, agent: agent, metrics: m, known: make(map[string]*given), placed: make(map[*schema.Origin]placed), named: make(map[named]*schema.Origin), grammars: make(map[*schema.Origin]*multiline.Grammar)}
}

// of returns the shared origin for a and tag, its service unset. What the tag and
// the attributes say of ECS is among its labels.
func (o *origins) of(a *attributes, tag []byte) *schema.Origin {
	o.key = append(append(o.key[:0], a.containerID...), 0)
	o.key = append(o.key, a.source...)
	if known, ok := o.known[string(o.key)]; ok && known.same(a, tag) {
		return known.Origin
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
	sortLabels(fresh.Labels)
	labels := fresh.Labels
	task := ecs.Given(fresh.Tag, labels)
	fresh.Labels = withLabels(labels, task.Labels(labels))
	if len(o.known) >= maxOrigins {
		clear(o.known)
		clear(o.named)
		clear(o.placed)
	}
	if len(o.grammars) >= maxOrigins {
		clear(o.grammars)
	}
	o.known[string(o.key)] = &given{fresh, labels}
	return fresh
}

func sortLabels(l []schema.Label) {
	sort.Slice(l, func(i, j int) bool { return l[i].Name < l[j].Name })
}

// withLabels returns have with more, sorted; have stays as it is.
func withLabels(have, more []schema.Label) []schema.Label {
	if len(more) == 0 {
		return have
	}
	all := append(slices.Clone(have), more...)
	for i := len(have); i < len(all); i++ {
		all[i].Value = all[i].Value[:min(len(all[i].Value), maxName)]
	}
	sortLabels(all)
	return all
}

// place returns the shared origin that is base with what is known now of its
// container's task.
func (o *origins) place(base *schema.Origin) *schema.Origin {
	if o.agent == nil || ecs.Complete(base.Labels) {
		return base
	}
	task := o.agent.Task(base.ContainerID)
	if task == nil {
		return base
	}
	if known, ok := o.placed[base]; ok && known.task == task {
		return known.origin
	}
	fresh := *base
	fresh.Labels = withLabels(base.Labels, task.Labels(base.Labels))
	if len(o.placed) >= maxOrigins {
		clear(o.placed)
	}
	o.placed[base] = placed{task, &fresh}
	return &fresh
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
func (g *given) same(a *attributes, tag []byte) bool {
	if g.ContainerName != string(a.containerName) || g.Tag != string(tag) || len(g.labels) != len(a.labels) {
		return false
	}
	for _, l := range a.labels {
		i := sort.Search(len(g.labels), func(i int) bool { return g.labels[i].Name >= string(l.name) })
		if i == len(g.labels) || g.labels[i].Name != string(l.name) || g.labels[i].Value != string(l.value) {
			return false
		}
	}
	return true
}
