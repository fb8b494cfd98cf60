package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"leakformer/detect/dashboard"
)

// A day of a million records: 102 courses with a snapshot every ten seconds, a thousand
// findings in each of 100 logs of 40 programs, at 40,000 places, and alerts.
const (
	benchCourses, benchLooks = 102, 8640
	benchLogs, benchPrograms = 100, 40
	benchFindings            = 1000
	benchAlerts              = 20_000
	benchStacks              = benchPrograms * benchFindings
)

var benchStart = time.Now().UTC().Truncate(time.Second).Add(-24*time.Hour + time.Minute)

// BenchmarkDay asks what the page and the API ask of a day of a million records, while
// another look is written every second.
func BenchmarkDay(b *testing.B) {
	s := day(b)
	ctx, stop := context.WithCancel(context.Background())
	written := make(chan struct{})
	go func() {
		defer close(written)
		keepWriting(ctx, b, s)
	}()
	defer func() { stop(); <-written }()
	program := func() string { return fmt.Sprint("program", rand.IntN(benchPrograms)) }
	log := func() string { return benchLog(rand.IntN(benchLogs)) }
	list := func(q func() dashboard.Query) func() (int, error) {
		return func() (int, error) {
			found, err := s.List(ctx, q())
			return len(found), err
		}
	}
	history := func(w func() dashboard.Window) func() (int, error) {
		return func() (int, error) {
			h, err := s.History(ctx, w())
			return len(h.Snapshots) + len(h.Alerts), err
		}
	}
	for _, c := range []struct {
		name string
		ask  func() (int, error)
	}{
		{"latest=1000", list(func() dashboard.Query { return dashboard.Query{Limit: 1000} })},
		{"program=1000", list(func() dashboard.Query { return dashboard.Query{Program: program(), Limit: 1000} })},
		{"log=1000", list(func() dashboard.Query { return dashboard.Query{Log: log(), Limit: 1000} })},
		{"level=1000", list(func() dashboard.Query { return dashboard.Query{Level: "CRITICAL", Limit: 1000} })},
		{"text=rare", list(func() dashboard.Query {
			return dashboard.Query{Text: fmt.Sprintf("work%d_", rand.IntN(benchStacks)), Limit: 1000}
		})},
		{"text=common", list(func() dashboard.Query { return dashboard.Query{Text: "src/work.c", Limit: 1000} })},
		{"text=nowhere", list(func() dashboard.Query { return dashboard.Query{Text: "no such text", Limit: 1000} })},
		{"finding", func() (int, error) {
			f, err := s.Get(ctx, benchID(rand.IntN(benchLogs), rand.IntN(benchFindings)))
			return len(f.StackTrace), err
		}},
		{"runs", func() (int, error) { runs, err := s.Runs(ctx); return len(runs), err }},
		{"count=level", func() (int, error) { return s.Count(ctx, dashboard.Query{Level: "INFO"}) }},
		{"course=24h", history(func() dashboard.Window {
			return dashboard.Window{Log: "pid 1", ID: benchID(0, rand.IntN(benchCourses)), Limit: 1}
		})},
		{"course=24h,500points", history(func() dashboard.Window {
			return dashboard.Window{Log: "pid 1", ID: benchID(0, rand.IntN(benchCourses)), Points: 500, Limit: 1}
		})},
		{"alerts=1h", history(func() dashboard.Window {
			since := benchStart.Add(time.Duration(rand.IntN(23)) * time.Hour)
			return dashboard.Window{Since: since, Until: since.Add(time.Hour), Limit: 1000}
		})},
		{"alerts=24h,1000latest", history(func() dashboard.Window { return dashboard.Window{Limit: 1000} })},
	} {
		b.Run(c.name, func(b *testing.B) { quantiles(b, c.ask) })
	}
}

// quantiles reports how long the middle and the slowest hundredth of the answers take.
func quantiles(b *testing.B, ask func() (int, error)) {
	var took, used []float64
	rows := 0
	for b.Loop() {
		begun, before := time.Now(), processor(b)
		n, err := ask()
		if err != nil {
			b.Fatal(err)
		}
		took, used, rows = append(took, milli(time.Since(begun))), append(used, milli(processor(b)-before)), rows+n
	}
	slices.Sort(took)
	slices.Sort(used)
	b.ReportMetric(took[len(took)/2], "p50-ms")
	b.ReportMetric(took[len(took)*99/100], "p99-ms")
	// On a machine that has other things to do these say more.
	b.ReportMetric(used[len(used)/2], "p50-cpu-ms")
	b.ReportMetric(used[len(used)*99/100], "p99-cpu-ms")
	b.ReportMetric(float64(rows)/float64(len(took)), "rows")
}

