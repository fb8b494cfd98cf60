package columnar_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leakformer/ingest"
	"leakformer/ingest/columnar"
)

// memory is a run in memory.
type memory struct {
	events []ingest.Event
	stacks *ingest.Stacks
	report ingest.Report
	err    error // ends the events, where set
}

func (m *memory) Stacks() *ingest.Stacks { return m.stacks }
func (m *memory) Report() *ingest.Report { return &m.report }
func (m *memory) Close() error           { return nil }
func (m *memory) Events() iter.Seq2[ingest.Event, error] {
	return func(yield func(ingest.Event, error) bool) {
		for _, e := range m.events {
			if !yield(e, nil) {
				return
			}
		}
		if m.err != nil {
			yield(ingest.Event{}, m.err)
		}
	}
}

// collect reads a source to its end.
func collect(src ingest.Source) (*memory, error) {
	m := &memory{}
	for e, err := range src.Events() {
		var syntax *ingest.SyntaxError
		if errors.As(err, &syntax) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m.events = append(m.events, e)
	}
	m.stacks, m.report = src.Stacks(), *src.Report()
	return m, nil
}

func encode(t interface{ Fatal(...any) }, src ingest.Source, opts columnar.Options) []byte {
	var b bytes.Buffer
	if err := columnar.Encode(context.Background(), &b, src, opts); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func decode(data []byte) (*memory, error) {
	src, err := columnar.NewSource("run.arrow", bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return collect(src)
}

// diff tells where two runs differ, "" if they do not.
func diff(got, want *memory) string {
	for i := range min(len(got.events), len(want.events)) {
		if got.events[i] != want.events[i] {
			return fmt.Sprintf("event %d:\n got %+v\nwant %+v", i, got.events[i], want.events[i])
		}
	}
	if len(got.events) != len(want.events) {
		return fmt.Sprintf("%d events, want %d", len(got.events), len(want.events))
	}
	if got.stacks.Len() != want.stacks.Len() {
		return fmt.Sprintf("%d stacks, want %d", got.stacks.Len(), want.stacks.Len())
	}
	for id := range want.stacks.Len() {
		if g, w := got.stacks.Frames(ingest.StackID(id)), want.stacks.Frames(ingest.StackID(id)); !reflect.DeepEqual(g, w) {
			return fmt.Sprintf("stack %d:\n got %+v\nwant %+v", id, g, w)
		}
	}
	if !reflect.DeepEqual(got.report, want.report) {
		return fmt.Sprintf("report:\n got %+v\nwant %+v", got.report, want.report)
	}
	return ""
}

// drawRun makes any run that keeps the laws of the stream.
func drawRun(t *rapid.T) *memory {
	m := &memory{stacks: ingest.NewStacks()}
	text := rapid.StringN(0, 12, 40)
	for range rapid.IntRange(0, 20).Draw(t, "stacks") {
		var ids []ingest.FrameID
		for range rapid.IntRange(0, 6).Draw(t, "depth") {
			ids = append(ids, m.stacks.Frame(ingest.Frame{
				Function: text.Draw(t, "function"), Module: text.Draw(t, "module"), File: text.Draw(t, "file"),
				Line:    int(rapid.Int64().Draw(t, "line")),
				Address: rapid.Uint64().Draw(t, "address"), Inlined: rapid.Bool().Draw(t, "inlined"),
			}))
		}
		m.stacks.Stack(ids)
	}
	var born, seq int64
	for range rapid.IntRange(0, 60).Draw(t, "events") {
		e := ingest.Event{
			Op:    ingest.Op(rapid.IntRange(1, 3).Draw(t, "op")),
			Loss:  ingest.Loss(rapid.IntRange(0, 5).Draw(t, "loss")),
			Flags: ingest.Flags(rapid.IntRange(0, 7).Draw(t, "flags")),
			Seq:   seq, Time: time.Duration(rapid.Int64().Draw(t, "time")),
			Addr: rapid.Uint64().Draw(t, "addr"), Size: rapid.Int64Min(0).Draw(t, "size"), Count: 1, Block: born,
			Stack: ingest.StackID(rapid.IntRange(0, m.stacks.Len()-1).Draw(t, "stack")),
			Scan:  rapid.Int32().Draw(t, "scan"), PID: rapid.Int32().Draw(t, "pid"), TID: rapid.Int32().Draw(t, "tid"),
			Comm: text.Draw(t, "comm"), Line: rapid.Int64().Draw(t, "line"),
		}
		switch e.Op {
		case ingest.Free:
			e.Block = rapid.Int64Range(-1, born-1).Draw(t, "block")
		case ingest.Outstanding:
			e.Count = rapid.Int64Range(0, 1<<40).Draw(t, "count")
			born += e.Count
		default:
			born++
		}
		seq += rapid.Int64Range(0, 3).Draw(t, "seq")
		m.events = append(m.events, e)
	}
	m.report = ingest.Report{
		Name: text.Draw(t, "name"), Format: text.Draw(t, "format"), Tool: text.Draw(t, "tool"),
		Class: rapid.SampledFrom([]ingest.Class{ingest.Events, ingest.Snapshots, ingest.EndReport}).Draw(t, "class"),
		Clock: ingest.Ticks, Lines: rapid.Int64().Draw(t, "lines"), Events: int64(len(m.events)), Truncated: rapid.Bool().Draw(t, "truncated"),
		Outstanding: ingest.Amount{Blocks: rapid.Int64().Draw(t, "blocks"), Bytes: rapid.Int64().Draw(t, "bytes")},
	}
	if rapid.Bool().Draw(t, "warned") {
		m.report.Warn("%s", text.Draw(t, "warning"))
		m.report.Oracle = &ingest.Oracle{Name: "heap summary", Expected: "1", Got: text.Draw(t, "got")}
	}
	return m
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawRun(t)
		data := encode(t, want, columnar.Options{BatchRows: rapid.IntRange(0, 9).Draw(t, "rows")})
		got, err := decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if d := diff(got, want); d != "" {
			t.Fatal(d)
		}
	})
}

