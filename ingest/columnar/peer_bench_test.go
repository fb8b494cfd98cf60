package columnar_test

import (
	"context"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"leakformer/ingest"
	"leakformer/ingest/columnar"
)

// The peers of these benchmarks are heaptrack's own programs on the same file.
// Each iteration runs both sides one after the other, so that what else the
// machine does hits both.

// churnPerl allocates and frees some millions of blocks; every Debian has perl.
const churnPerl = `my (%h, @l);
for my $i (1..400000) {
	my $k = "key" . ($i*7919 % 100003);
	$h{$k} = [$i, "v" x ($i % 97)];
	push @l, {a => $i} if $i % 50 == 0;
	delete $h{"key" . ($i*31 % 100003)} if $i % 3;
}`

// interpreter turns raw files of heaptrack into interpreted ones.
const interpreter = "/usr/lib/heaptrack/libexec/heaptrack_interpret"

func BenchmarkPeerPrint(b *testing.B) {
	log := recordPerl(b, "heaptrack_print", false)
	benchmarkPeer(b, log, func() *exec.Cmd { return exec.Command("heaptrack_print", "-f", log) })
}

func BenchmarkPeerInterpret(b *testing.B) {
	log := recordPerl(b, interpreter, true)
	benchmarkPeer(b, log, func() *exec.Cmd {
		cmd := exec.Command("sh", "-c", `zstd -dc "$1" | "$0"`, interpreter, log)
		return cmd
	})
}

// recordPerl records a run of perl with heaptrack, where that and the peer are
// there.
func recordPerl(b *testing.B, peer string, raw bool) string {
	for _, need := range []string{"heaptrack", "perl", "zstd", peer} {
		if _, err := exec.LookPath(need); err != nil {
			b.Skip(err)
		}
	}
	args := []string{"-o", filepath.Join(b.TempDir(), "perl"), "perl", "-e", churnPerl}
	if raw {
		args = append([]string{"--raw"}, args...)
	}
	out, err := exec.Command("heaptrack", args...).CombinedOutput()
	if err != nil {
		b.Fatalf("heaptrack: %v\n%s", err, out)
	}
	found, err := filepath.Glob(filepath.Join(filepath.Dir(args[len(args)-4]), "perl*.zst"))
	if err != nil || len(found) != 1 {
		b.Fatalf("heaptrack left %v, %v\n%s", found, err, out)
	}
	return found[0]
}

// benchmarkPeer reports how many times as fast as its peer the way from log to
// Arrow is: in processor time (cpu-ratio) and on the clock (wall-ratio).
func benchmarkPeer(b *testing.B, log string, peer func() *exec.Cmd) {
	var ours, theirs cost
	var events int64
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		theirs.add(costOf(b, func() error { return peer().Run() }, syscall.RUSAGE_CHILDREN))
		runtime.GC()
		b.StartTimer()
		ours.add(costOf(b, func() (err error) {
			events, err = toArrow(log)
			return err
		}, syscall.RUSAGE_SELF))
	}
	b.ReportMetric(float64(events)*float64(b.N)/ours.cpu.Seconds(), "events/cpu-s")
	b.ReportMetric(theirs.cpu.Seconds()/ours.cpu.Seconds(), "cpu-ratio")
	b.ReportMetric(theirs.wall.Seconds()/ours.wall.Seconds(), "wall-ratio")
}

func toArrow(log string) (int64, error) {
	src, err := ingest.Open(log, ingest.Options{})
	if err != nil {
		return 0, err
	}
	defer src.Close()
	err = columnar.Encode(context.Background(), io.Discard, src, columnar.Options{})
	return src.Report().Events, err
}

// cost is time on the clock and time of processors.
type cost struct{ wall, cpu time.Duration }

func (c *cost) add(d cost) { c.wall += d.wall; c.cpu += d.cpu }

// costOf runs f; who is RUSAGE_SELF or RUSAGE_CHILDREN.
func costOf(b *testing.B, f func() error, who int) cost {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before, start := used(), time.Now()
	if err := f(); err != nil {
		b.Fatal(err)
	}
	return cost{time.Since(start), used() - before}
}
