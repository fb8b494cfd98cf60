#!/bin/sh
# Makes the logs of ../memcheck and ../memcheck-xml anew, with the valgrind that
# is installed: sh memcheck.sh OUTPUT-FOLDER. Addresses, process ids and times
# differ from run to run; go test -update writes the golden files that belong
# to them.
set -eu
src=$(cd "$(dirname "$0")" && pwd)
out=${1:?folder for the logs}
mkdir -p "$out/memcheck" "$out/memcheck-xml"
out=$(cd "$out" && pwd)
mkdir -p app && cd app && cp "$src/leak.c" "$src/tmpl.cpp" "$src/clean.c" .
gcc -O2 -g -fno-builtin -o leak leak.c -pthread
gcc -g -o clean clean.c
g++ -O1 -g -std=c++17 -fno-builtin -o tmpl tmpl.cpp -pthread

text() { log=$1; shift; valgrind "$@" >"$out/memcheck/$log.log" 2>&1 || true; }
text kinds --leak-check=full --show-leak-kinds=all ./leak
text threads --leak-check=full ./leak t
text fork --leak-check=full --show-leak-kinds=all --trace-children=yes ./leak fn
text checks --leak-check=full --show-leak-kinds=all ./leak c
text incremental --leak-check=full --show-leak-kinds=all ./leak i
text errors-timestamp --leak-check=full --show-leak-kinds=all --time-stamp=yes -s ./leak x
text quiet --leak-check=full -q ./leak
text callers3 --leak-check=full --num-callers=3 --sym-offsets=yes --show-leak-kinds=definite ./leak
text templates --leak-check=full --num-callers=40 --show-leak-kinds=all --fullpath-after= ./tmpl
text mangled-suppressions --leak-check=full --demangle=no --gen-suppressions=all ./tmpl
text clean --leak-check=full ./clean
text summary-only ./leak
text no-check --leak-check=no ./leak

xml() { log=$1; shift; valgrind --leak-check=full --xml=yes --xml-file="$log.xml" "$@" || true; mv "$log.xml" "$out/memcheck-xml/"; }
xml kinds --show-leak-kinds=all ./leak
xml templates --show-leak-kinds=all ./tmpl
xml checks --show-leak-kinds=all --xml-user-comment='a raw <comment> & so on' ./leak cx
xml crash --show-leak-kinds=all ./leak q
xml clean ./clean
