// sarama: sarama HOST:PORT PREFIX SCENARIO...
package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"ringlog.test/matrix/cell"
)

var brokers = []string{cell.Address}

func config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.MaxVersion
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Return.Successes = true
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.Idempotent = true
	c.Net.MaxOpenRequests = 1
	c.Producer.Retry.Max = 50
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Enable = false
	c.Consumer.Group.Session.Timeout = 6 * time.Second
	c.Consumer.Group.Heartbeat.Interval = 300 * time.Millisecond
	c.Consumer.Return.Errors = true
	// Commits share the connection with fetches, and answers keep their order: a commit waits for a fetch that waits.
	c.Consumer.MaxWaitTime = 20 * time.Millisecond
	return c
}

func admin() sarama.ClusterAdmin {
	adm, err := sarama.NewClusterAdmin(brokers, config())
	if err != nil {
		panic(err)
	}
	return adm
}

func create(name string, partitions int32, entries map[string]*string) (string, error) {
	topic, adm := cell.Topic(name), admin()
	defer adm.Close()
	detail := sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: entries}
	if err := adm.CreateTopic(topic, &detail, false); err != nil {
		return topic, err
	}
	return topic, cell.Waited(10*time.Second, "leaders", func() bool { return led(adm, topic) == int(partitions) })
}

func led(adm sarama.ClusterAdmin, topic string) int {
	found, err := adm.DescribeTopics([]string{topic})
	if err != nil || found[0].Err != sarama.ErrNoError {
		return 0
	}
	count := 0
	for _, p := range found[0].Partitions {
		if p.Leader >= 0 {
			count++
		}
	}
	return count
}

func producer(c *sarama.Config) sarama.SyncProducer {
	made, err := sarama.NewSyncProducer(brokers, c)
	if err != nil {
		panic(err)
	}
	return made
}

func number(topic string, partition int32, i int) *sarama.ProducerMessage {
	return &sarama.ProducerMessage{Topic: topic, Partition: partition, Value: sarama.StringEncoder(strconv.Itoa(i))}
}

func numbered(topic string, partitions int, count int) error {
	writer := producer(config())
	defer writer.Close()
	var records []*sarama.ProducerMessage
	for i := range count {
		records = append(records, number(topic, int32(i%partitions), i))
	}
	return writer.SendMessages(records)
}

func reading(topic string, partition int32, offset int64, count int) ([]*sarama.ConsumerMessage, error) {
	consumer, err := sarama.NewConsumer(brokers, config())
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	stream, err := consumer.ConsumePartition(topic, partition, offset)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	late := time.After(30 * time.Second)
	var messages []*sarama.ConsumerMessage
	for len(messages) < count {
		select {
		case m := <-stream.Messages():
			messages = append(messages, m)
		case err := <-stream.Errors():
			return messages, err
		case <-late:
			return messages, fmt.Errorf("%d of %d records in 30 s", len(messages), count)
		}
	}
	return messages, nil
}

func numbers(messages []*sarama.ConsumerMessage) []int {
	var found []int
	for _, m := range messages {
		n, _ := strconv.Atoi(string(m.Value))
		found = append(found, n)
	}
	return found
}

// member joins a group and hands its records to `take` one after another, until `done`.
type member struct {
	topic string
	take  func(session sarama.ConsumerGroupSession, m *sarama.ConsumerMessage)
	told  func(partitions []int32)
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	if m.told != nil {
		m.told(slices.Sorted(slices.Values(session.Claims()[m.topic])))
	}
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			m.take(session, message)
		case <-session.Context().Done():
			return nil
		}
	}
}

func (m *member) run(c *sarama.Config, done <-chan struct{}) error {
	group, err := sarama.NewConsumerGroup(brokers, m.topic, c)
	if err != nil {
		return err
	}
	defer group.Close()
	go func() {
		for range group.Errors() {
		}
	}()
	running, cancel := context.WithCancel(context.Background())
	go func() { <-done; cancel() }()
	for running.Err() == nil {
		if err := group.Consume(running, []string{m.topic}, m); err != nil {
			time.Sleep(100 * time.Millisecond)
		}
	}
	return nil
}

