// segmentio kafka-go: segmentio HOST:PORT PREFIX SCENARIO...
package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"ringlog.test/matrix/cell"
)

var (
	ctx     = context.Background()
	address = kafka.TCP(cell.Address)
	client  = &kafka.Client{Addr: address, Timeout: 30 * time.Second}
)

func create(name string, partitions int, entries ...kafka.ConfigEntry) (string, error) {
	topic := cell.Topic(name)
	wanted := kafka.TopicConfig{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: entries}
	answer, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{wanted}})
	if err == nil {
		err = answer.Errors[topic]
	}
	if err != nil {
		return topic, err
	}
	return topic, cell.Waited(10*time.Second, "leaders", func() bool { return led(topic) == partitions })
}

func led(topic string) int {
	found, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil || len(found.Topics) == 0 || found.Topics[0].Error != nil {
		return 0
	}
	count := 0
	for _, p := range found.Topics[0].Partitions {
		if p.Error == nil && p.Leader.Host != "" {
			count++
		}
	}
	return count
}

// toPartition sends each message to the partition that it names.
type toPartition struct{}

func (toPartition) Balance(message kafka.Message, partitions ...int) int {
	return message.WriterData.(int)
}

func producer(topic string, codec kafka.Compression) *kafka.Writer {
	return &kafka.Writer{
		Addr: address, Topic: topic, Balancer: toPartition{}, RequiredAcks: kafka.RequireAll, Compression: codec,
		BatchTimeout: time.Millisecond, BatchBytes: 1_000_000, MaxAttempts: 50,
	}
}

func number(partition, i int) kafka.Message {
	return kafka.Message{Value: []byte(strconv.Itoa(i)), WriterData: partition}
}

func numbered(topic string, partitions, count int) error {
	writer := producer(topic, 0)
	defer writer.Close()
	var messages []kafka.Message
	for i := range count {
		messages = append(messages, number(i%partitions, i))
	}
	return writer.WriteMessages(ctx, messages...)
}

func reader(topic string, partition int, offset int64) *kafka.Reader {
	r := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{cell.Address}, Topic: topic, Partition: partition, MinBytes: 1, MaxBytes: 4 << 20, MaxWait: 100 * time.Millisecond,
	})
	if err := r.SetOffset(offset); err != nil {
		panic(err)
	}
	return r
}

func taken(r *kafka.Reader, count int, limit time.Duration) ([]kafka.Message, error) {
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var messages []kafka.Message
	for len(messages) < count {
		m, err := r.FetchMessage(timed)
		if err != nil {
			return messages, fmt.Errorf("%d of %d records: %w", len(messages), count, err)
		}
		messages = append(messages, m)
	}
	return messages, nil
}

func numbers(messages []kafka.Message) []int {
	var found []int
	for _, m := range messages {
		n, _ := strconv.Atoi(string(m.Value))
		found = append(found, n)
	}
	return found
}

func member(topic string) *kafka.Reader {
	return kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{cell.Address}, GroupID: topic, Topic: topic, StartOffset: kafka.FirstOffset,
		SessionTimeout: 6 * time.Second, RebalanceTimeout: 6 * time.Second, HeartbeatInterval: 300 * time.Millisecond,
		MinBytes: 1, MaxBytes: 4 << 20, MaxWait: 100 * time.Millisecond, JoinGroupBackoff: 100 * time.Millisecond,
	})
}

func codecs() error {
	kinds := map[string]kafka.Compression{"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd}
	for _, codec := range cell.Codecs {
		topic, err := create("codecs-"+codec, 1)
		if err != nil {
			return err
		}
		writer := producer(topic, kinds[codec])
		var messages []kafka.Message
		for i := range 200 {
			messages = append(messages, kafka.Message{Key: cell.Key(i), Value: cell.Value(i), WriterData: 0})
		}
		err = writer.WriteMessages(ctx, messages...)
		writer.Close()
		if err != nil {
			return err
		}
		r := reader(topic, 0, 0)
		got, err := taken(r, 200, 30*time.Second)
		r.Close()
		if err != nil {
			return err
		}
		for i, m := range got {
			if err := cell.Same(codec, []any{m.Offset, m.Key, m.Value}, []any{int64(i), cell.Key(i), cell.Value(i)}); err != nil {
				return err
			}
		}
	}
	return nil
}

func offset(topic string, at kafka.OffsetRequest) (kafka.PartitionOffsets, error) {
	asked := map[string][]kafka.OffsetRequest{topic: {at}}
	answer, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: asked})
	if err != nil {
		return kafka.PartitionOffsets{}, err
	}
	return answer.Topics[topic][0], answer.Topics[topic][0].Error
}

