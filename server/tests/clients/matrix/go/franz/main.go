// franz-go: franz HOST:PORT PREFIX SCENARIO...
package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ringlog.test/matrix/cell"
)

var ctx = context.Background()

func client(options ...kgo.Opt) *kgo.Client {
	made, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(cell.Address)}, options...)...)
	if err != nil {
		panic(err)
	}
	return made
}

func producer(options ...kgo.Opt) *kgo.Client {
	return client(append([]kgo.Opt{kgo.RecordPartitioner(kgo.ManualPartitioner())}, options...)...)
}

func admin() *kadm.Client { return kadm.NewClient(client()) }

func create(name string, partitions int32, configs map[string]*string) (string, error) {
	topic, adm := cell.Topic(name), admin()
	defer adm.Close()
	if _, err := adm.CreateTopic(ctx, partitions, 1, configs, topic); err != nil {
		return topic, err
	}
	return topic, cell.Waited(10*time.Second, "leaders", func() bool { return len(leaders(adm, topic)) == int(partitions) })
}

func leaders(adm *kadm.Client, topic string) []int32 {
	found, err := adm.ListTopics(ctx, topic)
	if err != nil {
		return nil
	}
	var led []int32
	for _, p := range found[topic].Partitions {
		if p.Leader >= 0 && p.Err == nil {
			led = append(led, p.Partition)
		}
	}
	slices.Sort(led)
	return led
}

func written(cl *kgo.Client, records ...*kgo.Record) error {
	return cl.ProduceSync(ctx, records...).FirstErr()
}

func reading(topic string, offsets map[int32]int64) *kgo.Client {
	from := map[int32]kgo.Offset{}
	for p, offset := range offsets {
		from[p] = kgo.NewOffset().At(offset)
	}
	return client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
}

func taken(cl *kgo.Client, count int, limit time.Duration) ([]*kgo.Record, error) {
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var records []*kgo.Record
	for len(records) < count {
		fetches := cl.PollRecords(timed, count-len(records))
		if timed.Err() != nil {
			return records, fmt.Errorf("%d of %d records in %v", len(records), count, limit)
		}
		if err := fetches.Err(); err != nil {
			return records, err
		}
		records = append(records, fetches.Records()...)
	}
	return records, nil
}

func numbers(records []*kgo.Record) []int {
	var found []int
	for _, r := range records {
		n, _ := strconv.Atoi(string(r.Value))
		found = append(found, n)
	}
	return found
}

func number(topic string, partition int32, i int) *kgo.Record {
	return &kgo.Record{Topic: topic, Partition: partition, Value: []byte(strconv.Itoa(i))}
}

func codecs() error {
	kinds := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for _, codec := range cell.Codecs {
		topic, err := create("codecs-"+codec, 1, nil)
		if err != nil {
			return err
		}
		cl := producer(kgo.ProducerBatchCompression(kinds[codec]))
		var records []*kgo.Record
		for i := range 200 {
			records = append(records, &kgo.Record{Topic: topic, Key: cell.Key(i), Value: cell.Value(i)})
		}
		if err := written(cl, records...); err != nil {
			return err
		}
		cl.Close()
		reader := reading(topic, map[int32]int64{0: 0})
		got, err := taken(reader, 200, 30*time.Second)
		reader.Close()
		if err != nil {
			return err
		}
		for i, r := range got {
			if err := cell.Same(codec, []any{r.Offset, r.Key, r.Value}, []any{int64(i), cell.Key(i), cell.Value(i)}); err != nil {
				return err
			}
		}
	}
	return nil
}

func assign() error {
	topic, err := create("assign", 2, nil)
	if err != nil {
		return err
	}
	cl := producer()
	defer cl.Close()
	for i := range 200 {
		if err := written(cl, number(topic, int32(i%2), i)); err != nil {
			return err
		}
	}
	reader := reading(topic, map[int32]int64{0: 50, 1: 0})
	defer reader.Close()
	records, err := taken(reader, 150, 30*time.Second)
	if err != nil {
		return err
	}
	got := map[int32][]int{}
	for _, r := range records {
		got[r.Partition] = append(got[r.Partition], int(r.Offset))
	}
	if err := cell.Same("offsets", got, map[int32][]int{0: cell.Numbers(100)[50:], 1: cell.Numbers(100)}); err != nil {
		return err
	}
	adm := admin()
	defer adm.Close()
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err != nil {
		return err
	}
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err != nil {
		return err
	}
	return cell.Same("bounds", []int64{starts[topic][0].Offset, ends[topic][0].Offset}, []int64{0, 100})
}

