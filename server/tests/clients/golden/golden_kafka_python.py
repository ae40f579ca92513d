import time,sys,traceback
from kafka import *
from kafka.admin import KafkaAdminClient,NewTopic,ConfigResource,ConfigResourceType
from kafka.structs import TopicPartition
V=[None]+[tuple(map(int,x.split("."))) for x in sys.argv[1:]]
for n,v in enumerate(V):
  try:
    B={"bootstrap_servers":"127.0.0.1:19092"}
    if v: B["api_version"]=v
    t="golden-kp%d"%n
    ad=KafkaAdminClient(**B,client_id="kp")
    try:
        ad.create_topics([NewTopic(t,2,1,topic_configs={"retention.ms":"3600000"})]) ; time.sleep(1)
    except Exception: traceback.print_exc()
    for f in (lambda: ad.describe_configs([ConfigResource(ConfigResourceType.TOPIC,t)]), lambda: ad.alter_configs([ConfigResource(ConfigResourceType.TOPIC,t,{"retention.ms":"1800000"})]),lambda: ad.describe_cluster(),lambda: ad.describe_topics([t]), lambda: ad.list_topics()):
        try: f()
        except Exception as e: print(v,repr(e)[:200])
    for c in [None,"gzip","snappy","lz4","zstd"]:
        try:
            p=KafkaProducer(**B,client_id="kp@"+(c or "none"),compression_type=c,linger_ms=50)
            for i in range(6):
                p.send(t,partition=i%2,key=None if i%3==0 else b"key-%d"%i,value=None if i==4 else b"value %d "%i*20,headers=[("h",b"one"),("h",b"")],timestamp_ms=1700000000000+i)
            p.flush(10); p.close()
        except Exception as e: print(v,c,repr(e)[:200])
    c=KafkaConsumer(t,**B,client_id="kp@none",group_id="g-kp%d"%n,auto_offset_reset="earliest",consumer_timeout_ms=6000)
    k=0
    for m in c:
        k+=1
        if k>=24: break
    print(v,k); c.commit(); print(c.offsets_for_times({TopicPartition(t,0):1700000000002}),c.end_offsets([TopicPartition(t,0)])); c.close()
    ad.delete_topics([t]); ad.close()
  except Exception: traceback.print_exc()
