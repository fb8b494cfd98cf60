#!/bin/sh
# Makes the logs of testdata/slabinfo, meminfo, smaps-rollup and vmallocinfo that begin
# with the version of the kernel, with what runs on this machine. Needs root.
set -eu
cd "$(dirname "$0")"
dir=$(mktemp -d)
release=$(uname -r | cut -d. -f1-2)
gcc -O1 -o "$dir"/pools pools.c
"$dir"/pools 9 &
pid=$!
sleep 0.5
for i in 1 2 3 4; do
	for file in slabinfo meminfo vmallocinfo; do
		{ date +%s.%N; cat /proc/$file; } >>"$dir/$file"
	done
	{ date -Is; cat /proc/$pid/smaps_rollup; } >>"$dir"/smaps
	sleep 1.9
done
kill $pid
zstd -19 -q --rm -f "$dir"/slabinfo -o ../slabinfo/$release-pipes.txt.zst
zstd -19 -q --rm -f "$dir"/vmallocinfo -o ../vmallocinfo/$release.txt.zst
mv "$dir"/meminfo ../meminfo/$release.txt
mv "$dir"/smaps ../smaps-rollup/$release.txt
rm -r "$dir"