func member(topic string, options ...kgo.Opt) *kgo.Client {
	classic := []kgo.Opt{
		kgo.ConsumerGroup(topic), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(6 * time.Second), kgo.HeartbeatInterval(300 * time.Millisecond),
	}
	return client(append(classic, options...)...)
}

func group() error {
	topic, err := create("group", 3, nil)
	if err != nil {
		return err
	}
	cl := producer()
	defer cl.Close()
	for i := range 90 {
		if err := written(cl, number(topic, int32(i%3), i)); err != nil {
			return err
		}
	}
	var seen []int
	for range 2 {
		reader := member(topic)
		records, err := taken(reader, 45, 30*time.Second)
		if err == nil {
			err = reader.CommitRecords(ctx, records...)
		}
		reader.Close()
		if err != nil {
			return err
		}
		seen = append(seen, numbers(records)...)
	}
	slices.Sort(seen)
	return cell.Same("records", seen, cell.Numbers(90))
}

func flowing(name string, options ...kgo.Opt) error {
	topic, err := create(name, 6, nil)
	if err != nil {
		return err
	}
	writer := producer()
	defer writer.Close()
	send := func(i int) error { return written(writer, number(topic, int32(i%6), i)) }
	return cell.Flow(send, func(ledger *cell.Ledger, done <-chan struct{}) error {
		reader := member(topic, append([]kgo.Opt{kgo.BlockRebalanceOnPoll()}, options...)...)
		defer reader.CloseAllowingRebalance()
		for {
			select {
			case <-done:
				return nil
			default:
			}
			timed, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			for _, r := range reader.PollRecords(timed, 1).Records() {
				ledger.Receive(r.Value)
				if reader.CommitRecords(ctx, r) == nil {
					ledger.Commit(r.Value)
				} else {
					again := kgo.EpochOffset{Epoch: r.LeaderEpoch, Offset: r.Offset}
					reader.SetOffsets(map[string]map[int32]kgo.EpochOffset{topic: {r.Partition: again}})
				}
			}
			cancel()
			reader.AllowRebalance()
		}
	})
}

func static() error {
	topic, err := create("static", 4, nil)
	if err != nil {
		return err
	}
	var lock sync.Mutex
	told := map[string][][]int32{}
	join := func(name string) *kgo.Client {
		assigned := func(_ context.Context, _ *kgo.Client, got map[string][]int32) {
			lock.Lock()
			defer lock.Unlock()
			partitions := slices.Clone(got[topic])
			slices.Sort(partitions)
			told[name] = append(told[name], partitions)
		}
		return member(topic, kgo.InstanceID(name), kgo.Balancers(kgo.RangeBalancer()), kgo.OnPartitionsAssigned(assigned))
	}
	all := func(name string) [][]int32 {
		lock.Lock()
		defer lock.Unlock()
		return slices.Clone(told[name])
	}
	now := func(name string) []int32 {
		if got := all(name); len(got) > 0 {
			return got[len(got)-1]
		}
		return nil
	}
	a, b := join("a"), join("b")
	defer b.Close()
	both := func() bool { return len(now("a")) == 2 && len(now("b")) == 2 }
	if err := cell.Waited(30*time.Second, "both members", both); err != nil {
		return err
	}
	before, others := all("a"), all("b")
	a.Close()
	a = join("a")
	defer a.Close()
	back := func() bool { return len(all("a")) > len(before) }
	if err := cell.Waited(20*time.Second, "the member again", back); err != nil {
		return err
	}
	time.Sleep(time.Second)
	if err := cell.Same("its partitions", now("a"), before[len(before)-1]); err != nil {
		return err
	}
	return cell.Same("the other's assignments", all("b"), others)
}

