#!/bin/sh
# Makes the logs of ../massif, ../pprof-text, ../pprof, ../jemalloc, ../tracemalloc and
# ../nmt anew, with the valgrind, gperftools (libgoogle-perftools4), jemalloc
# (libjemalloc2), Go, Python and JDK that are installed: sh snapshots.sh OUTPUT-FOLDER.
# Addresses, process ids and times differ from run to run; go test -update writes
# the golden files that belong to them.
set -eu
src=$(cd "$(dirname "$0")" && pwd)
out=${1:?folder for the logs}
mkdir -p "$out/massif" "$out/pprof-text" "$out/pprof" "$out/jemalloc" "$out/tracemalloc" "$out/nmt"
out=$(cd "$out" && pwd)
mkdir -p app && cd app && cp "$src"/grow.* "$src/Grow.java" .
gcc -O1 -g -fno-builtin -o grow grow.c

massif() { log=$1; shift; valgrind "$@" "--massif-out-file=$log.out" ./grow >/dev/null 2>&1; mv "$log.out" "$out/massif/"; }
massif grow --tool=massif --detailed-freq=2 --max-snapshots=20
massif times --tool=massif --detailed-freq=1 --max-snapshots=10 --time-unit=ms --peak-inaccuracy=0
massif pages --tool=massif --pages-as-heap=yes --detailed-freq=3 --max-snapshots=10 --time-unit=B
valgrind --xtree-memory=full "--xtree-memory-file=$out/massif/tree.ms" ./grow 100 >/dev/null 2>&1

HEAPPROFILE=heap HEAP_PROFILE_ALLOCATION_INTERVAL=3000000 LD_PRELOAD=libtcmalloc.so.4 ./grow 2>/dev/null
for f in heap.0001.heap heap.0002.heap heap.0003.heap; do mv "$f" "$out/pprof-text/grow${f#heap}"; done

MALLOC_CONF=prof:true,lg_prof_interval:21,lg_prof_sample:0,prof_final:true,prof_prefix:grow LD_PRELOAD=libjemalloc.so.2 ./grow
MALLOC_CONF=prof:true,prof_final:true,lg_prof_sample:12,prof_prefix:sampled LD_PRELOAD=libjemalloc.so.2 ./grow
mv grow.*.heap sampled.*.heap "$out/jemalloc/"

go build -o growgo grow.go && ./growgo .
mv heap.*.pb.gz "$out/pprof/"
mv heap.002.txt "$out/pprof-text/go.txt"

for form in statistics difference traceback; do /usr/bin/python3 grow.py $form >"$out/tracemalloc/$form.txt"; done

rm -f in && mkfifo in
java -Xmx64m -XX:NativeMemoryTracking=detail Grow.java <in >steps &
exec 3>in
step() { until grep -q "step $1" steps; do sleep 0.2; done; }
ask() { jcmd $! VM.native_memory "$1"; }
step 0
ask summary >"$out/nmt/series.txt"
ask baseline >/dev/null
for i in 1 2; do
	echo >&3
	step $i
	ask summary >>"$out/nmt/series.txt"
done
ask summary.diff >"$out/nmt/diff.txt"
ask detail.diff | gzip -9n >"$out/nmt/detail-diff.txt.gz"
ask detail | gzip -9n >"$out/nmt/detail.txt.gz"
exec 3>&-
wait
