#!/bin/sh
# Makes the logs of ../gdb anew, with the gdb that is installed: sh gdb.sh
# OUTPUT-FOLDER. go test -update writes the golden files that belong to them.
set -eu
src=$(cd "$(dirname "$0")" && pwd)
out=${1:?folder for the logs}
mkdir -p "$out/gdb"
out=$(cd "$out" && pwd)
cd "$(mktemp -d)"
gcc -O1 -g -fno-builtin -ffile-prefix-map="$src"=/src -o calls "$src/calls.c" -pthread
g++ -O2 -g -std=c++17 -ffile-prefix-map="$src"=/src -o objects "$src/objects.cpp"

trace() {
	log=$1; shift
	ALLOCATIONS_LOG=$log gdb -q -batch -x "$src/../../gdb/allocations.py" --args "$@" >/dev/null 2>&1
	sed "s#$PWD#/src#g" "$log" >"$out/gdb/$log"
}
trace threads.log ./calls t
trace errors.log ./calls x # ends with an abort
trace fork.log ./calls fe
trace objects.log ./objects
gzip -9nf "$out/gdb/objects.log"
