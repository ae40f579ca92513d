import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.header.Header;

/** Java kafka-clients: Matrix HOST:PORT PREFIX SCENARIO... What differs between the versions is in Release. */
final class Matrix {
    private static final String SERIALIZER = "org.apache.kafka.common.serialization.ByteArraySerializer";
    private static final String DESERIALIZER = "org.apache.kafka.common.serialization.ByteArrayDeserializer";
    private static AdminClient admin;

    private Matrix() {}

    private static Properties base(String... more) {
        Properties all = new Properties();
        all.put("bootstrap.servers", Cell.address);
        for (int i = 0; i < more.length; i += 2) {
            all.put(more[i], more[i + 1]);
        }
        return all;
    }

    private static KafkaProducer<byte[], byte[]> producer(String... more) {
        Properties all = base("acks", "all", "enable.idempotence", "true", "linger.ms", "1");
        all.put("key.serializer", SERIALIZER);
        all.put("value.serializer", SERIALIZER);
        all.putAll(base(more));
        return new KafkaProducer<>(all);
    }

    private static KafkaConsumer<byte[], byte[]> consumer(String... more) {
        Properties all = base("enable.auto.commit", "false", "auto.offset.reset", "earliest");
        all.put("key.deserializer", DESERIALIZER);
        all.put("value.deserializer", DESERIALIZER);
        all.putAll(base(more));
        return new KafkaConsumer<>(all);
    }

    private static KafkaConsumer<byte[], byte[]> member(String group, String... more) {
        return consumer(with(more, "group.id", group));
    }

    private static final String[] CLASSIC = {"session.timeout.ms", "6000", "heartbeat.interval.ms", "300"};

    private static String[] with(String[] some, String... more) {
        String[] all = Arrays.copyOf(some, some.length + more.length);
        System.arraycopy(more, 0, all, some.length, more.length);
        return all;
    }

    private static String create(String name, int partitions, Map<String, String> configs) throws Exception {
        String topic = Cell.topic(name);
        NewTopic wanted = new NewTopic(topic, partitions, (short) 1).configs(configs);
        admin.createTopics(Collections.singleton(wanted)).all().get();
        Cell.waited(10, "leaders", () -> led(topic) == partitions);
        return topic;
    }

    private static String create(String name, int partitions) throws Exception {
        return create(name, partitions, new HashMap<>());
    }

    private static int led(String topic) throws Exception {
        try {
            return (int) Release.describe(admin, topic).partitions().stream().filter(p -> p.leader() != null).count();
        } catch (ExecutionException error) {
            if (error.getCause() instanceof UnknownTopicOrPartitionException) {
                return 0;
            }
            throw error;
        }
    }

    private static ProducerRecord<byte[], byte[]> number(String topic, int partition, int i) {
        return new ProducerRecord<>(topic, partition, null, String.valueOf(i).getBytes());
    }

    private static void written(List<ProducerRecord<byte[], byte[]>> records, String... more) throws Exception {
        try (KafkaProducer<byte[], byte[]> writer = producer(more)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (ProducerRecord<byte[], byte[]> record : records) {
                sent.add(writer.send(record));
            }
            for (Future<RecordMetadata> one : sent) {
                one.get();
            }
        }
    }

