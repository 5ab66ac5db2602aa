package consumers_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"tributary/stream"
)

// foreign writes the only lease as a worker of vmware-go-kcl-v2 does.
func (b *bubble) foreign(owner string, until time.Time, checkpoint string) {
	b.t.Helper()
	a := map[string]types.AttributeValue{}
	for name, v := range map[string]string{
		"ShardID": string(shardID(0)), "AssignedTo": owner, "Checkpoint": checkpoint,
		"LeaseTimeout": until.UTC().Format(time.RFC3339Nano),
	} {
		if v != "" {
			a[name] = &types.AttributeValueMemberS{Value: v}
		}
	}
	_, err := dynamodb.NewFromConfig(b.aws).PutItem(b.t.Context(), &dynamodb.PutItemInput{TableName: aws.String("lake"), Item: a})
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestAShardThatNobodyReadForLongerThanTheStreamKeepsRecordsIsAnAlarm(t *testing.T) {
	const alarm = "nobody read a shard for longer than the stream keeps records: some may be lost"
	for name, c := range map[string]struct {
		away   time.Duration
		alarms int
	}{
		"a day and more": {25 * time.Hour, 2},
		"less than that": {20 * time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 2, func(b *bubble) {
				w := b.start(bubbleConfig("w"))
				b.site.send(16)
				b.until("all is delivered", 15*time.Second, b.site.delivered)
				if err := w.stop(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(c.away)
				b.site.send(16)
				b.start(bubbleConfig("w2"))
				b.until("all is delivered", 15*time.Second, b.site.delivered)
				if n := b.count(alarm); n != c.alarms {
					t.Errorf("%d alarms, want %d", n, c.alarms)
				}
			})
		})
	}
}

func TestLiveWorkersOfAnotherLibraryAreRefusedUnlessForced(t *testing.T) {
	for name, c := range map[string]struct {
		owner   string
		left    time.Duration // of its lease, by its clock
		force   bool
		refused bool
	}{
		"an owner that is alive":         {"their-worker", 8 * time.Second, false, true},
		"an owner that is alive, forced": {"their-worker", 8 * time.Second, true, false},
		"an owner whose lease is over":   {"their-worker", -time.Hour, false, false},
		"a lease that was given up":      {"", 8 * time.Second, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, func(b *bubble) {
				if err := b.tableOf("x").Init(b.t.Context()); err != nil {
					t.Fatal(err)
				}
				b.foreign(c.owner, time.Now().Add(c.left), "")
				b.site.send(8)
				cfg := bubbleConfig("w")
				cfg.TakeOver = c.force
				w := b.start(cfg)
				if !c.refused {
					b.until("all is delivered", 15*time.Second, b.site.delivered)
					b.site.exactlyOnce()
					return
				}
				time.Sleep(time.Minute)
				err := w.stop()
				if !stream.IsPermanent(err) {
					t.Fatalf("error %v", err)
				}
				for _, word := range []string{"their-worker", string(shardID(0)), "stop it first", "take_over"} {
					if !strings.Contains(err.Error(), word) {
						t.Errorf("%q is not in: %v", word, err)
					}
				}
				if i := b.item(); i.Owner != "their-worker" || i.Counted {
					t.Errorf("its lease was touched: %+v", i)
				}
			})
		})
	}
}
