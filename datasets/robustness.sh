#!/bin/bash
# Do verdicts hold when the same programs are logged in other ways? make robustness.
#
# Collects, into the folder named, runs of the programs named with a tenth of their
# workload, and beside them runs of the same seeds under jemalloc, ten times longer, and
# under Valgrind; and has heaptrack interpret the first ones, with symbols and without.
# Runs that are there stay. The table goes into the model card, model/default.md, behind
# the line that begins with "## Verdicts". The programs must be new to the model.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=$1
shift
lf=bin/leakformer
# first names the first of the files that is there.
first() {
	for f in "$@"; do [ ! -e "$f" ] || { echo "$f"; return; }; done
	echo "make: none of $* is there: install heaptrack and libjemalloc2" >&2
	return 1
}
interpret=$(first /usr/lib/heaptrack/libexec/heaptrack_interpret /usr/lib/*/heaptrack/libexec/heaptrack_interpret)
jemalloc=$(first /usr/lib/*/libjemalloc.so.2)

# collect NAME FLAG... makes a collection unless it is there.
collect() {
	local dir=$runs/$1
	shift
	[ ! -e "$dir" ] || return 0
	rm -rf "$dir.part"
	$lf dataset collect -o "$dir.part" --clean 2 --leaky 3 "$@" "${programs[@]}"
	mv "$dir.part" "$dir"
}
programs=("$@")
collect base --scale 0.1
collect jemalloc --scale 0.1 --allocator "$jemalloc"
collect longer
collect valgrind --tool trace-malloc # which takes a tenth of the workload by itself

interpreted() { cat; }
# A place without its functions and lines is what an executable without symbols gives.
stripped() { sed -E 's/^(i [0-9a-f]+ [0-9a-f]+).*/\1/'; }
for log in "$runs"/base/*/*.raw.zst; do
	name=${log#"$runs"/base/}
	for kind in interpreted stripped; do
		to=$runs/$kind/${name%.raw.zst}.zst
		[ ! -e "$to" ] || continue
		mkdir -p "$(dirname "$to")"
		zstd -qdc "$log" | "$interpret" 2>/dev/null | $kind | zstd -qfo "$to"
	done
done

labels=() clean=()
for dir in "$runs"/base/*/; do
	labels+=(--labels "$dir/labels.json")
	for log in "$dir"*.clean.*; do clean+=(--reference "$log"); done
done
{
	cat <<-END
		## Verdicts on the same runs, logged in other ways

		$(cat "$runs"/base/*/labels.json | grep -c '"class": "leaky"') leaky runs of ${programs[*]}, each after 60 and 90 % of its events, with 2 clean runs
		(make robustness). Flipped: sites that leak both times or neither, and were flagged once. Of jemalloc, of ten times as long and of
		Valgrind there are other runs of the same programs and seeds, with leaks of their own; all else are the very same runs.

	END
	$lf eval --robustness --format markdown --cut 0.6 --cut 0.9 "${labels[@]}" "${clean[@]}" \
		--beside "jemalloc in place of glibc's malloc=$runs/jemalloc" --beside "ten times longer=$runs/longer" \
		--beside "heaptrack interpreted, no addresses=$runs/interpreted" --beside "heaptrack interpreted, without symbols=$runs/stripped" \
		--beside "Valgrind's trace-malloc, no stacks=$runs/valgrind" $(ls "$runs"/base/*/*.leaky.*)
} | tee "$runs/table.md"
card=$(sed '/^## Verdicts/,$d' model/default.md)
{ printf '%s\n\n' "$card"; cat "$runs/table.md"; } >"$runs/card.md"
cp "$runs/card.md" model/default.md