func assign() error {
	topic, err := create("assign", 2)
	if err == nil {
		err = numbered(topic, 2, 200)
	}
	if err != nil {
		return err
	}
	for partition, from := range map[int]int{0: 50, 1: 0} {
		r := reader(topic, partition, int64(from))
		got, err := taken(r, 100-from, 30*time.Second)
		r.Close()
		if err != nil {
			return err
		}
		var offsets []int
		for _, m := range got {
			offsets = append(offsets, int(m.Offset))
		}
		if err := cell.Same("offsets", offsets, cell.Numbers(100)[from:]); err != nil {
			return err
		}
	}
	first, err := offset(topic, kafka.FirstOffsetOf(0))
	if err != nil {
		return err
	}
	last, err := offset(topic, kafka.LastOffsetOf(0))
	if err != nil {
		return err
	}
	return cell.Same("bounds", []int64{first.FirstOffset, last.LastOffset}, []int64{0, 100})
}

func group() error {
	topic, err := create("group", 3)
	if err == nil {
		err = numbered(topic, 3, 90)
	}
	if err != nil {
		return err
	}
	var seen []int
	for range 2 {
		r := member(topic)
		got, err := taken(r, 45, 30*time.Second)
		if err == nil {
			err = r.CommitMessages(ctx, got...)
		}
		r.Close()
		if err != nil {
			return err
		}
		seen = append(seen, numbers(got)...)
	}
	slices.Sort(seen)
	return cell.Same("records", seen, cell.Numbers(90))
}

// A reader of its own for each partition of a generation, as the package's ConsumerGroup has it: commits go out under the
// generation that gave the partition. (Its Reader sends what waits in the name of the next one, though the partition may be
// another member's by then.)
func rebalance() error {
	topic, err := create("rebalance", 6)
	if err != nil {
		return err
	}
	writer := producer(topic, 0)
	defer writer.Close()
	send := func(i int) error { return writer.WriteMessages(ctx, number(i%6, i)) }
	return cell.Flow(send, func(ledger *cell.Ledger, done <-chan struct{}) error {
		group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
			ID: topic, Brokers: []string{cell.Address}, Topics: []string{topic}, StartOffset: kafka.FirstOffset,
			SessionTimeout: 6 * time.Second, RebalanceTimeout: 6 * time.Second, HeartbeatInterval: 300 * time.Millisecond,
			JoinGroupBackoff: 100 * time.Millisecond,
		})
		if err != nil {
			return err
		}
		ended := make(chan error)
		go func() {
			<-done
			ended <- group.Close()
		}()
		for {
			generation, err := group.Next(ctx)
			if errors.Is(err, kafka.ErrGroupClosed) {
				return <-ended
			}
			if err != nil {
				continue // the next one
			}
			for _, given := range generation.Assignments[topic] {
				generation.Start(func(ctx context.Context) { own(ctx, generation, topic, given, ledger) })
			}
		}
	})
}

// One partition, until its generation is over.
func own(ctx context.Context, generation *kafka.Generation, topic string, given kafka.PartitionAssignment, ledger *cell.Ledger) {
	r := reader(topic, given.ID, given.Offset)
	defer r.Close()
	for {
		m, err := r.FetchMessage(ctx)
		if err != nil {
			return
		}
		ledger.Receive(m.Value)
		if generation.CommitOffsets(map[string]map[int]int64{topic: {m.Partition: m.Offset + 1}}) == nil {
			ledger.Commit(m.Value)
		}
	}
}

