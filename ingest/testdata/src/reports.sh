#!/bin/sh
# Makes the logs of ../lsan and ../dhat anew, with the gcc and the valgrind that are
# installed: sh reports.sh OUTPUT-FOLDER. Addresses and process ids differ from run
# to run; go test -update writes the golden files that belong to them.
set -eu
src=$(cd "$(dirname "$0")" && pwd)
out=${1:?folder for the logs}
mkdir -p "$out/lsan" "$out/dhat"
out=$(cd "$out" && pwd)
mkdir -p app && cd app && cp "$src/leak.c" "$src/tmpl.cpp" "$src/recheck.c" .
map=-ffile-prefix-map=$PWD=/home/dev/app
gcc -O1 -g -fno-builtin -fno-omit-frame-pointer $map -fsanitize=address -o leak leak.c -pthread
gcc -O1 -g -fno-builtin -fno-omit-frame-pointer $map -fsanitize=leak -o leak-alone leak.c -pthread
gcc -O1 -g -fno-builtin -fno-omit-frame-pointer $map -fsanitize=address -o recheck recheck.c
g++ -O1 -g -std=c++17 -fno-builtin -fno-omit-frame-pointer $map -fsanitize=address -o tmpl tmpl.cpp -pthread
gcc -O2 -g -fno-builtin -o plain leak.c -pthread
g++ -O1 -g -std=c++17 -fno-builtin -o plain-tmpl tmpl.cpp -pthread

lsan() {
	log=$1; shift
	env "$@" 2>&1 | sed "s|$PWD|/home/dev/app|g" >"$out/lsan/$log.log"
}
lsan kinds ./leak t
lsan alone ./leak-alone
lsan objects LSAN_OPTIONS=report_objects=1 ./leak
lsan templates ./tmpl
lsan fork ./leak fn
lsan recheck ./recheck
lsan colour ASAN_OPTIONS=color=always ./leak
lsan addresses ASAN_OPTIONS=symbolize=0 ./tmpl
lsan top LSAN_OPTIONS=max_leaks=3 ./leak

dhat() {
	log=$1; shift
	valgrind --tool=dhat --dhat-out-file="$out/dhat/$log.json" "$@" >"$log.txt" 2>&1 || true
	grep -E 'Total:|At t-end' "$log.txt"
}
dhat kinds ./plain t
dhat templates --num-callers=30 ./plain-tmpl
dhat copy --mode=copy ./plain && mv "$out/dhat/copy.json" .
