import java.util.*; import java.time.Duration; import java.nio.charset.StandardCharsets;
import org.apache.kafka.clients.admin.*; import org.apache.kafka.clients.producer.*; import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.*; import org.apache.kafka.common.config.ConfigResource; import org.apache.kafka.common.serialization.*;
public class Golden {
  static Map<String,Object> base(String id){ var m=new HashMap<String,Object>(); m.put("bootstrap.servers","127.0.0.1:19092"); m.put("client.id",id); m.put("enable.metrics.push",false); return m; }
  public static void main(String[] a) throws Exception {
    var ad=Admin.create(base("java"));
    try{ad.deleteTopics(List.of("golden-java","golden-gone")).all().get();Thread.sleep(1000);}catch(Exception e){}
    ad.createTopics(List.of(new NewTopic("golden-java",2,(short)1).configs(Map.of("retention.ms","3600000")), new NewTopic("golden-gone",Map.of(0,List.of(1))))).all().get();
    Thread.sleep(1500);
    System.out.println(ad.describeCluster().nodes().get());
    System.out.println(ad.describeTopics(List.of("golden-java","golden-gone")).allTopicNames().get());
    System.out.println(ad.listTopics().names().get());
    var cr=new ConfigResource(ConfigResource.Type.TOPIC,"golden-java");
    ad.incrementalAlterConfigs(Map.of(cr,List.of(new AlterConfigOp(new ConfigEntry("retention.bytes","100000000"),AlterConfigOp.OpType.SET)))).all().get();
    Thread.sleep(300);
    ad.describeConfigs(List.of(cr)).all().get();
    try{ad.describeTopics(List.of("no-such-topic")).allTopicNames().get();}catch(Exception e){System.out.println(e);}
    for (String c: new String[]{"none","gzip","snappy","lz4","zstd"}) {
      var p=base("java@"+c); p.put("compression.type",c); p.put("linger.ms",50); p.put("key.serializer",ByteArraySerializer.class); p.put("value.serializer",ByteArraySerializer.class);
      try(var pr=new KafkaProducer<byte[],byte[]>(p)){
        for(int i=0;i<6;i++){ var h=new org.apache.kafka.common.header.internals.RecordHeaders(); h.add("h",("one"+i).getBytes()); h.add("h",new byte[0]); h.add("n",(byte[])null);
          pr.send(new ProducerRecord<>("golden-java",i%2,1700000000000L+i,i%3==0?null:("key-"+i).getBytes(), i==4?null:("value "+i+" ").repeat(20).getBytes(),h)); }
        pr.flush();
      }
    }
    ad.listOffsets(Map.of(new TopicPartition("golden-java",0),OffsetSpec.latest(),new TopicPartition("golden-java",1),OffsetSpec.forTimestamp(1700000000002L))).all().get();
    ad.listOffsets(Map.of(new TopicPartition("golden-java",0),OffsetSpec.maxTimestamp())).all().get();
    for(String proto: new String[]{"classic","consumer"}){
    var c=base("java@none"); c.put("group.id","golden-"+proto+System.nanoTime()); c.put("group.protocol",proto); c.put("auto.offset.reset","earliest"); c.put("key.deserializer",ByteArrayDeserializer.class); c.put("value.deserializer",ByteArrayDeserializer.class);
    try(var co=new KafkaConsumer<byte[],byte[]>(c)){ co.subscribe(List.of("golden-java")); int n=0; long end=System.currentTimeMillis()+15000; while(n<30&&System.currentTimeMillis()<end) n+=co.poll(Duration.ofMillis(300)).count(); co.commitSync();
      System.out.println(proto+" "+n+" "+co.offsetsForTimes(Map.of(new TopicPartition("golden-java",0),1700000000002L)) ); co.poll(Duration.ofMillis(300)); }
    }
    var t=base("java@none"); t.put("transactional.id","golden-tx"); t.put("key.serializer",ByteArraySerializer.class); t.put("value.serializer",ByteArraySerializer.class);
    try(var pr=new KafkaProducer<byte[],byte[]>(t)){ pr.initTransactions(); pr.beginTransaction(); pr.send(new ProducerRecord<>("golden-java","tx".getBytes())); pr.commitTransaction(); }
    ad.describeConsumerGroups(List.of("golden-classic")).all().get();
    ad.deleteTopics(List.of("golden-gone")).all().get(); ad.close();
  }
}
