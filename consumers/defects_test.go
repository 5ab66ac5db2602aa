package consumers_test

import (
	"crypto/md5"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"google.golang.org/protobuf/encoding/protowire"

	"tributary/consumers"
	"tributary/consumers/lease"
	"tributary/stream"
)

// The eight defects of vmware-go-kcl-v2 that were reproduced, each with a test of
// the behaviour that was missing. R7, children that begin at LATEST, is
// TestAFirstStartAtLatestReadsChildrenFromTheirBeginning.

// taken lets a worker of the table take the only lease.
func (b *bubble) taken(worker string) *lease.Lease {
	b.t.Helper()
	table := b.tableOf(worker)
	if err := table.Init(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	if err := table.Create(b.t.Context(), shardID(0), "", 0); err != nil {
		b.t.Fatal(err)
	}
	l, err := table.Acquire(b.t.Context(), b.item())
	if err != nil {
		b.t.Fatal(err)
	}
	return l
}

func (b *bubble) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Error(err)
	}
}

// R1: a worker whose lease ran out checkpointed at 100 over its heir's 200, and
// owned the row again.
func TestDefect1AnExpiredWorkerNeitherRewindsNorSteals(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		old := b.taken("old")
		time.Sleep(11 * time.Second)
		heir := b.taken("heir")
		b.ok(heir.Checkpoint(b.t.Context(), "200"))
		if err := old.Checkpoint(b.t.Context(), "100"); !errors.Is(err, lease.ErrLost) {
			t.Errorf("the expired worker's checkpoint: %v", err)
		}
		if err := old.Checkpoint(b.t.Context(), "300"); !errors.Is(err, lease.ErrLost) {
			t.Errorf("the expired worker's checkpoint: %v", err)
		}
		if i := b.item(); i.Owner != "heir" || i.Checkpoint != "200" {
			t.Errorf("item %+v", i)
		}
		b.ok(heir.Checkpoint(b.t.Context(), "201"))
	})
}

// The same for one that was robbed while its own clock says it is in time.
func TestDefect1ARobbedWorkerIsStoppedByTheTableNotByItsClock(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		robbed := b.taken("robbed")
		heir := b.taken("heir")
		b.ok(heir.Checkpoint(b.t.Context(), "200"))
		if err := robbed.Checkpoint(b.t.Context(), "300"); !errors.Is(err, lease.ErrLost) {
			t.Errorf("the robbed worker's checkpoint: %v", err)
		}
		if i := b.item(); i.Owner != "heir" || i.Checkpoint != "200" {
			t.Errorf("item %+v", i)
		}
	})
}

// R2: the owner's next checkpoint erased the claim. A shard that checkpointed often
// could hardly be had.
func TestDefect2AClaimOutlivesTheOwnersCheckpoints(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		owner := b.taken("owner")
		b.ok(b.tableOf("claimer").Claim(b.t.Context(), b.item()))
		for _, s := range []stream.SequenceNumber{"1", "2", "3"} {
			b.ok(owner.Checkpoint(b.t.Context(), s))
		}
		b.ok(owner.Renew(b.t.Context()))
		if i := b.item(); i.Claim != "claimer" || !owner.Claimed() {
			t.Errorf("item %+v, owner knows: %v", i, owner.Claimed())
		}
	})
}

// And as a whole: a shard that flushes all the time is handed over when asked for.
func TestDefect2ABusyShardIsHandedOver(t *testing.T) {
	inBubble(t, 2, func(b *bubble) {
		cfg := bubbleConfig("first")
		cfg.Policy.MaxAge = 100 * time.Millisecond
		first := b.start(cfg)
		b.until("it reads both", 5*time.Second, func() bool { return len(first.held()) == 2 })
		cfg.Worker = "second"
		second := b.start(cfg)
		b.until("one each", 5*time.Second, func() bool {
			b.site.send(8)
			return balanced(2, first, second)
		})
		b.until("all is delivered", 10*time.Second, b.site.delivered)
		b.site.exactlyOnce()
	})
}

// R3: a checkpoint could go back, from 300 to 250.
func TestDefect3ACheckpointNeverGoesBack(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		l := b.taken("w")
		b.ok(l.Checkpoint(b.t.Context(), "300"))
		for _, s := range []stream.SequenceNumber{"250", "99", "", "TRIM_HORIZON"} { // "99" is the greater string
			if err := l.Checkpoint(b.t.Context(), s); err == nil {
				t.Errorf("went from 300 to %q", s)
			}
		}
		b.ok(l.Checkpoint(b.t.Context(), "1000")) // the smaller string
		if i := b.item(); i.Checkpoint != "1000" {
			t.Errorf("item %+v", i)
		}
	})
}

