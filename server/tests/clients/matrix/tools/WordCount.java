import java.time.Duration;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** Counts words, at least once: WordCount memory|changelog HOST:PORT APPLICATION IN OUT. Regrouping makes a topic of its own. */
final class WordCount {
    private WordCount() {}

    public static void main(String[] arguments) throws Exception {
        boolean logged = arguments[0].equals("changelog");
        String address = arguments[1];
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[2]);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, address);
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 200);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, java.nio.file.Files.createTempDirectory("streams").toString());
        settings.put("auto.offset.reset", "earliest");

        Materialized<String, Long, KeyValueStore<Bytes, byte[]>> store =
                Materialized.<String, Long>as(Stores.inMemoryKeyValueStore("counts")).withValueSerde(Serdes.Long());
        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream(arguments[3])
                .flatMapValues(line -> Arrays.asList(line.split(" ")))
                .groupBy((key, word) -> word)
                .count(logged ? store : store.withLoggingDisabled())
                .toStream()
                .to(arguments[4], Produced.with(Serdes.String(), Serdes.Long()));

        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        streams.setUncaughtExceptionHandler(error -> {
            Throwable cause = error.getCause() == null ? error : error.getCause();
            System.out.println("Exception: " + cause);
            System.out.flush();
            Runtime.getRuntime().halt(1);
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.start();
        Map<String, Long> counts = counted(address, arguments[4]);
        streams.close(Duration.ofSeconds(20));
        System.out.println("done red=" + counts.get("red") + " green=" + counts.get("green"));
    }

    private static Map<String, Long> counted(String address, String topic) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", address);
        settings.put("group.id", topic);
        settings.put("auto.offset.reset", "earliest");
        Map<String, Long> counts = new HashMap<>();
        try (KafkaConsumer<String, Long> reader =
                new KafkaConsumer<>(settings, new StringDeserializer(), new LongDeserializer())) {
            reader.subscribe(Collections.singleton(topic));
            long end = System.nanoTime() + 80_000_000_000L;
            while (System.nanoTime() < end && (counts.getOrDefault("red", 0L) < 100 || counts.getOrDefault("green", 0L) < 50)) {
                for (ConsumerRecord<String, Long> record : reader.poll(Duration.ofMillis(200))) {
                    counts.put(record.key(), record.value());
                }
            }
        }
        return counts;
    }
}
