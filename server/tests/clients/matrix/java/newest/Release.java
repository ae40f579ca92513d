import java.util.Collections;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.utils.internals.AppInfoParser;

/** What only the newest client has. */
final class Release {
    private Release() {}

    static String version() {
        return AppInfoParser.getVersion();
    }

    static TopicDescription describe(AdminClient admin, String topic) throws ExecutionException, InterruptedException {
        return admin.describeTopics(Collections.singleton(topic)).allTopicNames().get().get(topic);
    }

    static void alter(AdminClient admin, ConfigResource resource, String name, String value) throws Exception {
        AlterConfigOp set = new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET);
        admin.incrementalAlterConfigs(Collections.singletonMap(resource, Collections.singleton(set))).all().get();
    }

    static Cell.Scenario newGroup() {
        return Cell.plain(() -> Matrix.flowing("new-group", "group.protocol", "consumer"));
    }

    static Cell.Scenario staticMembers() {
        return Cell.plain(Matrix::staticMembers);
    }
}
