import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.*;

/** What the Java client says through the recording proxy: {@code java -cp 'jars/*' Golden.java HOST:PORT}. */
public class Golden {
    static final long STARTED_MS = 1_700_000_000_000L;
    static final String TOPIC = "golden-java";
    static String brokers;

    static Map<String, Object> settings(String clientId) {
        var map = new HashMap<String, Object>();
        map.put("bootstrap.servers", brokers);
        map.put("client.id", clientId);
        map.put("enable.metrics.push", false);
        map.put("key.serializer", ByteArraySerializer.class);
        map.put("value.serializer", ByteArraySerializer.class);
        map.put("key.deserializer", ByteArrayDeserializer.class);
        map.put("value.deserializer", ByteArrayDeserializer.class);
        return map;
    }

    public static void main(String[] arguments) throws Exception {
        brokers = arguments[0];
        var admin = Admin.create(settings("java"));
        try {
            admin.deleteTopics(List.of(TOPIC, "golden-gone")).all().get();
            Thread.sleep(1000);
        } catch (Exception absent) {
            System.out.println(absent);
        }
        var kept = new NewTopic(TOPIC, 2, (short) 1).configs(Map.of("retention.ms", "3600000"));
        admin.createTopics(List.of(kept, new NewTopic("golden-gone", Map.of(0, List.of(1))))).all().get();
        Thread.sleep(1500);
        System.out.println(admin.describeCluster().nodes().get());
        System.out.println(admin.describeTopics(List.of(TOPIC, "golden-gone")).allTopicNames().get());
        System.out.println(admin.listTopics().names().get());
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, TOPIC);
        var change = new AlterConfigOp(new ConfigEntry("retention.bytes", "100000000"), AlterConfigOp.OpType.SET);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(change))).all().get();
        Thread.sleep(300);
        admin.describeConfigs(List.of(resource)).all().get();
        try {
            admin.describeTopics(List.of("no-such-topic")).allTopicNames().get();
        } catch (Exception unknown) {
            System.out.println(unknown);
        }
        for (var codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) produce(codec);
        var first = new TopicPartition(TOPIC, 0);
        var second = new TopicPartition(TOPIC, 1);
        admin.listOffsets(Map.of(first, OffsetSpec.latest(), second, OffsetSpec.forTimestamp(STARTED_MS + 2))).all().get();
        admin.listOffsets(Map.of(first, OffsetSpec.maxTimestamp())).all().get();
        for (var protocol : List.of("classic", "consumer")) consume(protocol, first);
        transact();
        try {
            admin.deleteConsumerGroups(List.of("golden-absent")).all().get();
        } catch (Exception absent) {
            System.out.println(absent);
        }
        admin.deleteTopics(List.of("golden-gone")).all().get();
        admin.close();
    }

    static void produce(String codec) {
        var settings = settings("java@" + codec);
        settings.put("compression.type", codec);
        settings.put("linger.ms", 50);
        try (var producer = new KafkaProducer<byte[], byte[]>(settings)) {
            for (int i = 0; i < 6; i++) {
                var headers = new RecordHeaders();
                headers.add("h", ("one" + i).getBytes());
                headers.add("h", new byte[0]);
                headers.add("n", (byte[]) null);
                var key = i % 3 == 0 ? null : ("key-" + i).getBytes();
                var value = i == 4 ? null : ("value " + i + " ").repeat(20).getBytes();
                producer.send(new ProducerRecord<>(TOPIC, i % 2, STARTED_MS + i, key, value, headers));
            }
            producer.flush();
        }
    }

    static void consume(String protocol, TopicPartition asked) {
        var settings = settings("java");
        settings.put("group.id", "golden-" + protocol + System.nanoTime());
        settings.put("group.protocol", protocol);
        settings.put("auto.offset.reset", "earliest");
        try (var consumer = new KafkaConsumer<byte[], byte[]>(settings)) {
            consumer.subscribe(List.of(TOPIC));
            int read = 0;
            long end = System.currentTimeMillis() + 15_000;
            while (read < 30 && System.currentTimeMillis() < end) read += consumer.poll(Duration.ofMillis(300)).count();
            consumer.commitSync();
            System.out.println(protocol + " " + read + " " + consumer.offsetsForTimes(Map.of(asked, STARTED_MS + 2)));
        }
    }

    static void transact() {
        var settings = settings("java");
        settings.put("transactional.id", "golden-tx");
        try (var producer = new KafkaProducer<byte[], byte[]>(settings)) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(TOPIC, "tx".getBytes()));
            producer.commitTransaction();
        }
    }
}