    private static void numbered(String topic, int partitions, int count) throws Exception {
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            records.add(number(topic, i % partitions, i));
        }
        written(records);
    }

    private static KafkaConsumer<byte[], byte[]> reading(String topic, Map<Integer, Long> offsets, String... more) {
        KafkaConsumer<byte[], byte[]> reader = consumer(more);
        List<TopicPartition> partitions = new ArrayList<>();
        offsets.keySet().forEach(p -> partitions.add(new TopicPartition(topic, p)));
        reader.assign(partitions);
        offsets.forEach((p, offset) -> reader.seek(new TopicPartition(topic, p), offset));
        return reader;
    }

    private static List<ConsumerRecord<byte[], byte[]>> taken(KafkaConsumer<byte[], byte[]> reader, int count, int seconds) {
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        long end = System.nanoTime() + seconds * 1_000_000_000L;
        while (records.size() < count) {
            if (System.nanoTime() > end) {
                throw new AssertionError(records.size() + " of " + count + " records in " + seconds + " s");
            }
            reader.poll(Duration.ofMillis(200)).forEach(records::add);
        }
        return records;
    }

    private static List<Integer> numbers(List<ConsumerRecord<byte[], byte[]>> records) {
        List<Integer> all = new ArrayList<>();
        records.forEach(record -> all.add(Integer.valueOf(new String(record.value()))));
        return all;
    }

    private static void codecs() throws Exception {
        for (String codec : Cell.CODECS) {
            String topic = create("codecs-" + codec, 1);
            List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
            for (int i = 0; i < 200; i++) {
                records.add(new ProducerRecord<>(topic, 0, Cell.key(i), Cell.value(i)));
            }
            written(records, "compression.type", codec);
            try (KafkaConsumer<byte[], byte[]> reader = reading(topic, Collections.singletonMap(0, 0L))) {
                int i = 0;
                for (ConsumerRecord<byte[], byte[]> record : taken(reader, 200, 30)) {
                    Cell.same("offset", record.offset(), (long) i);
                    Cell.same(codec + " key", record.key(), Cell.key(i));
                    Cell.same(codec + " value", record.value(), Cell.value(i));
                    i++;
                }
            }
        }
    }

    private static void assign() throws Exception {
        String topic = create("assign", 2);
        numbered(topic, 2, 200);
        Map<Integer, Long> from = new HashMap<>();
        from.put(0, 50L);
        from.put(1, 0L);
        try (KafkaConsumer<byte[], byte[]> reader = reading(topic, from)) {
            Map<Integer, List<Integer>> got = new TreeMap<>();
            for (ConsumerRecord<byte[], byte[]> record : taken(reader, 150, 30)) {
                got.computeIfAbsent(record.partition(), p -> new ArrayList<>()).add((int) record.offset());
            }
            Cell.same("offsets", Arrays.asList(got.get(0), got.get(1)), Arrays.asList(Cell.numbers(50, 100), Cell.numbers(0, 100)));
            TopicPartition first = new TopicPartition(topic, 0);
            Cell.same("beginning", reader.beginningOffsets(Collections.singleton(first)).get(first), 0L);
            Cell.same("end", reader.endOffsets(Collections.singleton(first)).get(first), 100L);
        }
    }

    private static void group() throws Exception {
        String topic = create("group", 3);
        numbered(topic, 3, 90);
        List<Integer> seen = new ArrayList<>();
        for (int half = 0; half < 2; half++) {
            try (KafkaConsumer<byte[], byte[]> reader = member(topic, with(CLASSIC, "max.poll.records", "1"))) {
                reader.subscribe(Collections.singleton(topic));
                seen.addAll(numbers(taken(reader, 45, 30)));
                reader.commitSync();
            }
        }
        Collections.sort(seen);
        Cell.same("records", seen, Cell.numbers(0, 90));
    }

    static void flowing(String name, String... settings) throws Exception {
        String topic = create(name, 6);
        try (KafkaProducer<byte[], byte[]> writer = producer()) {
            Cell.flow(i -> writer.send(number(topic, i % 6, i)).get(), (ledger, done) -> {
                try (KafkaConsumer<byte[], byte[]> reader = member(topic, with(settings, "max.poll.records", "1"))) {
                    reader.subscribe(Collections.singleton(topic));
                    while (done.getCount() > 0) {
                        for (ConsumerRecord<byte[], byte[]> record : reader.poll(Duration.ofMillis(100))) {
                            take(reader, record, ledger);
                        }
                    }
                }
            });
        }
    }

    private static void take(KafkaConsumer<byte[], byte[]> reader, ConsumerRecord<byte[], byte[]> record, Cell.Ledger ledger) {
        TopicPartition partition = new TopicPartition(record.topic(), record.partition());
        ledger.receive(record.value());
        try {
            reader.commitSync(Collections.singletonMap(partition, new OffsetAndMetadata(record.offset() + 1)));
            ledger.commit(record.value());
        } catch (KafkaException taken) {
            // A rebalance took the commit away: who has the partition now sees the record again.
            if (reader.assignment().contains(partition)) {
                reader.seek(partition, record.offset());
            }
        }
    }

    /** A static member that polls on a thread of its own and keeps its assignments. */
    private static final class Static {
        private final CountDownLatch done = new CountDownLatch(1);
        private final Thread thread;

        Static(String topic, String name, List<List<Integer>> told) {
            thread = new Thread(() -> {
                try (KafkaConsumer<byte[], byte[]> reader = member(topic, with(CLASSIC, "group.instance.id", name))) {
                    reader.subscribe(Collections.singleton(topic), new ConsumerRebalanceListener() {
                        @Override
                        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {}

                        @Override
                        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                            List<Integer> got = new ArrayList<>();
                            partitions.forEach(p -> got.add(p.partition()));
                            Collections.sort(got);
                            told.add(got);
                        }
                    });
                    while (done.getCount() > 0) {
                        reader.poll(Duration.ofMillis(50));
                    }
                }
            });
            thread.setDaemon(true);
            thread.start();
        }

        void leave() throws InterruptedException {
            done.countDown();
            thread.join(20_000);
        }
    }

    static void staticMembers() throws Exception {
        String topic = create("static", 4);
        List<List<Integer>> toldA = Collections.synchronizedList(new ArrayList<>());
        List<List<Integer>> toldB = Collections.synchronizedList(new ArrayList<>());
        Static a = new Static(topic, "a", toldA);
        Static b = new Static(topic, "b", toldB);
        Cell.waited(30, "both members", () -> last(toldA).size() == 2 && last(toldB).size() == 2);
        List<List<Integer>> beforeA = new ArrayList<>(toldA);
        List<List<Integer>> beforeB = new ArrayList<>(toldB);
        a.leave();
        a = new Static(topic, "a", toldA);
        Cell.waited(20, "the member again", () -> toldA.size() > beforeA.size());
        Thread.sleep(1000);
        Cell.same("its partitions", last(toldA), last(beforeA));
        Cell.same("the other's assignments", new ArrayList<>(toldB), beforeB);
        a.leave();
        b.leave();
    }

    private static List<Integer> last(List<List<Integer>> all) {
        return all.isEmpty() ? Collections.emptyList() : all.get(all.size() - 1);
    }

    private static void byTime() throws Exception {
        String topic = create("time", 1);
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int i = 0; i < 100; i++) {
            records.add(new ProducerRecord<>(topic, 0, Cell.STARTED + i * 1000L, null, String.valueOf(i).getBytes()));
        }
        written(records);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaConsumer<byte[], byte[]> reader = reading(topic, Collections.singletonMap(0, 0L))) {
            List<Long> found = new ArrayList<>();
            for (long after : new long[] {-1, 41_500, 200_000}) {
                OffsetAndTimestamp one = reader.offsetsForTimes(Collections.singletonMap(partition, Cell.STARTED + after)).get(partition);
                found.add(one == null ? null : one.offset());
            }
            Cell.same("offsets", found, Arrays.asList(0L, 42L, null));
            reader.seek(partition, found.get(1));
            Cell.same("first record", numbers(taken(reader, 1, 30)).get(0), 42);
        }
    }

    private static void topics() throws Exception {
        String topic = create("topics", 3, Collections.singletonMap("retention.ms", "3600000"));
        Cell.same("listed", admin.listTopics().names().get().contains(topic), true);
        Cell.same("partitions", led(topic), 3);
        try {
            admin.createTopics(Collections.singleton(new NewTopic(topic, 3, (short) 1))).all().get();
            throw new AssertionError("a second creation went well");
        } catch (ExecutionException error) {
            Cell.same("second creation", error.getCause().getClass(), TopicExistsException.class);
        }
        admin.deleteTopics(Collections.singleton(topic)).all().get();
        Cell.waited(10, "its end", () -> !admin.listTopics().names().get().contains(topic));
    }

    private static void configs() throws Exception {
        String topic = create("configs", 1, Collections.singletonMap("retention.ms", "3600000"));
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Cell.same("at first", retention(resource), "3600000");
        Release.alter(admin, resource, "retention.ms", "7200000");
        Cell.same("afterwards", retention(resource), "7200000");
    }

    private static String retention(ConfigResource resource) throws Exception {
        return admin.describeConfigs(Collections.singleton(resource)).all().get().get(resource).get("retention.ms").value();
    }

    private static void partitions() throws Exception {
        String topic = create("partitions", 2);
        admin.createPartitions(Collections.singletonMap(topic, NewPartitions.increaseTo(4))).all().get();
        Cell.waited(10, "four partitions", () -> led(topic) == 4);
        written(Collections.singletonList(number(topic, 3, 7)));
        try (KafkaConsumer<byte[], byte[]> reader = reading(topic, Collections.singletonMap(3, 0L))) {
            Cell.same("record", numbers(taken(reader, 1, 30)), Collections.singletonList(7));
        }
    }

    private static void deleteRecords() throws Exception {
        String topic = create("delete", 1);
        numbered(topic, 1, 10);
        TopicPartition partition = new TopicPartition(topic, 0);
        Map<TopicPartition, RecordsToDelete> before = Collections.singletonMap(partition, RecordsToDelete.beforeOffset(5));
        Cell.same("low watermark", admin.deleteRecords(before).lowWatermarks().get(partition).get().lowWatermark(), 5L);
        try (KafkaConsumer<byte[], byte[]> reader = reading(topic, Collections.singletonMap(0, 0L))) {
            Cell.same("first offset", taken(reader, 1, 30).get(0).offset(), 5L);
        }
    }

    private static void shapes() throws Exception {
        String topic = create("shapes", 1);
        List<ProducerRecord<byte[], byte[]>> wanted = Arrays.asList(
                new ProducerRecord<>(topic, 0, "large".getBytes(), Cell.LARGE),
                new ProducerRecord<>(topic, 0, "empty".getBytes(), new byte[0]),
                new ProducerRecord<>(topic, 0, "tombstone".getBytes(), null),
                new ProducerRecord<>(topic, 0, null, "no key".getBytes()),
                new ProducerRecord<>(topic, 0, "headers".getBytes(), "v".getBytes()));
        wanted.get(4).headers().add("twice", "one".getBytes()).add("twice", "two".getBytes())
                .add("bytes", Cell.everyByte()).add("empty", new byte[0]).add("null", null);
        written(wanted);
        try (KafkaConsumer<byte[], byte[]> reader = reading(topic, Collections.singletonMap(0, 0L))) {
            int i = 0;
            for (ConsumerRecord<byte[], byte[]> record : taken(reader, 5, 30)) {
                Cell.same("key", record.key(), wanted.get(i).key());
                Cell.same("value", record.value(), wanted.get(i).value());
                Header[] told = record.headers().toArray();
                Header[] given = wanted.get(i).headers().toArray();
                Cell.same("headers", told.length, given.length);
                for (int h = 0; h < told.length; h++) {
                    Cell.same("header name", told[h].key(), given[h].key());
                    Cell.same("header value", told[h].value(), given[h].value());
                }
                i++;
            }
        }
    }

    private static void restart() throws Exception {
        String topic = create("restart", 1);
        numbered(topic, 1, 100);
        try (KafkaProducer<byte[], byte[]> writer = producer(); KafkaConsumer<byte[], byte[]> reader = member(topic, CLASSIC)) {
            reader.subscribe(Collections.singleton(topic));
            List<Integer> got = numbers(taken(reader, 100, 30));
            reader.commitSync();
            Cell.restartBegins();
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int i = 100; i < 300; i++) {
                sent.add(writer.send(number(topic, 0, i)));
                Thread.sleep(10);
            }
            for (Future<RecordMetadata> one : sent) {
                one.get();
            }
            got.addAll(numbers(taken(reader, 200, 60)));
            Cell.restartIsOver();
            Cell.same("records", got, Cell.numbers(0, 300));
        }
    }

    public static void main(String[] arguments) {
        Cell.address = arguments[0];
        Cell.prefix = arguments[1];
        admin = AdminClient.create(base());
        LinkedHashMap<String, Cell.Scenario> scenarios = new LinkedHashMap<>();
        scenarios.put("codecs", Cell.plain(Matrix::codecs));
        scenarios.put("assign", Cell.plain(Matrix::assign));
        scenarios.put("group", Cell.plain(Matrix::group));
        scenarios.put("rebalance", Cell.plain(() -> flowing("rebalance", CLASSIC)));
        scenarios.put("new-group", Release.newGroup());
        scenarios.put("static", Release.staticMembers());
        scenarios.put("time", Cell.plain(Matrix::byTime));
        scenarios.put("topics", Cell.plain(Matrix::topics));
        scenarios.put("configs", Cell.plain(Matrix::configs));
        scenarios.put("partitions", Cell.plain(Matrix::partitions));
        scenarios.put("delete-records", Cell.plain(Matrix::deleteRecords));
        scenarios.put("shapes", Cell.plain(Matrix::shapes));
        scenarios.put("restart", Cell.plain(Matrix::restart));
        Cell.main("kafka-clients", Release.version(), scenarios, arguments);
    }
}
