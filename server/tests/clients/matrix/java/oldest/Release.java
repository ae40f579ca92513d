import java.util.Collections;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.utils.AppInfoParser;

/** How the oldest client says it. */
final class Release {
    private Release() {}

    static String version() {
        return AppInfoParser.getVersion();
    }

    static TopicDescription describe(AdminClient admin, String topic) throws ExecutionException, InterruptedException {
        return admin.describeTopics(Collections.singleton(topic)).all().get().get(topic);
    }

    static void alter(AdminClient admin, ConfigResource resource, String name, String value) throws Exception {
        Config whole = new Config(Collections.singleton(new ConfigEntry(name, value)));
        admin.alterConfigs(Collections.singletonMap(resource, whole)).all().get();
    }

    static Cell.Scenario newGroup() {
        return Cell.lacks("the client is older than the protocol");
    }

    static Cell.Scenario staticMembers() {
        return Cell.lacks("the client is older than group.instance.id");
    }
}
