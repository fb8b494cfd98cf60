package tokenize

import (
	"fmt"
	"io"
	"iter"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// The keys of the schema's metadata.
const (
	metaVersion = "leakformer.sequences"
	metaVocab   = "leakformer.vocabulary"
	metaFields  = "leakformer.fields"
)

// sequenceColumns are the columns of a file of sequences.
var sequenceColumns = []arrow.Field{
	{Name: "log", Type: arrow.BinaryTypes.String},               // the log's name
	{Name: "cut", Type: arrow.PrimitiveTypes.Uint32},            // events that had happened
	{Name: "key", Type: arrow.PrimitiveTypes.Uint64},            // Site.Exact
	{Name: "site", Type: arrow.BinaryTypes.String},              // Site.Label
	{Name: "blocks", Type: arrow.PrimitiveTypes.Int64},          // outstanding blocks
	{Name: "bytes", Type: arrow.PrimitiveTypes.Int64},           // outstanding bytes
	{Name: "tokens", Type: listOf(arrow.PrimitiveTypes.Int32)},  // Fields ids a position
	{Name: "times", Type: listOf(arrow.PrimitiveTypes.Int64)},   // ns since the log's start, one a position
	{Name: "places", Type: listOf(arrow.PrimitiveTypes.Int64)},  // number of the event; -1: no block
	{Name: "live", Type: listOf(arrow.FixedWidthTypes.Boolean)}, // outstanding, one a position
}

func listOf(t arrow.DataType) arrow.DataType { return arrow.ListOfNonNullable(t) }

func sequenceSchema() *arrow.Schema {
	m := arrow.NewMetadata([]string{metaVersion, metaVocab, metaFields}, []string{"1", VocabHash, fmt.Sprint(Fields)})
	return arrow.NewSchema(sequenceColumns, &m)
}

// Record is one row of a file of sequences: a site of a log at a moment, and what
// a model reads of it.
type Record struct {
	Log           string
	Cut           uint32
	Key           Key
	Site          string
	Blocks, Bytes int64 // outstanding
	// Tokens has Fields ids for each position, Times, Places and Live one value.
	Tokens        []int32
	Times, Places []int64
	Live          []bool
}

// NewRecord makes the row of a view.
func NewRecord(v *View) Record {
	s := Tokenize(v)
	blocks, bytes := v.Outstanding()
	site := &v.Scene.Run.Sites[v.Site]
	return Record{v.Scene.Run.Name, v.Scene.Cut, site.Exact, site.Label, blocks, bytes, s.Tokens, s.Times, s.Places, s.Live}
}

// batchRows is how many sequences are written together.
const batchRows = 1024

// WriteRecords writes sequences as an Arrow IPC stream (compressed with zstd),
// which needs no seeking, and returns how many there were.
func WriteRecords(w io.Writer, records iter.Seq[Record]) (n int, err error) {
	schema := sequenceSchema()
	out := ipc.NewWriter(w, ipc.WithSchema(schema), ipc.WithZstd())
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	flush := func() error {
		rec := b.NewRecord()
		defer rec.Release()
		return out.Write(rec)
	}
	for r := range records {
		b.Field(0).(*array.StringBuilder).Append(r.Log)
		b.Field(1).(*array.Uint32Builder).Append(r.Cut)
		b.Field(2).(*array.Uint64Builder).Append(uint64(r.Key))
		b.Field(3).(*array.StringBuilder).Append(r.Site)
		b.Field(4).(*array.Int64Builder).Append(r.Blocks)
		b.Field(5).(*array.Int64Builder).Append(r.Bytes)
		appendList(b, 6, func(v array.Builder) { v.(*array.Int32Builder).AppendValues(r.Tokens, nil) })
		appendList(b, 7, func(v array.Builder) { v.(*array.Int64Builder).AppendValues(r.Times, nil) })
		appendList(b, 8, func(v array.Builder) { v.(*array.Int64Builder).AppendValues(r.Places, nil) })
		appendList(b, 9, func(v array.Builder) { v.(*array.BooleanBuilder).AppendValues(r.Live, nil) })
		if n++; n%batchRows == 0 {
			if err := flush(); err != nil {
				return n, err
			}
		}
	}
	if n%batchRows != 0 || n == 0 {
		if err := flush(); err != nil {
			return n, err
		}
	}
	return n, out.Close()
}

func appendList(b *array.RecordBuilder, column int, values func(array.Builder)) {
	l := b.Field(column).(*array.ListBuilder)
	l.Append(true)
	values(l.ValueBuilder())
}

// ReadRecords reads what WriteRecords wrote, by this version or another with the
// same vocabulary. An error is the last pair.
func ReadRecords(r io.Reader) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		// Arrow panics on some kinds of damage.
		stopped := false
		defer func() {
			if p := recover(); p != nil && !stopped {
				yield(Record{}, fmt.Errorf("damaged file of sequences: %v", p))
			} else if p != nil {
				panic(p)
			}
		}()
		in, err := ipc.NewReader(r)
		if err != nil {
			yield(Record{}, fmt.Errorf("not a file of sequences: %w", err))
			return
		}
		defer in.Release()
		if !in.Schema().Equal(sequenceSchema()) {
			yield(Record{}, fmt.Errorf("not a file of sequences of vocabulary %s: its schema is another", VocabHash))
			return
		}
		for in.Next() {
			rec := in.Record()
			for i := range int(rec.NumRows()) {
				row, err := recordAt(rec, i)
				stopped = true // a panic of the caller's is his own
				if !yield(row, err) || err != nil {
					return
				}
				stopped = false
			}
		}
		if err := in.Err(); err != nil && err != io.EOF {
			yield(Record{}, fmt.Errorf("damaged file of sequences: %w", err))
		}
	}
}

func recordAt(rec arrow.Record, i int) (Record, error) {
	span := func(column int) (arrow.Array, int, int) {
		l := rec.Column(column).(*array.List)
		from, to := l.ValueOffsets(i)
		return l.ListValues(), int(from), int(to)
	}
	r := Record{
		Log:    rec.Column(0).(*array.String).Value(i),
		Cut:    rec.Column(1).(*array.Uint32).Value(i),
		Key:    Key(rec.Column(2).(*array.Uint64).Value(i)),
		Site:   rec.Column(3).(*array.String).Value(i),
		Blocks: rec.Column(4).(*array.Int64).Value(i),
		Bytes:  rec.Column(5).(*array.Int64).Value(i),
	}
	values, from, to := span(6)
	r.Tokens = append(r.Tokens, values.(*array.Int32).Int32Values()[from:to]...)
	for _, id := range r.Tokens {
		if id < 0 || int(id) >= VocabSize {
			return r, fmt.Errorf("row %d: token %d is not in the vocabulary", i, id)
		}
	}
	values, from, to = span(7)
	r.Times = append(r.Times, values.(*array.Int64).Int64Values()[from:to]...)
	values, from, to = span(8)
	r.Places = append(r.Places, values.(*array.Int64).Int64Values()[from:to]...)
	values, from, to = span(9)
	for j := from; j < to; j++ {
		r.Live = append(r.Live, values.(*array.Boolean).Value(j))
	}
	if n := len(r.Times); len(r.Tokens) != n*Fields || len(r.Places) != n || len(r.Live) != n {
		return r, fmt.Errorf("row %d: %d tokens for %d positions", i, len(r.Tokens), n)
	}
	return r, nil
}