// R4: PrepareCheckpoint returned nothing, and using what it returned panicked. Here
// what was prepared is there for the next holder, and checkpointing clears it.
func TestDefect4WhatIsPreparedIsThereForTheHeir(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		old := b.taken("old")
		want := lease.Pending{First: "101", Last: "150", Plan: "plan"}
		b.ok(old.Checkpoint(b.t.Context(), "100"))
		b.ok(old.Prepare(b.t.Context(), want))
		time.Sleep(11 * time.Second)
		heir := b.taken("heir")
		if got := heir.Item().Pending; got == nil || *got != want {
			t.Fatalf("pending %+v", got)
		}
		b.ok(heir.Checkpoint(b.t.Context(), "150"))
		if i := b.item(); i.Pending != nil || i.Checkpoint != "150" {
			t.Errorf("item %+v", i)
		}
	})
}

// aggregate is a KPL record of lines, with the partition key index given.
func aggregate(index uint64, lines ...string) []byte {
	var m []byte
	m = protowire.AppendTag(m, 1, protowire.BytesType)
	m = protowire.AppendString(m, "key")
	for _, line := range lines {
		var r []byte
		r = protowire.AppendTag(r, 1, protowire.VarintType)
		r = protowire.AppendVarint(r, index)
		r = protowire.AppendTag(r, 3, protowire.BytesType)
		r = protowire.AppendString(r, line)
		m = protowire.AppendTag(m, 3, protowire.BytesType)
		m = protowire.AppendBytes(m, r)
	}
	return sealed(m)
}

func sealed(message []byte) []byte {
	sum := md5.Sum(message)
	return append(append([]byte{0xF3, 0x89, 0x9A, 0xC2}, message...), sum[:]...)
}

// deliver puts records with one call, so that one answer of the stream has them
// all, and waits until a worker has made them durable.
func (b *bubble) deliver(records ...[]byte) *mate {
	b.t.Helper()
	in := &kinesis.PutRecordsInput{StreamName: aws.String(streamName)}
	for _, data := range records {
		in.Records = append(in.Records, types.PutRecordsRequestEntry{Data: data, PartitionKey: aws.String("key")})
	}
	if _, err := b.site.kinesis().PutRecords(b.t.Context(), in); err != nil {
		b.t.Fatal(err)
	}
	w := b.start(bubbleConfig("w"))
	b.until("the records are durable", 10*time.Second, func() bool {
		return w.Counters().Records == uint64(len(records)) && w.Counters().Flushes > 0 && b.item().Pending == nil
	})
	return w
}

// R5: one aggregate that could not be parsed took the whole answer with it.
func TestDefect5ABrokenAggregateCostsItselfOnly(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		broken := sealed([]byte{0x1a, 0xff, 0xff, 0xff, 0x0f, 0x01}) // a length beyond the end
		w := b.deliver([]byte(`{"n":1}`), []byte(`{"n":2}`), broken, aggregate(0, `{"n":3}`, `{"n":4}`), []byte(`{"n":5}`))
		b.wantLines(`{"n":1}`, `{"n":2}`, `{"n":3}`, `{"n":4}`, `{"n":5}`)
		if n := w.Counters().Rejects; n != 1 {
			t.Errorf("%d rejects", n)
		}
	})
}

// R6: an index beyond the table of keys ended the process.
func TestDefect6ABadKeyIndexHarmsNobody(t *testing.T) {
	inBubble(t, 1, func(b *bubble) {
		b.deliver([]byte(`{"n":1}`), aggregate(7, `{"n":2}`), aggregate(1<<63, `{"n":3}`), []byte(`{"n":4}`))
		lines := b.lake.lines()
		if lines[`{"n":1}`] != 1 || lines[`{"n":4}`] != 1 {
			t.Errorf("lines %v", lines)
		}
		// Nobody needs the key: what cannot be told of it costs no line.
		stored := 0
		for _, n := range b.lake.rejects {
			stored += n
		}
		if len(lines)+stored != 4 {
			t.Errorf("lines %v and %d rejects of 4", lines, stored)
		}
	})
}

func (b *bubble) wantLines(want ...string) {
	b.t.Helper()
	lines := b.lake.lines()
	for _, line := range want {
		if lines[line] != 1 {
			b.t.Errorf("line %q came %d times", line, lines[line])
		}
	}
	if len(lines) != len(want) {
		b.t.Errorf("lines %v", lines)
	}
}

// R8: one lease per tick of a minute: four shards took 44 to 142 s to be read.
func TestDefect8AllShardsAreReadInOneRound(t *testing.T) {
	inBubble(t, 64, func(b *bubble) {
		w := b.start(consumersDefault("w"))
		took := b.until("64 shards are read", 2*time.Second, func() bool { return len(w.held()) == 64 })
		t.Logf("64 shards are read after %v", took)
		if n := w.line.requestsOf("Scan"); n > 8 {
			t.Errorf("%d looks at the table", n)
		}
	})
}

func consumersDefault(worker string) consumers.Config {
	cfg := consumers.DefaultConfig()
	cfg.Name, cfg.Worker = "lake", worker
	return cfg
}