func byTime() error {
	topic, err := create("time", 1)
	if err != nil {
		return err
	}
	writer := producer(topic, 0)
	defer writer.Close()
	var messages []kafka.Message
	for i := range 100 {
		m := number(0, i)
		m.Time = cell.Started.Add(time.Duration(i) * time.Second)
		messages = append(messages, m)
	}
	if err := writer.WriteMessages(ctx, messages...); err != nil {
		return err
	}
	for after, want := range map[int64]int64{-1: 0, 41_500: 42, 200_000: -1} {
		found, err := offset(topic, kafka.TimeOffsetOf(0, cell.Started.Add(time.Duration(after)*time.Millisecond)))
		if err != nil {
			return err
		}
		if _, there := found.Offsets[want]; !there {
			return fmt.Errorf("for %d ms: %v instead of %d", after, found.Offsets, want)
		}
	}
	r := reader(topic, 0, 0)
	defer r.Close()
	if err := r.SetOffsetAt(ctx, cell.Started.Add(41_500*time.Millisecond)); err != nil {
		return err
	}
	got, err := taken(r, 1, 30*time.Second)
	if err != nil {
		return err
	}
	return cell.Same("first record", numbers(got), []int{42})
}

func topics() error {
	topic, err := create("topics", 3, kafka.ConfigEntry{ConfigName: "retention.ms", ConfigValue: "3600000"})
	if err != nil {
		return err
	}
	if err := cell.Same("partitions", led(topic), 3); err != nil {
		return err
	}
	again := kafka.TopicConfig{Topic: topic, NumPartitions: 3, ReplicationFactor: 1}
	answer, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{again}})
	if err != nil {
		return err
	}
	if !errors.Is(answer.Errors[topic], kafka.TopicAlreadyExists) {
		return fmt.Errorf("the second creation: %v", answer.Errors[topic])
	}
	gone, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err == nil {
		err = gone.Errors[topic]
	}
	if err != nil {
		return err
	}
	return cell.Waited(10*time.Second, "its end", func() bool {
		found, err := client.Metadata(ctx, &kafka.MetadataRequest{})
		return err == nil && !slices.ContainsFunc(found.Topics, func(t kafka.Topic) bool { return t.Name == topic })
	})
}

func configs() error {
	topic, err := create("configs", 1, kafka.ConfigEntry{ConfigName: "retention.ms", ConfigValue: "3600000"})
	if err != nil {
		return err
	}
	retention := func(want string) error {
		one := kafka.DescribeConfigRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic}
		answer, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{one}})
		if err != nil {
			return err
		}
		for _, entry := range answer.Resources[0].ConfigEntries {
			if entry.ConfigName == "retention.ms" {
				return cell.Same("retention.ms", entry.ConfigValue, want)
			}
		}
		return errors.New("no retention.ms")
	}
	if err := retention("3600000"); err != nil {
		return err
	}
	set := kafka.IncrementalAlterConfigsRequestConfig{
		Name: "retention.ms", Value: "7200000", ConfigOperation: kafka.ConfigOperationSet,
	}
	step := kafka.IncrementalAlterConfigsRequestResource{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, Configs: []kafka.IncrementalAlterConfigsRequestConfig{set},
	}
	stepped, err := client.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{step},
	})
	if err == nil {
		err = stepped.Resources[0].Error
	}
	if err == nil {
		err = retention("7200000")
	}
	if err != nil {
		return err
	}
	whole := kafka.AlterConfigRequestResource{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
		Configs: []kafka.AlterConfigRequestConfig{{Name: "retention.ms", Value: "5400000"}},
	}
	altered, err := client.AlterConfigs(ctx, &kafka.AlterConfigsRequest{Resources: []kafka.AlterConfigRequestResource{whole}})
	if err != nil {
		return err
	}
	for _, err := range altered.Errors {
		if err != nil {
			return err
		}
	}
	return retention("5400000")
}

func partitions() error {
	topic, err := create("partitions", 2)
	if err != nil {
		return err
	}
	grow := kafka.TopicPartitionsConfig{Name: topic, Count: 4}
	answer, err := client.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{grow}})
	if err == nil {
		err = answer.Errors[topic]
	}
	if err != nil {
		return err
	}
	if err := cell.Waited(10*time.Second, "four partitions", func() bool { return led(topic) == 4 }); err != nil {
		return err
	}
	writer := producer(topic, 0)
	defer writer.Close()
	if err := writer.WriteMessages(ctx, number(3, 7)); err != nil {
		return err
	}
	r := reader(topic, 3, 0)
	defer r.Close()
	got, err := taken(r, 1, 30*time.Second)
	if err != nil {
		return err
	}
	return cell.Same("record", numbers(got), []int{7})
}

