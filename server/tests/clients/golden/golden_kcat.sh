B=127.0.0.1:19092
kcat -b $B -L >/dev/null; 
for c in none gzip snappy lz4 zstd; do for i in 0 1; do printf 'k1:v1\nk2:\nk3:%0200d\n' 7 | kcat -b $B -P -t golden-kcat -p $i -K: -Z -H h=one -H h= -z $c -X client.id=kcat@$c -X enable.idempotence=true -X linger.ms=20; done; done
echo x | kcat -b $B -P -t golden-kcat -p 0 -X client.id=kcat@none
kcat -b $B -C -t golden-kcat -p 0 -o beginning -e -q -X client.id=kcat@none | wc -l
kcat -b $B -C -t golden-kcat -p 0 -o s@1700000000000 -e -q -X client.id=kcat@none | wc -l
kcat -b $B -Q -t golden-kcat:0:1700000000000
timeout 8 kcat -b $B -G gkcat -X auto.offset.reset=earliest -e golden-kcat -q | wc -l