func milli(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// processor is the time that this program has used of all processors.
func processor(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func benchLog(n int) string {
	return fmt.Sprintf("/var/log/leaks/program%d/run.%04d.zst", n%benchPrograms, n)
}

func benchID(log, n int) string { return dashboard.SiteID(benchLog(log), fmt.Sprint(n)) }

// benchPut is a run with its findings, of stacks a dozen deep and courses of 120 points.
func benchPut(log int) (dashboard.Run, []dashboard.Finding) {
	name, program := benchLog(log), fmt.Sprint("program", log%benchPrograms)
	run := dashboard.Run{Log: name, Program: program, Timestamp: benchStart.Add(time.Duration(log) * time.Minute), Model: "default", Warnings: []string{}}
	findings := make([]dashboard.Finding, benchFindings)
	for i := range findings {
		p := rand.Float64()
		stack := log%benchPrograms*benchFindings + rand.IntN(benchFindings) // of its program
		f := dashboard.Finding{ID: benchID(log, i), Log: name, Program: program, Timestamp: run.Timestamp, Probability: p, Leak: p > 0.5, Level: "INFO",
			Bytes: int64(rand.ExpFloat64() * 1e6), Blocks: 10, Why: []string{"none of the 1,000 blocks allocated here was freed", "the number of live blocks rose in every quarter of the run: 10, 20, 30, 40"}, Decidable: true}
		if p > 0.97 {
			f.Level = "CRITICAL"
		}
		for k := range 12 {
			f.Frames = append(f.Frames, dashboard.Frame{Function: fmt.Sprintf("work%d_%d", stack, k), Module: "/usr/lib/lib" + program + ".so.1", File: "src/work.c", Line: 100 + k, Address: "0x0"})
			f.StackTrace = append(f.StackTrace, f.Frames[k].String())
		}
		f.Site = f.Frames[0].Function + " < " + f.Frames[1].Function
		findings[i] = f
	}
	return run, findings
}

// benchLook is a look at a process: its courses, at one moment.
func benchLook(at time.Time) (h dashboard.History) {
	for i := range benchCourses {
		h.Snapshots = append(h.Snapshots, dashboard.Snapshot{Log: "pid 1", ID: benchID(0, i), Timestamp: at, Live: rand.Int64N(1e9), Leaked: rand.Int64N(1e6)})
	}
	return h
}

// day is a store with a million records of the last 24 hours.
func day(b *testing.B) *Store {
	b.Helper()
	ctx := context.Background()
	path := filepath.Join(b.TempDir(), "day.db")
	s := open(b, path)
	begun := time.Now()
	for log := range benchLogs {
		run, findings := benchPut(log)
		if err := s.Put(ctx, run, findings); err != nil {
			b.Fatal(err)
		}
	}
	found := time.Since(begun)
	var h dashboard.History
	for i := range benchLooks {
		h.Snapshots = append(h.Snapshots, benchLook(benchStart.Add(time.Duration(i)*10*time.Second)).Snapshots...)
		if i%100 != 99 && i != benchLooks-1 {
			continue
		}
		for k := range benchAlerts / (benchLooks/100 + 1) {
			h.Alerts = append(h.Alerts, dashboard.Alert{ID: fmt.Sprint(i, "-", k), Timestamp: benchStart.Add(time.Duration(i*10+k) * time.Second), Level: "WARNING", Log: "pid 1", Finding: benchID(0, k%benchCourses),
				Site: "work < main", StackTrace: []string{"work", "main"}, Bytes: 1e7, SizeMB: 10, FiredBy: []string{"model", "growth"}, Message: "pid 1: 10000000 bytes at work < main, says the model (P 0.970)"})
		}
		if err := s.Add(ctx, h); err != nil {
			b.Fatal(err)
		}
		h = dashboard.History{}
	}
	records := 0
	for _, table := range []string{"findings", "snapshots", "alerts"} {
		n := 0
		if err := s.reader.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil {
			b.Fatal(err)
		}
		records += n
	}
	size := int64(0)
	for _, name := range []string{path, path + "-wal"} {
		if st, err := os.Stat(name); err == nil {
			size += st.Size()
		}
	}
	b.Logf("%d records in %d MB: %d findings written in %.1f s, the rest in %.1f s", records, size/1e6, benchLogs*benchFindings, found.Seconds(), (time.Since(begun) - found).Seconds())
	return s
}

// keepWriting writes a look a second, ten times as often as monitor does, with a
// hundred findings.
func keepWriting(ctx context.Context, b *testing.B, s *Store) {
	run, findings := benchPut(0)
	run.Log, findings = "pid 1", findings[:100]
	for i := range findings {
		findings[i].ID = dashboard.SiteID("pid 1", fmt.Sprint(i))
	}
	for ctx.Err() == nil {
		run.Timestamp = time.Now()
		if err := s.Put(ctx, run, findings); err != nil && ctx.Err() == nil {
			b.Error(err)
			return
		}
		if err := s.Add(ctx, benchLook(time.Now())); err != nil && ctx.Err() == nil {
			b.Error(err)
			return
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}
