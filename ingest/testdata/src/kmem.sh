#!/bin/sh
# Makes the logs of ../ftrace and ../perf-kmem anew, as root on a kernel with
# tracefs and its kmem events, with the trace-cmd and the perf that are installed:
# sh kmem.sh OUTPUT-FOLDER. Addresses, tasks and times differ from run to run;
# go test -update writes the golden files that belong to them.
set -eu
out=${1:?folder for the logs}
mkdir -p "$out/ftrace" "$out/perf-kmem"
out=$(cd "$out" && pwd)
t=/sys/kernel/tracing
[ -e $t/trace ] || mount -t tracefs tracefs $t
cd $t

events="kmalloc kfree kmem_cache_alloc kmem_cache_free mm_page_alloc mm_page_free"
# What the events of kmem say while a command runs, into the ring buffer.
tracing() {
	echo 0 >tracing_on
	echo >trace
	for e in $events; do echo 1 >events/kmem/$e/enable; done
	sh -c "echo \$\$ >$t/set_event_pid; echo 1 >$t/tracing_on; exec $*" >/dev/null
	echo 0 >tracing_on
	echo 0 >events/kmem/enable
	echo >set_event_pid
}
# As trace-cmd reports it: its own record wants more rights than the events need.
report() { trace-cmd extract -o /tmp/trace.$$ >/dev/null 2>&1; trace-cmd report /tmp/trace.$$; rm -f /tmp/trace.$$; }

tracing /bin/true
gzip -9n <trace >"$out/ftrace/true.txt.gz"
report | head -150 >"$out/ftrace/trace-cmd.txt"
echo 1 >options/stacktrace
echo 1 >options/record-tgid
tracing /bin/true
head -400 trace >"$out/ftrace/stacks-cut.txt"
report | head -400 >"$out/ftrace/trace-cmd-stacks.txt"
echo 0 >options/stacktrace
echo 0 >options/record-tgid
# A buffer of a few pages, which loses the oldest events.
was=$(sed 's/ .*//' buffer_size_kb)
echo 8 >buffer_size_kb
events="$events rss_stat mm_page_free_batched"
tracing sh -c '"/bin/true; /bin/true"'
cat trace >"$out/ftrace/overrun.txt"
# A pipe that is emptied too late: it tells how many events are lost.
timeout 1 cat trace_pipe >"$out/ftrace/pipe.txt" || true
tracing /bin/true
timeout 1 cat trace_pipe >"$out/ftrace/pipe.txt" || true
echo "$was" >buffer_size_kb

data=$(mktemp)
perf record -q -g -e 'kmem:*' -o "$data" /bin/true
script() { perf script -i "$data" "$@" 2>/dev/null | grep -v rss_stat; }
script -F comm,tid,cpu,time,event,trace | head -150 >"$out/perf-kmem/true.txt"
script | head -500 >"$out/perf-kmem/stacks.txt"
script -F comm,pid,tid,cpu,time,event,ip,sym,trace --ns | head -300 >"$out/perf-kmem/fields.txt"
rm -f "$data"