func codecs() error {
	kinds := map[string]sarama.CompressionCodec{
		"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
		"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
	}
	for _, codec := range cell.Codecs {
		topic, err := create("codecs-"+codec, 1, nil)
		if err != nil {
			return err
		}
		c := config()
		c.Producer.Compression = kinds[codec]
		writer := producer(c)
		var records []*sarama.ProducerMessage
		for i := range 200 {
			key, value := sarama.ByteEncoder(cell.Key(i)), sarama.ByteEncoder(cell.Value(i))
			records = append(records, &sarama.ProducerMessage{Topic: topic, Key: key, Value: value})
		}
		err = writer.SendMessages(records)
		writer.Close()
		if err != nil {
			return err
		}
		got, err := reading(topic, 0, 0, 200)
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

func assign() error {
	topic, err := create("assign", 2, nil)
	if err == nil {
		err = numbered(topic, 2, 200)
	}
	if err != nil {
		return err
	}
	for partition, from := range map[int32]int{0: 50, 1: 0} {
		got, err := reading(topic, partition, int64(from), 100-from)
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
	client, err := sarama.NewClient(brokers, config())
	if err != nil {
		return err
	}
	defer client.Close()
	first, err := client.GetOffset(topic, 0, sarama.OffsetOldest)
	if err != nil {
		return err
	}
	end, err := client.GetOffset(topic, 0, sarama.OffsetNewest)
	if err != nil {
		return err
	}
	return cell.Same("bounds", []int64{first, end}, []int64{0, 100})
}

func group() error {
	topic, err := create("group", 3, nil)
	if err == nil {
		err = numbered(topic, 3, 90)
	}
	if err != nil {
		return err
	}
	var lock sync.Mutex
	var seen []int
	for _, until := range []int{45, 90} {
		done := make(chan struct{})
		m := &member{topic: topic}
		m.take = func(session sarama.ConsumerGroupSession, message *sarama.ConsumerMessage) {
			lock.Lock()
			defer lock.Unlock()
			if len(seen) == until {
				return
			}
			seen = append(seen, numbers([]*sarama.ConsumerMessage{message})...)
			session.MarkMessage(message, "")
			session.Commit()
			if len(seen) == until {
				close(done)
			}
		}
		ended := make(chan error, 1)
		go func() { ended <- m.run(config(), done) }()
		select {
		case err := <-ended:
			if err != nil {
				return err
			}
		case <-time.After(30 * time.Second):
			return fmt.Errorf("%d of %d records in 30 s", len(seen), until)
		}
	}
	slices.Sort(seen)
	return cell.Same("records", seen, cell.Numbers(90))
}

func rebalance() error {
	topic, err := create("rebalance", 6, nil)
	if err != nil {
		return err
	}
	writer, adm := producer(config()), admin()
	defer writer.Close()
	defer adm.Close()
	send := func(i int) error {
		_, _, err := writer.SendMessage(number(topic, int32(i%6), i))
		return err
	}
	// The session's Commit says nothing of its outcome: a record counts as committed when the broker tells its offset.
	committed := func(m *sarama.ConsumerMessage) bool {
		told, err := adm.ListConsumerGroupOffsets(topic, map[string][]int32{topic: {m.Partition}})
		return err == nil && told.GetBlock(topic, m.Partition).Offset > m.Offset
	}
	return cell.Flow(send, func(ledger *cell.Ledger, done <-chan struct{}) error {
		m := &member{topic: topic}
		m.take = func(session sarama.ConsumerGroupSession, message *sarama.ConsumerMessage) {
			if session.Context().Err() != nil {
				return
			}
			ledger.Receive(message.Value)
			session.MarkMessage(message, "")
			session.Commit()
			if committed(message) {
				ledger.Commit(message.Value)
			}
		}
		return m.run(config(), done)
	})
}

func static() error {
	topic, err := create("static", 4, nil)
	if err != nil {
		return err
	}
	var lock sync.Mutex
	told := map[string][][]int32{}
	all := func(name string) [][]int32 {
		lock.Lock()
		defer lock.Unlock()
		return slices.Clone(told[name])
	}
	join := func(name string) (stop func()) {
		c := config()
		c.Consumer.Group.InstanceId = name
		m := &member{topic: topic, take: func(sarama.ConsumerGroupSession, *sarama.ConsumerMessage) {}}
		m.told = func(partitions []int32) {
			lock.Lock()
			defer lock.Unlock()
			told[name] = append(told[name], partitions)
		}
		done, ended := make(chan struct{}), make(chan error, 1)
		go func() { ended <- m.run(c, done) }()
		return func() { close(done); <-ended }
	}
	now := func(name string) []int32 {
		if got := all(name); len(got) > 0 {
			return got[len(got)-1]
		}
		return nil
	}
	leaveA, leaveB := join("a"), join("b")
	defer leaveB()
	both := func() bool { return len(now("a")) == 2 && len(now("b")) == 2 }
	if err := cell.Waited(30*time.Second, "both members", both); err != nil {
		return err
	}
	before, others := all("a"), all("b")
	leaveA()
	leaveA = join("a")
	defer leaveA()
	if err := cell.Waited(20*time.Second, "the member again", func() bool { return len(all("a")) > len(before) }); err != nil {
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
	writer := producer(config())
	defer writer.Close()
	for i := range 100 {
		m := number(topic, 0, i)
		m.Timestamp = cell.Started.Add(time.Duration(i) * time.Second)
		if _, _, err := writer.SendMessage(m); err != nil {
			return err
		}
	}
	client, err := sarama.NewClient(brokers, config())
	if err != nil {
		return err
	}
	defer client.Close()
	for after, want := range map[int64]int64{-1: 0, 41_500: 42, 200_000: -1} {
		got, err := client.GetOffset(topic, 0, cell.Started.UnixMilli()+after)
		if err != nil {
			return err
		}
		if err := cell.Same("offset", got, want); err != nil {
			return err
		}
	}
	got, err := reading(topic, 0, 42, 1)
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
	found, err := adm.ListTopics()
	if err != nil {
		return err
	}
	if err := cell.Same("partitions", found[topic].NumPartitions, int32(3)); err != nil {
		return err
	}
	err = adm.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 1}, false)
	if !errors.Is(err, sarama.ErrTopicAlreadyExists) {
		return fmt.Errorf("the second creation: %v", err)
	}
	if err := adm.DeleteTopic(topic); err != nil {
		return err
	}
	return cell.Waited(10*time.Second, "its end", func() bool {
		found, err := adm.ListTopics()
		_, there := found[topic]
		return err == nil && !there
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
		entries, err := adm.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if entry.Name == "retention.ms" {
				return cell.Same("retention.ms", entry.Value, want)
			}
		}
		return errors.New("no retention.ms")
	}
	if err := retention(hour); err != nil {
		return err
	}
	set := sarama.IncrementalAlterConfigsEntry{Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &two}
	one := map[string]sarama.IncrementalAlterConfigsEntry{"retention.ms": set}
	if err := adm.IncrementalAlterConfig(sarama.TopicResource, topic, one, false); err != nil {
		return err
	}
	if err := retention(two); err != nil {
		return err
	}
	if err := adm.AlterConfig(sarama.TopicResource, topic, map[string]*string{"retention.ms": &oneAndHalf}, false); err != nil {
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
	if err := adm.CreatePartitions(topic, 4, nil, false); err != nil {
		return err
	}
	if err := cell.Waited(10*time.Second, "four partitions", func() bool { return led(adm, topic) == 4 }); err != nil {
		return err
	}
	writer := producer(config())
	defer writer.Close()
	if _, _, err := writer.SendMessage(number(topic, 3, 7)); err != nil {
		return err
	}
	got, err := reading(topic, 3, 0, 1)
	if err != nil {
		return err
	}
	return cell.Same("record", numbers(got), []int{7})
}

func deleteRecords() error {
	topic, err := create("delete", 1, nil)
	if err == nil {
		err = numbered(topic, 1, 10)
	}
	if err != nil {
		return err
	}
	adm := admin()
	defer adm.Close()
	if err := adm.DeleteRecords(topic, map[int32]int64{0: 5}); err != nil {
		return err
	}
	got, err := reading(topic, 0, sarama.OffsetOldest, 1)
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
	headers := []sarama.RecordHeader{
		{Key: []byte("twice"), Value: []byte("one")}, {Key: []byte("twice"), Value: []byte("two")},
		{Key: []byte("bytes"), Value: cell.EveryByte}, {Key: []byte("empty"), Value: []byte{}},
	}
	wanted := []sarama.ProducerMessage{
		{Key: sarama.StringEncoder("large"), Value: sarama.ByteEncoder(cell.Large)},
		{Key: sarama.StringEncoder("empty"), Value: sarama.ByteEncoder{}},
		{Key: sarama.StringEncoder("tombstone"), Value: nil},
		{Key: nil, Value: sarama.StringEncoder("no key")},
		{Key: sarama.StringEncoder("headers"), Value: sarama.StringEncoder("v"), Headers: headers},
	}
	writer := producer(config())
	defer writer.Close()
	for i := range wanted {
		wanted[i].Topic = topic
		if _, _, err := writer.SendMessage(&wanted[i]); err != nil {
			return err
		}
	}
	got, err := reading(topic, 0, 0, 5)
	if err != nil {
		return err
	}
	bytesOf := func(e sarama.Encoder) []byte {
		if e == nil {
			return nil
		}
		encoded, _ := e.Encode()
		return encoded
	}
	for i, m := range got {
		var told []sarama.RecordHeader
		for _, h := range m.Headers {
			told = append(told, *h)
		}
		want := []any{bytesOf(wanted[i].Key), bytesOf(wanted[i].Value), wanted[i].Headers}
		if err := cell.Same("record", []any{m.Key, m.Value, told}, want); err != nil {
			return err
		}
	}
	return nil
}

func restart() error {
	topic, err := create("restart", 1, nil)
	if err == nil {
		err = numbered(topic, 1, 100)
	}
	if err != nil {
		return err
	}
	var lock sync.Mutex
	var seen []int
	// Not how many: a record whose commit the kill took comes again.
	saw := func(last int) func() bool {
		return func() bool {
			lock.Lock()
			defer lock.Unlock()
			return slices.Contains(seen, last)
		}
	}
	m := &member{topic: topic}
	m.take = func(session sarama.ConsumerGroupSession, message *sarama.ConsumerMessage) {
		lock.Lock()
		seen = append(seen, numbers([]*sarama.ConsumerMessage{message})...)
		lock.Unlock()
		session.MarkMessage(message, "")
		session.Commit()
	}
	done, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- m.run(config(), done) }()
	if err := cell.Waited(30*time.Second, "the first records", saw(99)); err != nil {
		return err
	}
	writer := producer(config())
	defer writer.Close()
	cell.RestartBegins()
	for i := 100; i < 300; i++ {
		if _, _, err := writer.SendMessage(number(topic, 0, i)); err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := cell.RestartIsOver(); err != nil {
		return err
	}
	if err := cell.Waited(60*time.Second, "the other records", saw(299)); err != nil {
		return err
	}
	close(done)
	<-ended
	// A record whose commit the kill took may come again; each is there once in the log.
	messages, err := reading(topic, 0, 0, 300)
	if err != nil {
		return err
	}
	if err := cell.Same("records in the log", numbers(messages), cell.Numbers(300)); err != nil {
		return err
	}
	slices.Sort(seen)
	return cell.Same("records", slices.Compact(seen), cell.Numbers(300))
}

func main() {
	cell.Main("sarama", "github.com/IBM/sarama", map[string]func() (string, error){
		"codecs":         cell.Plain(codecs),
		"assign":         cell.Plain(assign),
		"group":          cell.Plain(group),
		"rebalance":      cell.Plain(rebalance),
		"new-group":      cell.Lacks("the client speaks the classic protocol alone"),
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