func byTime() error {
	topic, err := create("time", 1, nil)
	if err != nil {
		return err
	}
	cl := producer()
	defer cl.Close()
	for i := range 100 {
		r := number(topic, 0, i)
		r.Timestamp = cell.Started.Add(time.Duration(i) * time.Second)
		if err := written(cl, r); err != nil {
			return err
		}
	}
	adm := admin()
	defer adm.Close()
	// kadm tells the end of the log where no record is late enough.
	for after, want := range map[int64]int64{-1: 0, 41_500: 42, 200_000: 100} {
		found, err := adm.ListOffsetsAfterMilli(ctx, cell.Started.UnixMilli()+after, topic)
		if err != nil {
			return err
		}
		if err := cell.Same("offset", found[topic][0].Offset, want); err != nil {
			return err
		}
	}
	from := kgo.NewOffset().AfterMilli(cell.Started.UnixMilli() + 41_500)
	reader := client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: from}}))
	defer reader.Close()
	got, err := taken(reader, 1, 30*time.Second)
	if err != nil {
		return err
	}
	return cell.Same("first record", numbers(got), []int{42})
}

func topics() error {
	hour := "3600000"
	topic, err := create("topics", 3, map[string]*string{"retention.ms": &hour})
	if err != nil {
		return err
	}
	adm := admin()
	defer adm.Close()
	if err := cell.Same("partitions", leaders(adm, topic), []int32{0, 1, 2}); err != nil {
		return err
	}
	if _, err := adm.CreateTopic(ctx, 3, 1, nil, topic); !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("the second creation: %v", err)
	}
	if _, err := adm.DeleteTopic(ctx, topic); err != nil {
		return err
	}
	return cell.Waited(10*time.Second, "its end", func() bool {
		found, err := adm.ListTopics(ctx)
		return err == nil && !found.Has(topic)
	})
}

func configs() error {
	hour, two, oneAndHalf := "3600000", "7200000", "5400000"
	topic, err := create("configs", 1, map[string]*string{"retention.ms": &hour})
	if err != nil {
		return err
	}
	adm := admin()
	defer adm.Close()
	retention := func(want string) error {
		found, err := adm.DescribeTopicConfigs(ctx, topic)
		if err != nil {
			return err
		}
		for _, entry := range found[0].Configs {
			if entry.Key == "retention.ms" {
				return cell.Same("retention.ms", entry.MaybeValue(), want)
			}
		}
		return errors.New("no retention.ms")
	}
	if err := retention(hour); err != nil {
		return err
	}
	answers, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: &two}}, topic)
	if err == nil {
		err = answers[0].Err
	}
	if err == nil {
		err = retention(two)
	}
	if err != nil {
		return err
	}
	answers, err = adm.AlterTopicConfigsState(ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: &oneAndHalf}}, topic)
	if err == nil {
		err = answers[0].Err
	}
	if err != nil {
		return err
	}
	return retention(oneAndHalf)
}

func partitions() error {
	topic, err := create("partitions", 2, nil)
	if err != nil {
		return err
	}
	adm := admin()
	defer adm.Close()
	answers, err := adm.UpdatePartitions(ctx, 4, topic)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		return err
	}
	if err := cell.Waited(10*time.Second, "four partitions", func() bool { return len(leaders(adm, topic)) == 4 }); err != nil {
		return err
	}
	cl := producer()
	defer cl.Close()
	if err := written(cl, number(topic, 3, 7)); err != nil {
		return err
	}
	reader := reading(topic, map[int32]int64{3: 0})
	defer reader.Close()
	got, err := taken(reader, 1, 30*time.Second)
	if err != nil {
		return err
	}
	return cell.Same("record", numbers(got), []int{7})
}

func deleteRecords() error {
	topic, err := create("delete", 1, nil)
	if err != nil {
		return err
	}
	cl := producer()
	defer cl.Close()
	for i := range 10 {
		if err := written(cl, number(topic, 0, i)); err != nil {
			return err
		}
	}
	adm := admin()
	defer adm.Close()
	before := kadm.Offsets{}
	before.Add(kadm.Offset{Topic: topic, Partition: 0, At: 5})
	answers, err := adm.DeleteRecords(ctx, before)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		return err
	}
	if err := cell.Same("low watermark", answers[topic][0].LowWatermark, int64(5)); err != nil {
		return err
	}
	reader := client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	defer reader.Close()
	got, err := taken(reader, 1, 30*time.Second)
	if err != nil {
		return err
	}
	return cell.Same("first offset", got[0].Offset, int64(5))
}

