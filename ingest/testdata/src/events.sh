#!/bin/sh
# Makes the logs of ../heaptrack and ../trace-malloc anew, with the heaptrack and
# the valgrind that are installed: sh events.sh OUTPUT-FOLDER. Addresses, process
# ids and times differ from run to run; go test -update writes the golden files
# that belong to them.
set -eu
src=$(cd "$(dirname "$0")" && pwd)
out=${1:?folder for the logs}
mkdir -p "$out/heaptrack" "$out/trace-malloc"
out=$(cd "$out" && pwd)
mkdir -p app && cd app && app=$PWD && cp "$src/calls.c" "$src/objects.cpp" .
gcc -O1 -g -fno-builtin -o calls calls.c -pthread
g++ -O2 -g -std=c++17 -o objects objects.cpp

# One run each, kept raw and interpreted, so that they can be compared.
both() {
	log=$1; shift
	heaptrack --raw -o "$log" "$@" >/dev/null
	zstd -dcq "$log.raw.zst" | /usr/lib/heaptrack/libexec/heaptrack_interpret 2>/dev/null | zstd -cq >"$log.zst"
	cp "$log".raw.zst "$log".zst "$out/heaptrack/"
	rm -f "$log".*
}
both calls ./calls t
both objects ./objects
cd "$out/heaptrack"
zstdcat calls.raw.zst | head -c 4001 >cut.raw                 # in mid-line
zstdcat objects.zst | sed 's/$/\r/' | head -40 | gzip -n >crlf.gz
cd "$app"

trace() { log=$1; shift; valgrind --trace-malloc=yes "$@" >"$out/trace-malloc/$log.log" 2>&1 || true; }
trace calls --leak-check=full ./calls
trace objects ./objects
trace stamps --time-stamp=yes ./objects
trace threads ./calls to
trace errors --leak-check=no ./calls x
trace fork --time-stamp=yes --trace-children=yes ./calls fe
trace helgrind --tool=helgrind ./calls
# Processes that write into each other's lines.
trace jumbled --time-stamp=yes --trace-children=yes bash -c \
	'for i in 1 2 3; do x=$(echo $i; (y=$(date); echo $y)); echo "$x" | sort | cat > /dev/null & done; wait'
gzip -9n "$out/trace-malloc/jumbled.log"
