import sys,time
from confluent_kafka import *
from confluent_kafka.admin import *
B={"bootstrap.servers":"127.0.0.1:19092"}
ad=AdminClient({**B,"client.id":"ck"})
def w(fs):
    for f in fs.values(): f.result()
try:
    w(ad.delete_topics(["golden-ck","gone-ck"])); time.sleep(1)
except Exception: pass
w(ad.create_topics([NewTopic("golden-ck",2,1,config={"retention.ms":"3600000"}),NewTopic("gone-ck",1,1)])); time.sleep(1.5)
r=ConfigResource(ResourceType.TOPIC,"golden-ck")
w(ad.describe_configs([r]))
w(ad.incremental_alter_configs([ConfigResource(ResourceType.TOPIC,"golden-ck",incremental_configs=[ConfigEntry("retention.bytes","100000000",incremental_operation=AlterConfigOpType.SET)])]))
ad.describe_cluster().result()
w(ad.describe_topics(TopicCollection(["golden-ck"])))
w(ad.list_offsets({TopicPartition("golden-ck",0):OffsetSpec.latest()}))
for c in ["none","gzip","snappy","lz4","zstd"]:
    p=Producer({**B,"client.id":"ck@"+c,"compression.type":c,"enable.idempotence":c!="gzip","linger.ms":50})
    for i in range(6):
        p.produce("golden-ck",partition=i%2,key=None if i%3==0 else b"key-%d"%i,value=None if i==4 else b"value %d "%i*20,headers=[("h",b"one"),("h",b""),("n",None)],timestamp=1700000000000+i)
    p.flush()
for s in "earliest",:
    c=Consumer({**B,"client.id":"ck@none","group.id":"g-ck%f"%time.time(),"auto.offset.reset":"earliest"}); c.subscribe(["golden-ck"])
    n=0; end=time.time()+15
    while n<26 and time.time()<end:
        m=c.poll(0.5)
        if m and not m.error(): n+=1
    print(n);  print(c.offsets_for_times([TopicPartition("golden-ck",0,1700000000002)])); print(c.get_watermark_offsets(TopicPartition("golden-ck",0))); c.close()
p=Producer({**B,"client.id":"ck@none","transactional.id":"ck-tx"}); p.init_transactions(); p.begin_transaction(); p.produce("golden-ck",b"tx"); p.commit_transaction()
w(ad.delete_topics(["gone-ck"]))
