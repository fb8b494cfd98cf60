package columnar

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	arrowmemory "github.com/apache/arrow/go/v15/arrow/memory"

	"leakformer/ingest"
)

// small is a run of a few events with two call stacks.
type small struct{ stacks *ingest.Stacks }

func newSmall() *small {
	s := &small{ingest.NewStacks()}
	f := s.stacks.Frame(ingest.Frame{Function: "main", Module: "/bin/x", File: "x.c", Line: 7, Address: 0x1139})
	g := s.stacks.Frame(ingest.Frame{Function: "work", Module: "/bin/x", Address: 0x1120, Inlined: true})
	s.stacks.Stack([]ingest.FrameID{f})
	s.stacks.Stack([]ingest.FrameID{g, f})
	return s
}

func (s *small) Stacks() *ingest.Stacks { return s.stacks }
func (s *small) Close() error           { return nil }
func (s *small) Report() *ingest.Report {
	return &ingest.Report{Name: "small.log", Format: "none", Class: ingest.Events}
}

func (s *small) Events() iter.Seq2[ingest.Event, error] {
	return func(yield func(ingest.Event, error) bool) {
		for _, e := range []ingest.Event{
			{Op: ingest.Alloc, Seq: 0, Time: 10, Block: 0, Addr: 0x10, Size: 8, Count: 1, Stack: 1, Comm: "x", Line: 1},
			{Op: ingest.Alloc, Seq: 1, Time: 11, Block: 1, Addr: 0x20, Size: 9, Count: 1, Stack: 2, Comm: "x", Line: 2},
			{Op: ingest.Free, Seq: 2, Time: 12, Block: 0, Addr: 0x10, Size: 8, Count: 1, Stack: 1, Comm: "y", Line: 3},
		} {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func smallRun(t testing.TB) []byte {
	var b bytes.Buffer
	if err := Encode(context.Background(), &b, newSmall(), Options{BatchRows: 2}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// readAll reads a run to its end and returns the number of its events.
func readAll(data []byte) (int, error) {
	src, err := NewSource("run.arrow", bytes.NewReader(data))
	if err != nil {
		return 0, err
	}
	n := 0
	for _, err := range src.Events() {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func TestCutOff(t *testing.T) {
	whole := smallRun(t)
	if n, err := readAll(whole); n != 3 || err != nil {
		t.Fatalf("the whole file: %d events, %v", n, err)
	}
	path := filepath.Join(t.TempDir(), "run.arrow")
	for n := 0; n < len(whole); n += 7 {
		if _, err := readAll(whole[:n]); err == nil || !strings.Contains(err.Error(), "run.arrow") || !strings.Contains(err.Error(), "cut off") {
			t.Fatalf("cut off behind byte %d of %d: %v", n, len(whole), err)
		}
		if n%5 != 0 {
			continue
		}
		if err := os.WriteFile(path, whole[:n], 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "cut off") {
			t.Fatalf("Open, cut off behind byte %d of %d: %v", n, len(whole), err)
		}
	}
}

// TestDamage puts single bytes wrong: what comes is a good run or an error.
func TestDamage(t *testing.T) {
	whole := smallRun(t)
	for i := 0; i < len(whole); i += 5 {
		bad := bytes.Clone(whole)
		bad[i] ^= []byte{0x01, 0x80, 0xff}[i%3]
		if n, err := readAll(bad); n > 3 || err != nil && !strings.Contains(err.Error(), "run.arrow") {
			t.Fatalf("byte %d: %d events, %v", i, n, err)
		}
	}
}

// encodeRecords writes records as an Arrow file that ends as a run does.
func encodeRecords(t testing.TB, schema *arrow.Schema, records ...arrow.Record) []byte {
	var b bytes.Buffer
	out := &seeker{w: &b}
	f, err := ipc.NewFileWriter(out, ipc.WithSchema(schema), ipc.WithZstd())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := f.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if len(records) == 0 {
		rec := array.NewRecordBuilder(arrowmemory.DefaultAllocator, schema).NewRecord()
		if err := f.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	out.Write([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// seeker lets ipc.FileWriter, which only asks where it is, write to any writer.
type seeker struct {
	w   io.Writer
	pos int64
}

func (s *seeker) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	s.pos += int64(n)
	return n, err
}

func (s *seeker) Seek(int64, int) (int64, error) { return s.pos, nil }

func runMetadata(kv ...string) *arrow.Metadata {
	md := map[string]string{keyVersion: version, keyClass: string(ingest.Events)}
	for i := 0; i < len(kv); i += 2 {
		md[kv[i]] = kv[i+1]
	}
	m := arrow.MetadataFrom(md)
	return &m
}

func TestWrongFile(t *testing.T) {
	other := []arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int64}}
	swapped := append([]arrow.Field(nil), fields...)
	swapped[9].Type = arrow.PrimitiveTypes.Int32
	null := append([]arrow.Field(nil), fields...)
	null[7].Nullable = true
	named := append([]arrow.Field(nil), fields...)
	named[3].Name = "number"
	many := make([]arrow.Field, maxFields+1)
	for i := range many {
		many[i] = arrow.Field{Name: fmt.Sprint(i), Type: arrow.PrimitiveTypes.Int64}
	}
	encode := func(fields []arrow.Field, md *arrow.Metadata) []byte {
		return encodeRecords(t, arrow.NewSchema(fields, md))
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":             {nil, "too short for a run"},
		"short":             {[]byte("ARROW"), "too short for a run"},
		"text":              {[]byte("==1== Memcheck, a memory error detector"), "is no Arrow file"},
		"only the magic":    {[]byte("ARROW1\x00\x00"), "cut off"},
		"junk behind it":    {append([]byte("ARROW1\x00\x00"), bytes.Repeat([]byte("junk"), 99)...), "no Arrow message"},
		"not a run":         {encode(other, nil), `not a run: its schema has no "leakformer.run"`},
		"other layout":      {encode(other, runMetadata(keyVersion, "3")), `layout "3", and this program reads layouts "1" and "2"`},
		"layout 1 and 2":    {encode(fields, runMetadata(keyVersion, version1)), "21 columns in place of 18"},
		"other columns":     {encode(other, runMetadata()), "1 columns in place of 21"},
		"other type":        {encode(swapped, runMetadata()), "column 10 is size: int32, not size: uint32"},
		"other nullability": {encode(null, runMetadata()), "column 8 is addr: uint32, nullable, not addr: uint32"},
		"other name":        {encode(named, runMetadata()), "column 4 is number: int64, not seq_step: int64"},
		"other class":       {encode(fields, runMetadata(keyClass, "poem")), `unknown class "poem"`},
		"too many columns":  {encode(many, runMetadata()), "more than 1000 fields"},
		"floats":            {encode([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Float64}}, nil), "not a run: it has columns of a type (3)"},
		"dictionary": {encode([]arrow.Field{{Name: "x", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8,
			ValueType: arrow.BinaryTypes.String}}}, nil), "dictionary columns"},
		"no rows": {encode(fields, runMetadata()), "cut off"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readAll(c.data)
			if err == nil || !strings.HasPrefix(err.Error(), "run.arrow: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want run.arrow: ...%s", err, c.want)
			}
		})
	}
}

// TestSchemaInCircles has a field that is its own child, on which arrow would
// exhaust the stack of the process.
func TestSchemaInCircles(t *testing.T) {
	md := runMetadata()
	data := encodeRecords(t, arrow.NewSchema([]arrow.Field{{Name: "l", Type: arrow.ListOf(arrow.PrimitiveTypes.Int64)}}, md))
	meta := data[16 : 16+binary.LittleEndian.Uint32(data[12:])]
	root, err := flatRoot(meta)
	if err != nil {
		t.Fatal(err)
	}
	at, _ := root.slot(messageHeader)
	schema, _ := root.follow(at)
	top, _, _ := schema.tables(schemaFields)
	field, _ := schema.follow(top)
	kids, n, err := field.tables(fieldChildren)
	if err != nil || n != 1 {
		t.Fatal(n, err)
	}
	// Offsets are unsigned and 32 bits wide: back is far forward, and round.
	binary.LittleEndian.PutUint32(meta[kids:], uint32(field.pos-kids))
	if _, err := readAll(data); err == nil || !strings.Contains(err.Error(), errFlat.Error()) {
		t.Errorf("backwards: %v", err)
	}
}

// TestSchemaShared has a tree of fields in which each names one child twice: small
// as it is, arrow would walk over 2^20 fields.
func TestSchemaShared(t *testing.T) {
	var nested arrow.DataType = arrow.PrimitiveTypes.Int64
	for range 20 {
		nested = arrow.StructOf(arrow.Field{Name: "a", Type: arrow.PrimitiveTypes.Int64}, arrow.Field{Name: "b", Type: nested})
	}
	data := encodeRecords(t, arrow.NewSchema([]arrow.Field{{Name: "s", Type: nested}}, runMetadata()))
	if _, err := readAll(data); err == nil || !strings.Contains(err.Error(), "1 columns in place of 21") {
		t.Fatalf("before the change: %v", err)
	}
	root, _ := flatRoot(data[16 : 16+binary.LittleEndian.Uint32(data[12:])])
	at, _ := root.slot(messageHeader)
	schema, _ := root.follow(at)
	top, _, _ := schema.tables(schemaFields)
	field, _ := schema.follow(top)
	for {
		kids, n, err := field.tables(fieldChildren)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		if field, err = field.follow(kids + 4); err != nil {
			t.Fatal(err)
		}
		binary.LittleEndian.PutUint32(root.data[kids:], uint32(field.pos-kids))
	}
	if _, err := readAll(data); err == nil || !strings.Contains(err.Error(), "more than 1000 fields") {
		t.Errorf("error %v", err)
	}
}

// hostileRow is one row before it is written, without the laws.
type hostileRow struct {
	event  ingest.Event
	frames []ingest.Frame
	stacks [][]uint32
	report string
}

// hostileRun is a run of one batch, which change may make worse.
func hostileRun(t testing.TB, change func(*rows), hostile ...hostileRow) []byte {
	r, last, born := &rows{}, ingest.Event{}, int64(0)
	for _, h := range hostile {
		for _, f := range h.frames {
			r.newFrame(&f)
		}
		for _, ids := range h.stacks {
			frames := make([]ingest.FrameID, len(ids))
			for i, id := range ids {
				frames[i] = ingest.FrameID(id)
			}
			r.newStack(frames)
		}
		if h.report != "" {
			r.end(h.report)
		} else {
			r.event(&h.event, born, &last)
		}
		if h.event.Op == ingest.Alloc {
			born++
		}
	}
	if change != nil {
		change(r)
	}
	var b bytes.Buffer
	f, err := newFile(&b, schemaOf(newSmall().Report()))
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPacker()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.batch(p.pack(r)), f.close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// hostileRun1 is the same in layout 1.
func hostileRun1(t testing.TB, hostile ...hostileRow) []byte {
	schema := arrow.NewSchema(fields1, runMetadata(keyVersion, version1))
	rec := array.NewRecordBuilder(arrowmemory.DefaultAllocator, schema)
	for _, h := range hostile {
		e := &h.event
		for i, v := range []any{uint8(e.Op), uint8(e.Loss), uint8(e.Flags), e.Seq, e.Time, e.Block, e.Addr, e.Size, e.Count,
			e.Stack, e.Scan, e.PID, e.TID, e.Comm, e.Line, h.frames, h.stacks} {
			appendValue(rec.Field(i), v)
		}
		if report := rec.Field(len(fields1) - 1).(*array.StringBuilder); h.report == "" {
			report.AppendNull()
		} else {
			report.Append(h.report)
		}
	}
	return encodeRecords(t, schema, rec.NewRecord())
}

func appendValue(b array.Builder, v any) {
	switch b := b.(type) {
	case *array.Uint8Builder:
		b.Append(v.(uint8))
	case *array.Int64Builder:
		b.Append(v.(int64))
	case *array.DurationBuilder:
		b.Append(arrow.Duration(v.(time.Duration)))
	case *array.Uint64Builder:
		b.Append(v.(uint64))
	case *array.Uint32Builder:
		b.Append(uint32(v.(ingest.StackID)))
	case *array.Int32Builder:
		b.Append(v.(int32))
	case *array.StringBuilder:
		b.Append(v.(string))
	case *array.ListBuilder:
		b.Append(true)
		appendEntries(b.ValueBuilder(), v)
	}
}

func appendEntries(b array.Builder, v any) {
	switch b := b.(type) {
	case *array.StructBuilder:
		for _, f := range v.([]ingest.Frame) {
			b.Append(true)
			for i, v := range []any{f.Function, f.Module, f.File, int64(f.Line), f.Address} {
				appendValue(b.FieldBuilder(i), v)
			}
			b.FieldBuilder(5).(*array.BooleanBuilder).Append(f.Inlined)
		}
	case *array.ListBuilder:
		for _, ids := range v.([][]uint32) {
			b.Append(true)
			b.ValueBuilder().(*array.Uint32Builder).AppendValues(ids, nil)
		}
	}
}

func TestLaws(t *testing.T) {
	end := hostileRow{report: `{"class":"events"}`}
	alloc := ingest.Event{Op: ingest.Alloc, Count: 1}
	with := func(f func(*ingest.Event)) hostileRow {
		e := alloc
		f(&e)
		return hostileRow{event: e}
	}
	free := func(block int64) hostileRow {
		return hostileRow{event: ingest.Event{Op: ingest.Free, Count: 1, Block: block}}
	}
	for name, c := range map[string]struct {
		rows []hostileRow
		want []string // in layout 1, and in layout 2 where that is another
	}{
		"good":                 {[]hostileRow{{event: alloc}, free(0), free(-1), end}, []string{""}},
		"op":                   {[]hostileRow{with(func(e *ingest.Event) { e.Op = 4 }), end}, []string{"row 1: op 4 is unknown"}},
		"loss":                 {[]hostileRow{with(func(e *ingest.Event) { e.Loss = 6 }), end}, []string{"row 1: loss 6"}},
		"flags":                {[]hostileRow{with(func(e *ingest.Event) { e.Flags = 8 }), end}, []string{"row 1: flags 0x8"}},
		"negative size":        {[]hostileRow{with(func(e *ingest.Event) { e.Size = -1 }), end}, []string{"row 1: size -1 is negative"}},
		"negative number":      {[]hostileRow{with(func(e *ingest.Event) { e.Seq = -1 }), end}, []string{"row 1: event number -1"}},
		"number back":          {[]hostileRow{with(func(e *ingest.Event) { e.Seq = 5 }), free(0), end}, []string{"row 2: event number 0 stands behind number 5"}},
		"two of one alloc":     {[]hostileRow{with(func(e *ingest.Event) { e.Count = 2 }), end}, []string{"row 1: count of 2 blocks in one alloc"}},
		"block out of order":   {[]hostileRow{{event: alloc}, {event: alloc}, end}, []string{"row 2: block 0 is born, where 1 comes next", ""}},
		"free before birth":    {[]hostileRow{free(0), end}, []string{"row 1: block 0 is freed, of 0 born", ""}},
		"free below -1":        {[]hostileRow{free(-2), end}, []string{"row 1: block -2 is freed", ""}},
		"free long before":     {[]hostileRow{free(1), end}, []string{"row 1: block 1 is freed, of 0 born", "row 1: a block is freed that was born 18446744073709551615 blocks ago, of 0 born"}},
		"negative count":       {[]hostileRow{with(func(e *ingest.Event) { e.Op, e.Count = ingest.Outstanding, -1 }), end}, []string{"row 1: count of -1"}},
		"blocks overflow":      {[]hostileRow{{event: alloc}, with(func(e *ingest.Event) { e.Op, e.Block, e.Count = ingest.Outstanding, 1, math.MaxInt64 }), end}, []string{"row 2: count of"}},
		"unknown stack":        {[]hostileRow{with(func(e *ingest.Event) { e.Stack = 1 }), end}, []string{"row 1: call stack 1 is used before it is stored (0 are)"}},
		"unknown stack, large": {[]hostileRow{with(func(e *ingest.Event) { e.Stack = math.MaxUint32 }), end}, []string{"row 1: call stack 4294967295"}},
		"unknown frame":        {[]hostileRow{{event: alloc, stacks: [][]uint32{{0}}}, end}, []string{"row 1: frame 0 is used before it is stored (0 are)"}},
		"frame too large":      {[]hostileRow{{event: alloc, frames: make([]ingest.Frame, 1), stacks: [][]uint32{{0, math.MaxUint32}}}, end}, []string{"row 1: frame 4294967295"}},
		"no end":               {[]hostileRow{{event: alloc}}, []string{"cut off"}},
		"rows behind the end":  {[]hostileRow{end, {event: alloc}}, []string{"row 2: rows follow"}},
		"two ends":             {[]hostileRow{end, end}, []string{"row 2: rows follow"}},
		"report no JSON":       {[]hostileRow{{report: "{"}}, []string{"row 1: parse report"}},
		"report of no class":   {[]hostileRow{{report: "{}"}}, []string{"row 1: parse report"}},
	} {
		t.Run(name, func(t *testing.T) {
			for i, data := range [][]byte{hostileRun1(t, c.rows...), hostileRun(t, nil, c.rows...)} {
				want := c.want[min(i, len(c.want)-1)]
				_, err := readAll(data)
				switch {
				case want == "" && err != nil:
					t.Error(err)
				case want != "" && (err == nil || !strings.HasPrefix(err.Error(), "run.arrow") || !strings.Contains(err.Error(), want)):
					t.Errorf("layout %d: error %v, want %q", i+1, err, want)
				}
			}
		})
	}
}

func TestAge(t *testing.T) {
	alloc := hostileRow{event: ingest.Event{Op: ingest.Alloc, Count: 1}}
	data := hostileRun(t, func(r *rows) { r.age.low.last = 7 }, alloc)
	if _, err := readAll(data); err == nil || !strings.Contains(err.Error(), "row 1: an alloc has an age of 7 blocks") {
		t.Errorf("error %v", err)
	}
}

// TestFooter has arrow find the record batches by the footer.
func TestFooter(t *testing.T) {
	f, err := ipc.NewFileReader(bytes.NewReader(smallRun(t)))
	if err != nil {
		t.Fatal(err)
	}
	var n []int64
	for i := range f.NumRecords() {
		rec, err := f.Record(i)
		if err != nil {
			t.Fatal(err)
		}
		n = append(n, rec.NumRows())
	}
	if !slices.Equal(n, []int64{2, 2}) || !f.Schema().Equal(schemaOf(newSmall().Report())) {
		t.Errorf("batches of %v rows, %v", n, f.Schema())
	}
}

// TestLayout1 reads the same events from both layouts.
func TestLayout1(t *testing.T) {
	var hostile []hostileRow
	src := newSmall()
	for e := range src.Events() {
		row := hostileRow{event: e}
		if e.Seq == 0 {
			row.frames = []ingest.Frame{src.stacks.FrameAt(0), src.stacks.FrameAt(1)}
			row.stacks = [][]uint32{{0}, {1, 0}}
		}
		hostile = append(hostile, row)
	}
	hostile = append(hostile, hostileRow{report: `{"class":"events"}`})
	var texts [2]strings.Builder
	for i, data := range [][]byte{hostileRun1(t, hostile...), hostileRun(t, nil, hostile...)} {
		src, err := NewSource("run.arrow", bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if err := ingest.WriteText(&texts[i], src); err != nil {
			t.Fatal(err)
		}
	}
	if texts[0].String() != texts[1].String() || strings.Count(texts[0].String(), "\n") < 8 {
		t.Errorf("layout 1:\n%s\nlayout 2:\n%s", &texts[0], &texts[1])
	}
}

// TestOverlap has a batch in which every row names the same large string.
func TestOverlap(t *testing.T) {
	hostile := []hostileRow{{event: ingest.Event{Op: ingest.Alloc, Count: 1, Comm: strings.Repeat("x", 1000)}}, {report: `{"class":"events"}`}}
	data := hostileRun(t, func(r *rows) { r.comm.offsets.values = []int32{0, 1000, 0} }, hostile...)
	if _, err := readAll(data); err == nil || !strings.Contains(err.Error(), "overlap") {
		t.Errorf("error %v", err)
	}
}

// TestBomb has a small file that unpacks to more than a batch may take.
func TestBomb(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a batch of 280 MB")
	}
	ids := make([]uint32, 70<<20) // 280 MB of zeros
	data := hostileRun(t, nil, hostileRow{frames: make([]ingest.Frame, 1), stacks: [][]uint32{ids}}, hostileRow{report: `{"class":"events"}`})
	ids = nil
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := readAll(data)
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "more than 256 MB") {
		t.Errorf("error %v", err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; len(data) > 1<<20 || took > 64<<20 {
		t.Errorf("a file of %d bytes took %d MB", len(data), took>>20)
	}
}

// TestLengths names lengths that are not there, and so must not be believed.
func TestLengths(t *testing.T) {
	whole := smallRun(t)
	for name, change := range map[string]func([]byte){
		"metadata of 2 GB":    func(b []byte) { binary.LittleEndian.PutUint32(b[12:], 1<<31-8) },
		"metadata too long":   func(b []byte) { binary.LittleEndian.PutUint32(b[12:], maxMeta) },
		"no metadata at once": func(b []byte) { binary.LittleEndian.PutUint32(b[12:], 0) },
	} {
		bad := bytes.Clone(whole)
		change(bad)
		if _, err := readAll(bad); err == nil || !strings.Contains(err.Error(), "run.arrow") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEndless has a pipe that goes on and on behind the events.
func TestEndless(t *testing.T) {
	whole := smallRun(t)
	src, err := NewSource("run.arrow", io.MultiReader(bytes.NewReader(whole), zeros{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, err = range src.Events() {
	}
	if err == nil || !strings.Contains(err.Error(), "does not end") {
		t.Errorf("error %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("folder: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "none.arrow")); !os.IsNotExist(err) {
		t.Errorf("missing: %v", err)
	}
	if !IsRun([]byte("ARROW1\x00\x00")) || IsRun([]byte("ARROW")) || IsRun(nil) {
		t.Error("IsRun is wrong about the magic")
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(smallRun(f))
	f.Add(hostileRun(f, nil, hostileRow{report: `{"class":"report"}`}))
	f.Add(hostileRun1(f, hostileRow{event: ingest.Event{Op: ingest.Alloc, Count: 1}}, hostileRow{report: `{"class":"events"}`}))
	f.Add([]byte("ARROW1\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := readAll(data)
		runtime.ReadMemStats(&after)
		if err != nil && !strings.Contains(err.Error(), "run.arrow") {
			t.Errorf("the error names no file: %v", err)
		}
		// A zstd frame may claim a window of 512 MB, which is not touched.
		if took := after.TotalAlloc - before.TotalAlloc; took > 2<<30 {
			t.Errorf("%d bytes took %d MB: %v", len(data), took>>20, err)
		}
	})
}
