use super::*;

#[test]
fn an_image_shows_what_its_records_say() {
    let image = image_of(&every_kind());
    assert_eq!(image.cluster(), Some(Uuid::from_u128(77)));
    assert_eq!(image.brokers().count(), 2);
    assert_eq!(image.broker(NodeId(1)).unwrap().endpoints[1].name, "X");
    let topics: Vec<&str> = image.topics().map(|t| t.name.as_str()).collect();
    assert_eq!(topics, ["orders"]);
    assert_eq!(image.topic("orders"), image.topic_by_id(topic_id(1)));
    assert_eq!(image.topic_by_id(topic_id(2)), None);
    assert_eq!(image.partition(key(1, 1)).unwrap().leader, None);
    assert_eq!(image.partition(key(1, 2)), None);
    assert_eq!(image.partition(key(1, -1)), None);
    let value = |resource| image.configs(resource).unwrap().values().next().cloned();
    assert_eq!(value(ConfigResource::Topic(topic_id(1))).as_deref(), Some("5"));
    assert_eq!(value(ConfigResource::Broker(NodeId(1))), None);
    assert_eq!(value(ConfigResource::Broker(NodeId(2))).as_deref(), Some("6"));
    assert_eq!(value(ConfigResource::AllBrokers).as_deref(), Some("8"));
    assert_eq!(image.configs(ConfigResource::Topic(topic_id(2))), None);
    let of_groups: Vec<_> =
        image.group_configs().iter().map(|(g, c)| (g.as_str(), c.len(), &*c["a"])).collect();
    assert_eq!(of_groups, [("g", 1, "9")]);
    assert_eq!(image.next_producer_id(), ProducerId(1000));
}

#[test]
fn whoever_holds_an_image_keeps_it_as_it_was() {
    let mut image = image_of(&every_kind());
    let before = image.clone();
    image.apply(&MetadataRecord::TopicDeleted { id: topic_id(1) }).unwrap();
    assert!(image.topic("orders").is_none());
    assert_eq!(before, image_of(&every_kind()));
}

#[test]
fn records_that_do_not_fit_are_refused_and_change_nothing() {
    let image = image_of(&every_kind());
    let changed = |partition_epoch, leader_epoch| MetadataRecord::PartitionChanged {
        key: key(1, 0),
        state: PartitionState { leader_epoch: LeaderEpoch(leader_epoch), ..state(partition_epoch) },
    };
    let allocated = |first, next| MetadataRecord::ProducerIdsAllocated {
        node: NodeId(1),
        first: ProducerId(first),
        next: ProducerId(next),
    };
    let misfits = [
        MetadataRecord::ClusterCreated { cluster: Uuid::from_u128(78) },
        created(3, "orders"),
        created(1, "other"),
        MetadataRecord::PartitionCreated { key: key(1, 3), state: state(0) },
        MetadataRecord::PartitionCreated { key: key(1, 1), state: state(0) },
        MetadataRecord::PartitionCreated { key: key(2, 0), state: state(0) },
        MetadataRecord::PartitionChanged { key: key(1, 9), state: state(1) },
        changed(0, 4),
        changed(2, 4),
        changed(1, 3),
        MetadataRecord::TopicDeleted { id: topic_id(2) },
        set(ConfigResource::Topic(topic_id(2)), "retention.ms", "1"),
        MetadataRecord::ConfigRemoved { resource: ConfigResource::Topic(topic_id(2)), name: "x".into() },
        allocated(999, 2000),
        allocated(1001, 2000),
        allocated(1000, 1000),
    ];
    for record in misfits {
        let mut copy = image.clone();
        copy.apply(&record).expect_err(&format!("{record:?}"));
        assert_eq!(copy, image);
    }
    let mut copy = image.clone();
    copy.apply(&changed(1, 5)).unwrap();
    copy.apply(&allocated(1000, 2000)).unwrap();
}

#[test]
fn an_images_records_make_the_image() {
    let image = image_of(&every_kind());
    assert_eq!(image_of(&image.to_records()), image);
    assert_eq!(Image::default().to_records(), []);
}
