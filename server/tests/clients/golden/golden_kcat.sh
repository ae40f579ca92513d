#!/usr/bin/env bash
# What kcat says through the recording proxy: golden_kcat.sh HOST:PORT
brokers=$1 topic=golden-kcat
kcat -b "$brokers" -L >/dev/null
for codec in none gzip snappy lz4 zstd; do
    for partition in 0 1; do
        printf 'k1:v1\nk2:\nk3:%0200d\n' 7 | kcat -b "$brokers" -P -t $topic -p $partition -K: -Z -H h=one -H h= -z $codec \
            -X client.id=kcat@$codec -X enable.idempotence=true -X linger.ms=20
    done
done
echo x | kcat -b "$brokers" -P -t $topic -p 0 -X client.id=kcat
kcat -b "$brokers" -C -t $topic -p 0 -o beginning -e -q | wc -l
kcat -b "$brokers" -C -t $topic -p 0 -o s@1700000000000 -e -q | wc -l
kcat -b "$brokers" -Q -t $topic:0:1700000000000
timeout 8 kcat -b "$brokers" -G golden-kcat -X auto.offset.reset=earliest -e $topic -q | wc -l
