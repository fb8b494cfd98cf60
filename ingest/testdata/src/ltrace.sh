#!/bin/sh
# Makes the logs of ../ltrace and ../mtrace anew, with the ltrace and the glibc that
# are installed: sh ltrace.sh OUTPUT-FOLDER. go test -update writes the golden files
# that belong to them.
set -eu
src=$(cd "$(dirname "$0")" && pwd)
out=${1:?folder for the logs}
mkdir -p "$out/ltrace" "$out/mtrace"
out=$(cd "$out" && pwd)
cd "$(mktemp -d)"
gcc -O1 -g -fno-builtin -o calls "$src/calls.c" -pthread
gcc -O1 -g -fno-builtin -o mcalls "$src/calls.c" "$src/mtrace.c" -pthread
g++ -O2 -g -std=c++17 -o objects "$src/objects.cpp"

trace() { log=$1; shift; ltrace -o "$out/ltrace/$log" "$@" >/dev/null 2>&1 || true; }
trace calls.log ./calls
trace threads.log -f -ttt -i -e malloc+calloc+realloc+free ./calls t
trace fork.log -f -tt ./calls fe
trace nested.log -T -n 2 -l '*' ./objects
trace demangled.log -r -C ./objects

mtrace() { MALLOC_TRACE=$out/mtrace/$1 LD_PRELOAD=libc_malloc_debug.so.0 ./mcalls "$2" >/dev/null; }
mtrace calls.log ""
mtrace threads.log to
