package replay

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tributary/consumers"
)

// Job is what is asked for.
type Job struct {
	Group  string    `json:"group"` // whose events come again
	Kind   string    `json:"kind"`  // of destination: lake, realtime or treasuredata
	Into   string    `json:"into"`  // the target, as the destination names it
	From   time.Time `json:"from"`  // arrival in the stream
	To     time.Time `json:"to"`
	Stream string    `json:"stream"`
}

// Name is that of the replay, of its consumer group, and of the folders of both.
func (j Job) Name() string { return j.Group + "-replay-" + j.hash() }

var names = regexp.MustCompile(`-replay-[0-9a-f]{8}$`)

// IsName tells the name of a replay's group from that of any other.
func IsName(group string) bool { return names.MatchString(group) }

// Generation is the one that shards of the replay begin with.
func (j Job) Generation() uint64 {
	n, _ := strconv.ParseUint(j.hash(), 16, 64) // eight hex digits
	return max(n, 1)
}

func (j Job) hash() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{j.Group, j.Into, stamp(j.From), stamp(j.To)}, "\n")))
	return hex.EncodeToString(sum[:4])
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// Command is what goes on with the replay, whatever its times were called at first.
func (j Job) Command() string {
	return fmt.Sprintf("tributary replay %s --from %s --to %s --into %q", j.Group, stamp(j.From), stamp(j.To), j.Into)
}

// lead is from how long before the seam the stream is read, for what producers send
// again: a forwarder does so within seconds, one that was started anew within minutes,
// and one whose machine was away when that is back.
const lead = 30 * time.Minute

// Configure makes a group's configuration that of the replay's group, which delivers
// what arrived at since or later.
func (j Job) Configure(c consumers.Config, since time.Time) consumers.Config {
	c.Alias, c.Name, c.LeaseTable = c.Name, j.Name(), ""
	c.Worker = ""
	c.Start, c.StartTime = consumers.StartTimestamp, stamp(since.Add(-lead))
	c.Since, c.Until, c.Generation = since, j.To, j.Generation()
	c.Reader.FanOut.Enabled = false // a consumer that nobody would deregister
	return c
}

// overlap is the time that both jobs deliver; zero if there is none.
func (j Job) overlap(o Job) (from, to time.Time) {
	from, to = j.From, j.To
	if o.From.After(from) {
		from = o.From
	}
	if o.To.Before(to) {
		to = o.To
	}
	if !from.Before(to) {
		return time.Time{}, time.Time{}
	}
	return from, to
}