func shapes() (string, error) {
	topic, err := create("shapes", 1)
	if err != nil {
		return "", err
	}
	headers := []kafka.Header{
		{Key: "twice", Value: []byte("one")}, {Key: "twice", Value: []byte("two")},
		{Key: "bytes", Value: cell.EveryByte}, {Key: "empty", Value: []byte{}},
	}
	wanted := []kafka.Message{
		{Key: []byte("large"), Value: cell.Large},
		{Key: []byte("empty"), Value: []byte{}},
		{Key: []byte("tombstone"), Value: nil},
		{Key: nil, Value: []byte("no key")},
		{Key: []byte("headers"), Value: []byte("v"), Headers: headers},
	}
	writer := producer(topic, 0)
	defer writer.Close()
	for _, m := range wanted {
		m.WriterData = 0
		if err := writer.WriteMessages(ctx, m); err != nil {
			return "", err
		}
	}
	// The reader gives an empty value and none alike, so these two are looked at through the lower door.
	r := reader(topic, 0, 0)
	defer r.Close()
	got, err := taken(r, 5, 30*time.Second)
	if err != nil {
		return "", err
	}
	for i, m := range got {
		want := []any{string(wanted[i].Key), string(wanted[i].Value), len(wanted[i].Headers)}
		if err := cell.Same("record", []any{string(m.Key), string(m.Value), len(m.Headers)}, want); err != nil {
			return "", err
		}
		for h, header := range m.Headers {
			pair := []string{header.Key, string(header.Value)}
			if err := cell.Same("header", pair, []string{headers[h].Key, string(headers[h].Value)}); err != nil {
				return "", err
			}
		}
	}
	for at, null := range map[int64]bool{1: false, 2: true} {
		var answer *kafka.FetchResponse
		// The client routes by what it knew of the cluster some seconds ago.
		if err := cell.Waited(20*time.Second, "the lower door", func() bool {
			asked := &kafka.FetchRequest{Topic: topic, Offset: at, MinBytes: 1, MaxBytes: 1 << 20, MaxWait: time.Second}
			answer, err = client.Fetch(ctx, asked)
			return err == nil && answer.Error == nil
		}); err != nil {
			return "", err
		}
		record, err := answer.Records.ReadRecord()
		if err != nil {
			return "", err
		}
		if err := cell.Same(fmt.Sprintf("null at %d", at), record.Value == nil, null); err != nil {
			return "", err
		}
	}
	return "", nil
}

func restart() (string, error) {
	topic, err := create("restart", 1)
	if err == nil {
		err = numbered(topic, 1, 100)
	}
	if err != nil {
		return "", err
	}
	r := member(topic)
	defer r.Close()
	got, err := taken(r, 100, 30*time.Second)
	if err == nil {
		err = r.CommitMessages(ctx, got...)
	}
	if err != nil {
		return "", err
	}
	writer := producer(topic, 0)
	defer writer.Close()
	cell.RestartBegins()
	for i := 100; i < 300; i++ {
		if err := writer.WriteMessages(ctx, number(0, i)); err != nil {
			return "", err
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := cell.RestartIsOver(); err != nil {
		return "", err
	}
	seen := numbers(got)
	for !slices.Contains(seen, 299) {
		more, err := taken(r, 1, 60*time.Second)
		if err != nil {
			return "", err
		}
		seen = append(seen, numbers(more)...)
	}
	slices.Sort(seen)
	err = cell.Same("records", slices.Compact(seen), cell.Numbers(300))
	return "the client has no idempotent producer: a record may be there twice", err
}

func main() {
	cell.Main("kafka-go", "github.com/segmentio/kafka-go", map[string]func() (string, error){
		"codecs":         cell.Plain(codecs),
		"assign":         cell.Plain(assign),
		"group":          cell.Plain(group),
		"rebalance":      cell.Plain(rebalance),
		"new-group":      cell.Lacks("the client speaks the classic protocol alone"),
		"static":         cell.Lacks("the client has no group.instance.id"),
		"time":           cell.Plain(byTime),
		"topics":         cell.Plain(topics),
		"configs":        cell.Plain(configs),
		"partitions":     cell.Plain(partitions),
		"delete-records": cell.Lacks("the client has no DeleteRecords"),
		"shapes":         shapes,
		"restart":        restart,
	})
}
