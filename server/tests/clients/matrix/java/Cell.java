import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;

/** What the two Java programs of the matrix share: records, verdicts, the lines on standard output, the group that flows. */
final class Cell {
    static final List<String> CODECS = Arrays.asList("none", "gzip", "snappy", "lz4", "zstd");
    static final byte[] LARGE = repeated("0123456789abcdef", 900 * 1024 / 16).getBytes();
    static final long STARTED = System.currentTimeMillis() - 3_600_000;
    static final int FLOWING = 600;
    private static final int MEMBERS = 3;

    static String address;
    static String prefix;
    private static final BufferedReader ANSWERS = new BufferedReader(new InputStreamReader(System.in));

    private Cell() {}

    /** The client itself has no such thing. */
    static final class Lacks extends Exception {
        Lacks(String reason) {
            super(reason);
        }
    }

    /** A scenario; what it returns is its remark, or null. */
    interface Scenario {
        String run() throws Exception;
    }

    /** A scenario without a remark. */
    interface Plain {
        void run() throws Exception;
    }

    static Scenario plain(Plain scenario) {
        return () -> {
            scenario.run();
            return null;
        };
    }

    static Scenario lacks(String reason) {
        return () -> {
            throw new Lacks(reason);
        };
    }

    static String repeated(String text, int times) {
        StringBuilder all = new StringBuilder();
        for (int i = 0; i < times; i++) {
            all.append(text);
        }
        return all.toString();
    }

    static byte[] everyByte() {
        byte[] all = new byte[256];
        for (int i = 0; i < 256; i++) {
            all[i] = (byte) i;
        }
        return all;
    }

    static String topic(String name) {
        return prefix + "-" + name;
    }

    static byte[] key(int i) {
        return ("k-" + i).getBytes();
    }

    static byte[] value(int i) {
        return repeated("v-" + i + " ", 20).getBytes();
    }

    static List<Integer> numbers(int from, int to) {
        List<Integer> all = new ArrayList<>();
        for (int i = from; i < to; i++) {
            all.add(i);
        }
        return all;
    }

    static void same(String what, Object got, Object want) {
        if (!Objects.deepEquals(got, want)) {
            throw new AssertionError(what + ": " + cut(got) + " instead of " + cut(want));
        }
    }

    private static String cut(Object thing) {
        String text = String.valueOf(thing);
        return text.length() < 120 ? text : text.substring(0, 60) + "…" + text.substring(text.length() - 50);
    }

    /** Asks until the answer is true. */
    static void waited(int seconds, String what, Callable<Boolean> ready) throws Exception {
        long end = System.nanoTime() + seconds * 1_000_000_000L;
        while (!ready.call()) {
            if (System.nanoTime() > end) {
                throw new AssertionError("waited " + seconds + " s for " + what);
            }
            Thread.sleep(50);
        }
    }

    /** The driver kills the broker and starts it again while the program goes on. */
    static void restartBegins() {
        System.out.println("restart");
        System.out.flush();
    }

    static void restartIsOver() throws IOException {
        same("the driver", ANSWERS.readLine(), "restarted");
    }

    /** What the members of one group saw: each record at least once, none again after its commit. */
    static final class Ledger {
        private final Set<String> seen = new HashSet<>();
        private final Set<String> committed = new HashSet<>();
        private final Set<String> again = new HashSet<>();

        synchronized void receive(byte[] value) {
            String record = new String(value);
            seen.add(record);
            if (committed.contains(record)) {
                again.add(record);
            }
        }

        synchronized void commit(byte[] value) {
            committed.add(new String(value));
        }

        synchronized boolean settled() {
            return committed.size() == FLOWING;
        }
    }

    interface Sender {
        void send(int i) throws Exception;
    }

    interface Work {
        void run(Ledger ledger, CountDownLatch done) throws Exception;
    }

    /** Three members join one after another and the first leaves, while records flow. */
    static void flow(Sender sender, Work work) throws Exception {
        Ledger ledger = new Ledger();
        List<CountDownLatch> stops = new ArrayList<>();
        List<Thread> threads = new ArrayList<>();
        List<Throwable> errors = new ArrayList<>();
        for (int i = 0; i < FLOWING; i++) {
            if (i % (FLOWING / 4) == 0) {
                if (stops.size() < MEMBERS) {
                    CountDownLatch stop = new CountDownLatch(1);
                    Thread thread = new Thread(() -> {
                        try {
                            work.run(ledger, stop);
                        } catch (Throwable error) {
                            synchronized (errors) {
                                errors.add(error);
                            }
                        }
                    });
                    thread.setDaemon(true);
                    thread.start();
                    stops.add(stop);
                    threads.add(thread);
                } else {
                    stops.get(0).countDown();
                }
            }
            sender.send(i);
            Thread.sleep(10);
        }
        for (long end = System.nanoTime() + 40_000_000_000L; !ledger.settled() && System.nanoTime() < end;) {
            Thread.sleep(100);
        }
        for (CountDownLatch stop : stops) {
            stop.countDown();
        }
        for (Thread thread : threads) {
            thread.join(30_000);
        }
        if (!errors.isEmpty()) {
            throw new AssertionError(errors.get(0).toString(), errors.get(0));
        }
        if (ledger.seen.size() < FLOWING || !ledger.again.isEmpty()) {
            int lost = FLOWING - ledger.seen.size();
            throw new AssertionError(lost + " records lost, " + ledger.again.size() + " seen again after their commit");
        }
    }

    static void main(String client, String version, LinkedHashMap<String, Scenario> scenarios, String[] arguments) {
        System.out.println("version " + client + " " + version);
        for (String name : Arrays.copyOfRange(arguments, 2, arguments.length)) {
            String line;
            try {
                String remark = scenarios.get(name).run();
                line = "ok " + name + (remark == null ? "" : " " + remark);
            } catch (Lacks reason) {
                line = "n/a " + name + " " + reason.getMessage();
            } catch (Throwable error) {
                Throwable cause = error.getCause() == null ? error : error.getCause();
                String said = String.join(" ", String.valueOf(cause).split("\\s+"));
                line = "FAILED " + name + " " + said.substring(0, Math.min(300, said.length()));
            }
            System.out.println(line);
            System.out.flush();
        }
        System.exit(0);
    }
}
