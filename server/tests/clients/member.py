"""A member of a consumer group, as librdkafka makes them."""

import threading

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic


def create(address, topic, partitions):
    admin = AdminClient({"bootstrap.servers": address})
    for done in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
        done.result(30)


class Member(threading.Thread):
    """Commits each record before it asks for the next: what it has seen is committed. `done` is set to make it leave."""

    def __init__(self, address, group, topics, seen, settings):
        super().__init__(daemon=True)
        self.seen, self.topics, self.done = seen, topics, threading.Event()
        self.errors = []
        config = {
            "bootstrap.servers": address,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "log_level": 0,
            "error_cb": lambda error: self.errors.append(error) if error.fatal() else None,
        }
        config.update({name: value for name, value in settings.items() if value is not None})
        self.consumer = Consumer(config)

    def run(self):
        self.consumer.subscribe(self.topics)
        while not self.done.is_set():
            message = self.consumer.poll(0.1)
            if message is None or message.error():
                continue
            try:
                self.consumer.commit(message, asynchronous=False)
                self.seen.append(message.value())
            except KafkaException:
                self.again(message)
        self.consumer.close()

    def again(self, message):
        """The commit was not taken: whoever has the partition now sees the record again."""
        try:
            self.consumer.seek(TopicPartition(message.topic(), message.partition(), message.offset()))
        except KafkaException:
            pass  # another member has it, and starts from what was committed