func shapes() error {
	topic, err := create("shapes", 1, nil)
	if err != nil {
		return err
	}
	headers := []kgo.RecordHeader{
		{Key: "twice", Value: []byte("one")}, {Key: "twice", Value: []byte("two")},
		{Key: "bytes", Value: cell.EveryByte}, {Key: "empty", Value: []byte{}}, {Key: "null", Value: nil},
	}
	wanted := []kgo.Record{
		{Key: []byte("large"), Value: cell.Large},
		{Key: []byte("empty"), Value: []byte{}},
		{Key: []byte("tombstone"), Value: nil},
		{Key: nil, Value: []byte("no key")},
		{Key: []byte("headers"), Value: []byte("v"), Headers: headers},
	}
	cl := producer()
	defer cl.Close()
	for _, r := range wanted {
		r.Topic = topic
		if err := written(cl, &r); err != nil {
			return err
		}
	}
	reader := reading(topic, map[int32]int64{0: 0})
	defer reader.Close()
	got, err := taken(reader, 5, 30*time.Second)
	if err != nil {
		return err
	}
	for i, r := range got {
		want := []any{wanted[i].Key, wanted[i].Value, wanted[i].Headers}
		if err := cell.Same("record", []any{r.Key, r.Value, r.Headers}, want); err != nil {
			return err
		}
	}
	return nil
}

func restart() error {
	topic, err := create("restart", 1, nil)
	if err != nil {
		return err
	}
	cl, reader := producer(), member(topic)
	defer cl.Close()
	defer reader.Close()
	for i := range 100 {
		if err := written(cl, number(topic, 0, i)); err != nil {
			return err
		}
	}
	records, err := taken(reader, 100, 30*time.Second)
	if err == nil {
		err = reader.CommitRecords(ctx, records...)
	}
	if err != nil {
		return err
	}
	cell.RestartBegins()
	failures := make(chan error, 200)
	for i := 100; i < 300; i++ {
		cl.Produce(ctx, number(topic, 0, i), func(_ *kgo.Record, err error) { failures <- err })
		time.Sleep(10 * time.Millisecond)
	}
	for range 200 {
		if err := <-failures; err != nil {
			return err
		}
	}
	later, err := taken(reader, 200, 60*time.Second)
	if err != nil {
		return err
	}
	if err := cell.RestartIsOver(); err != nil {
		return err
	}
	return cell.Same("records", numbers(append(records, later...)), cell.Numbers(300))
}

func main() {
	// Where the broker lacks the protocol the client falls back to the classic one and says nothing.
	newGroup := func() error {
		if err := flowing("new-group", kgo.ServerSideBalancer(), kgo.Balancers(kgo.RangeBalancer())); err != nil {
			return err
		}
		cl := client()
		defer cl.Close()
		listed, err := kmsg.NewPtrListGroupsRequest().RequestWith(ctx, cl)
		if err != nil {
			return err
		}
		for _, group := range listed.Groups {
			if group.Group == cell.Topic("new-group") {
				return cell.Same("the group's type", group.GroupType, "consumer")
			}
		}
		return errors.New("the group is not listed")
	}
	cell.Main("franz-go", "github.com/twmb/franz-go", map[string]func() (string, error){
		"codecs":         cell.Plain(codecs),
		"assign":         cell.Plain(assign),
		"group":          cell.Plain(group),
		"rebalance":      cell.Plain(func() error { return flowing("rebalance") }),
		"new-group":      cell.Plain(newGroup),
		"static":         cell.Plain(static),
		"time":           cell.Plain(byTime),
		"topics":         cell.Plain(topics),
		"configs":        cell.Plain(configs),
		"partitions":     cell.Plain(partitions),
		"delete-records": cell.Plain(deleteRecords),
		"shapes":         cell.Plain(shapes),
		"restart":        cell.Plain(restart),
	})
}
