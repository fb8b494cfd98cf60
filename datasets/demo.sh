#!/bin/bash
# The whole chain on this machine, from logs to a verdict on a leak: make demo.
#
# Everything is made now: logs of real programs, a model trained on the clean ones
# alone, and verdicts on leaky runs with other workloads. It is left in demo-out/.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/bin:$PATH
unset LEAKFORMER_MODEL

heading() { printf '\n== %s\n\n' "$1"; }
# show prints a command as one would type it in demo-out, and runs it.
show() { printf '$ %s\n' "$1"; eval "$1"; }
# search does so with a search for leaks, which may find some (3) or none (0).
search() { show "$1" || [ $? = 3 ]; }

rm -rf demo-out
mkdir demo-out
cd demo-out

heading "1. Logs of heaptrack: clean runs, and leaky ones with other workloads and labels"
show 'leakformer dataset collect --clean 6 --leaky 8 -o logs demo sqlite3 xmllint lua bc'

heading "2. Logs of Valgrind: the program demo, clean and with its bug"
gcc -g -O1 -pthread -o demo ../datasets/programs/demo.c
trace='valgrind --trace-malloc=yes ./demo --requests=2000 --threads=1'
for seed in 1 2 3; do
	$trace --seed=$seed >/dev/null 2>"logs/demo.clean.$seed.trace"
done
show "$trace --seed=4 --leak=0.1 2>logs/demo.leaky.trace"
memcheck='valgrind --leak-check=full --show-leak-kinds=all'
run='./demo --requests=2000 --seed=5 --leak=0.5'
show "$memcheck --log-file=logs/demo.memcheck $run"
show "$memcheck --xml=yes --xml-file=logs/demo.memcheck.xml $run"
show 'leakformer check logs/demo.leaky.trace logs/demo.memcheck'

heading "3. Training from random weights, on the clean logs alone"
show 'leakformer train --clean logs/*/*.clean.*.raw.zst --init none --steps 1600 --batch 64 -o demo.model'

heading "4. The leaky runs after 60 % of their events: the Transformer beside simple rules"
show 'leakformer eval --model demo.model --labels logs/manifest.json --cut 0.6 --format summary --html tables.html' | tee verdicts.txt

heading "5. Findings in single logs"
search 'leakformer score --model demo.model logs/sqlite3/sqlite3.leaky.0.raw.zst --picture findings.svg' | tee findings.txt
search 'leakformer score --model demo.model logs/demo.leaky.trace --reference logs/demo.clean.*.trace'
search 'leakformer score --model demo.model logs/demo.memcheck'
search 'leakformer score --model demo.model logs/demo.memcheck.xml'

heading "6. A run in Arrow, with the same findings"
show 'leakformer ingest -o sqlite3.arrow logs/sqlite3/sqlite3.leaky.0.raw.zst'
search 'leakformer score --model demo.model --format jsonl sqlite3.arrow >findings.jsonl'
search 'leakformer score --model demo.model --format jsonl logs/sqlite3/sqlite3.leaky.0.raw.zst >raw.jsonl'
show 'cmp findings.jsonl raw.jsonl'
rm raw.jsonl

pre() { echo "<pre>"; sed 's/&/\&amp;/g; s/</\&lt;/g' "$1"; echo "</pre>"; }
{
	cat <<-'END'
		<!doctype html>
		<html lang="en"><head><meta charset="utf-8"><title>Leakformer: the demo</title>
		<style>body { font: 16px/1.5 sans-serif; margin: 2em } img { max-width: 100% } pre { overflow-x: auto; line-height: 1.3 }</style>
		</head><body>
		<h1>Leakformer: the demo</h1>
		<h2>The training, on clean logs alone</h2>
		<img src="demo.model.svg" alt="losses over the steps; precision over recall on the runs held out">
		<h2>Leaky runs after 60 % of their events</h2>
	END
	pre verdicts.txt
	cat <<-'END'
		<h2>Findings in one log</h2>
		<img src="findings.svg" alt="outstanding blocks of the sites found, over the events of the run">
	END
	pre findings.txt
	echo '<p><a href="tables.html">All figures and diagrams of the comparison</a></p></body></html>'
} >index.html

heading "All of it is in demo-out"
cat <<'END'
index.html                 the training, the verdicts and findings in one page
tables.html verdicts.txt   the Transformer beside simple rules: all figures, and in short
demo.model                 the model; .svg: its training; .metrics.jsonl: every step
findings.txt .jsonl .svg   findings in one run of sqlite3
sqlite3.arrow              that run in Arrow
logs/                      all logs, their labels (labels.json) and manifest.json
END