// TestRoundTripLogs does the same with real logs of every format that ingest reads.
func TestRoundTripLogs(t *testing.T) {
	n := 0
	for _, root := range []string{"../testdata", "../../../shared/samples"} {
		filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil
			}
			if st, err := d.Info(); err != nil || st.Size() > 1<<20 {
				return nil
			}
			direct, err := ingest.Open(path, ingest.Options{})
			if err != nil {
				return nil // no log, or one that is to be refused
			}
			defer direct.Close()
			want, err := collect(direct)
			if err != nil {
				return nil
			}
			t.Run(strings.TrimLeft(path, "./"), func(t *testing.T) { roundTripLog(t, path, want) })
			n++
			return nil
		})
	}
	if n == 0 {
		t.Skip("no log that ingest reads, in ../testdata or beside the project in shared/samples")
	}
	t.Logf("%d logs", n)
}

func roundTripLog(t *testing.T, path string, want *memory) {
	src, err := ingest.Open(path, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	got, err := decode(encode(t, src, columnar.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(got, utf8Only(want)); d != "" {
		t.Fatal(d)
	}
}

// utf8Only is what a run keeps of strings that are no UTF-8.
func utf8Only(m *memory) *memory {
	fix := func(s *string) { *s = strings.ToValidUTF8(*s, "\uFFFD") }
	for i := range m.events {
		fix(&m.events[i].Comm)
	}
	for _, s := range []*string{&m.report.Name, &m.report.Tool, &m.report.Command} {
		fix(s)
	}
	for i, s := range m.report.Messages {
		m.report.Messages[i] = strings.ToValidUTF8(s, "\uFFFD")
	}
	stacks := ingest.NewStacks()
	for id := range m.stacks.Len() {
		var ids []ingest.FrameID
		for _, f := range m.stacks.Frames(ingest.StackID(id)) {
			fix(&f.Function)
			fix(&f.Module)
			fix(&f.File)
			ids = append(ids, stacks.Frame(f))
		}
		stacks.Stack(ids)
	}
	m.stacks = stacks
	return m
}

// TestNotUTF8 has two frames that become one in Arrow: events still find theirs.
func TestNotUTF8(t *testing.T) {
	m := &memory{stacks: ingest.NewStacks(), report: ingest.Report{Class: ingest.Events}}
	for i, name := range []string{"a\xff", "a\xfe", "b"} {
		m.events = append(m.events, ingest.Event{Op: ingest.Alloc, Seq: int64(i), Block: int64(i), Count: 1, Comm: name,
			Stack: m.stacks.Stack([]ingest.FrameID{m.stacks.Frame(ingest.Frame{Function: name})})})
	}
	got, err := decode(encode(t, m, columnar.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"a\uFFFD", "a\uFFFD", "b"} {
		e := got.events[i]
		if f := got.stacks.Frames(e.Stack); len(f) != 1 || f[0].Function != want || e.Comm != want {
			t.Errorf("event %d: frames %v of task %q, want %q", i, f, e.Comm, want)
		}
	}
}

// churn is a run of any length that takes no memory: each block is freed after
// some others, from a few hundred call stacks that turn up over time.
type churn struct {
	n      int64
	stacks *ingest.Stacks
	report ingest.Report
	before func(i int64) // called before each event
	addrs  [1024]uint64
	sites  [331]ingest.StackID
}

func newChurn(n int64) *churn {
	return &churn{n: n, stacks: ingest.NewStacks(), report: ingest.Report{Name: "churn", Class: ingest.Events}}
}

func (c *churn) Stacks() *ingest.Stacks { return c.stacks }
func (c *churn) Report() *ingest.Report { return &c.report }
func (c *churn) Close() error           { return nil }

func (c *churn) Events() iter.Seq2[ingest.Event, error] {
	return func(yield func(ingest.Event, error) bool) {
		rnd := uint64(1)
		for i := range c.n {
			if c.before != nil {
				c.before(i)
			}
			rnd = rnd*6364136223846793005 + 1442695040888963407
			block := i / 2
			e := ingest.Event{Op: ingest.Alloc, Seq: i, Time: time.Duration(i) * 311, Block: block, Count: 1,
				PID: 4711, TID: 4711 + int32(rnd>>62), Comm: "churn", Line: i + 3}
			if i%2 == 1 && block >= 512 {
				e.Op, e.Block = ingest.Free, block-int64(rnd>>32%512)
			} else if i%2 == 1 {
				e.Op, e.Block = ingest.Free, -1
			}
			if e.Block >= 0 {
				slot := &c.addrs[e.Block%1024]
				if e.Op == ingest.Alloc {
					*slot = 0x7f0000000000 + rnd>>40<<4
				}
				e.Addr, e.Size, e.Stack = *slot, 16<<(e.Block%7), c.stack(e.Block)
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (c *churn) stack(block int64) ingest.StackID {
	site := block % int64(len(c.sites))
	if c.sites[site] == 0 {
		c.sites[site] = c.newStack(site)
	}
	return c.sites[site]
}

func (c *churn) newStack(site int64) ingest.StackID {
	var ids [6]ingest.FrameID
	for depth := range ids {
		n := site >> depth
		ids[depth] = c.stacks.Frame(ingest.Frame{Function: fmt.Sprint("function_", depth, "_", n), Module: "/usr/lib/libchurn.so.1",
			File: "churn.c", Line: int(n), Address: uint64(n) << 5})
	}
	return c.stacks.Stack(ids[:])
}

// TestMemory writes and reads a long run: neither may hold more than some batches.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("long run")
	}
	// A batch is packed while the next ones are filled: up to 102 MB were seen on a busy machine.
	const n, limit = 5_000_000, 160 << 20
	var most uint64
	watch := func(i int64) {
		if i%100_000 == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
	}
	path := filepath.Join(t.TempDir(), "churn.arrow")
	src := newChurn(n)
	src.before = watch
	if err := columnar.Write(context.Background(), path, src, columnar.Options{}); err != nil {
		t.Fatal(err)
	}
	if most > limit {
		t.Errorf("writing held %d MB, want less than %d MB", most>>20, limit>>20)
	}
	st, _ := os.Stat(path)
	t.Logf("written: %.2f bytes an event, heap at most %d MB", float64(st.Size())/n, most>>20)

	most = 0
	run, err := columnar.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	var got int64
	for _, err := range run.Events() {
		if err != nil {
			t.Fatal(err)
		}
		got++
		watch(got)
	}
	if got != n || most > limit {
		t.Errorf("reading held %d MB (want less than %d MB) and gave %d events (want %d)", most>>20, limit>>20, got, n)
	}
	t.Logf("read: heap at most %d MB", most>>20)
}

// TestLargeStacks needs more call stacks than one batch takes, all before the first event.
func TestLargeStacks(t *testing.T) {
	m := &memory{stacks: ingest.NewStacks(), report: ingest.Report{Class: ingest.Events}}
	long := strings.Repeat("x", 1<<14)
	var last ingest.StackID
	for i := range 2500 { // 40 MB of names
		f := m.stacks.Frame(ingest.Frame{Function: fmt.Sprint(long, i)})
		last = m.stacks.Stack([]ingest.FrameID{f, 0})
	}
	m.events = []ingest.Event{{Op: ingest.Alloc, Count: 1, Stack: last}}
	got, err := decode(encode(t, m, columnar.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(got, m); d != "" {
		t.Fatal(d)
	}
}

func TestWriteKeepsWhatWasThere(t *testing.T) {
	lawless := newChurn(0)
	for name, c := range map[string]struct {
		src    ingest.Source
		ctx    func() context.Context
		opts   columnar.Options
		expect string
	}{
		"the source fails": {src: &memory{events: make([]ingest.Event, 0), stacks: ingest.NewStacks(), err: io.ErrClosedPipe}, expect: io.ErrClosedPipe.Error()},
		"cancelled": {src: newChurn(1 << 30), ctx: func() context.Context {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return ctx
		}, expect: context.Canceled.Error()},
		"an event breaks the laws": {src: &memory{events: []ingest.Event{{Op: ingest.Alloc, Count: 1, Block: 7, Line: 12}}, stacks: ingest.NewStacks(), report: ingest.Report{Name: "x.log"}},
			expect: "x.log:12: block 7 is born, where 0 comes next"},
		"bad batch size": {src: lawless, opts: columnar.Options{BatchRows: -1}, expect: "record batches of -1 rows"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			if c.ctx != nil {
				ctx = c.ctx()
			}
			path := filepath.Join(t.TempDir(), "run.arrow")
			if err := os.WriteFile(path, []byte("before"), 0o644); err != nil {
				t.Fatal(err)
			}
			err := columnar.Write(ctx, path, c.src, c.opts)
			if err == nil || !strings.Contains(err.Error(), c.expect) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want %q and the path", err, c.expect)
			}
			if data, _ := os.ReadFile(path); string(data) != "before" {
				t.Errorf("the file now holds %q", data)
			}
			onlyFile(t, path)
		})
	}
}

// onlyFile checks that nothing lies beside the file.
func onlyFile(t *testing.T, path string) {
	t.Helper()
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 || files[0].Name() != filepath.Base(path) {
		t.Errorf("in the folder lie %v, want only %s (%v)", files, filepath.Base(path), err)
	}
}

func TestWriteReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.arrow")
	if err := os.WriteFile(path, []byte("before"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := columnar.Write(context.Background(), path, newChurn(10), columnar.Options{}); err != nil {
		t.Fatal(err)
	}
	onlyFile(t, path)
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, want that of the file before", st.Mode())
	}

	link := filepath.Join(t.TempDir(), "link.arrow")
	if err := os.Symlink(path, link); err != nil {
		t.Skip(err)
	}
	if err := columnar.Write(context.Background(), link, newChurn(20), columnar.Options{}); err != nil {
		t.Fatal(err)
	}
	if st, _ := os.Lstat(link); st.Mode()&fs.ModeSymlink == 0 {
		t.Error("the link is gone")
	}
	run, err := columnar.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	if m, err := collect(run); err != nil || len(m.events) != 20 {
		t.Errorf("the file behind the link: %v, %v", m, err)
	}
}

func TestWriteToDevice(t *testing.T) {
	if st, err := os.Stat("/dev/null"); err != nil || st.Mode()&fs.ModeCharDevice == 0 {
		t.Skip("no /dev/null")
	}
	if err := columnar.Write(context.Background(), "/dev/null", newChurn(10), columnar.Options{}); err != nil {
		t.Fatal(err)
	}
	if st, _ := os.Stat("/dev/null"); st.Mode()&fs.ModeCharDevice == 0 {
		t.Fatal("/dev/null was replaced")
	}
}

func TestWriteErrorNamesThePath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "run.arrow")
	err := columnar.Write(context.Background(), path, newChurn(1), columnar.Options{})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), filepath.Dir(path)) {
		t.Errorf("error %v", err)
	}
}

func TestStopEarly(t *testing.T) {
	run, err := columnar.NewSource("x", bytes.NewReader(encode(t, newChurn(5000), columnar.Options{BatchRows: 100})))
	if err != nil {
		t.Fatal(err)
	}
	if r := run.Report(); r.Name != "churn" || r.Class != ingest.Events {
		t.Errorf("before the events the report is %+v", r)
	}
	for e := range run.Events() {
		if e.Seq == 1500 {
			break
		}
	}
	for _, err := range run.Events() {
		if err == nil || !strings.Contains(err.Error(), "once") {
			t.Errorf("second reading: %v", err)
		}
	}
	if err := run.Close(); err != nil {
		t.Error(err)
	}
}

func BenchmarkEncode(b *testing.B) {
	const n = 1 << 20
	for b.Loop() {
		out := &counter{}
		if err := columnar.Encode(context.Background(), out, newChurn(n), columnar.Options{}); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(out.n)/n, "bytes/event")
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "events/s")
}

type counter struct{ n int64 }

func (c *counter) Write(b []byte) (int, error) { c.n += int64(len(b)); return len(b), nil }

func BenchmarkDecode(b *testing.B) {
	const n = 1 << 20
	data := encode(b, newChurn(n), columnar.Options{})
	for b.Loop() {
		src, err := columnar.NewSource("x", bytes.NewReader(data))
		if err != nil {
			b.Fatal(err)
		}
		for _, err := range src.Events() {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkChurn is what the benchmarks' source takes of the time of Encode.
func BenchmarkChurn(b *testing.B) {
	const n = 1 << 20
	for b.Loop() {
		for range newChurn(n).Events() {
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "events/s")
}
