package columnar

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"

	"leakformer/ingest"
)

// version of the layout; a reader refuses any other.
const version = "1"

// Keys of the schema's metadata.
const (
	keyVersion = "leakformer.run"
	keyLog     = "leakformer.log"
	keyFormat  = "leakformer.format"
	keyClass   = "leakformer.class"
)

// magic opens and closes every Arrow IPC file.
const magic = "ARROW1"

// IsRun reports whether a file that starts with head is an Arrow IPC file, and so
// one for [Open]. Six bytes are enough.
func IsRun(head []byte) bool { return bytes.HasPrefix(head, []byte(magic)) }

// Columns in the order of the schema.
const (
	colOp = iota
	colLoss
	colFlags
	colSeq
	colTime
	colBlock
	colAddr
	colSize
	colCount
	colStack
	colScan
	colPID
	colTID
	colComm
	colLine
	colFrames
	colStacks
	colReport
	numCols
)

var (
	frameType = arrow.StructOf(
		arrow.Field{Name: "function", Type: arrow.BinaryTypes.String},
		arrow.Field{Name: "module", Type: arrow.BinaryTypes.String},
		arrow.Field{Name: "file", Type: arrow.BinaryTypes.String},
		arrow.Field{Name: "line", Type: arrow.PrimitiveTypes.Int64},
		arrow.Field{Name: "address", Type: arrow.PrimitiveTypes.Uint64},
		arrow.Field{Name: "inlined", Type: arrow.FixedWidthTypes.Boolean},
	)
	stackType = arrow.ListOfNonNullable(arrow.PrimitiveTypes.Uint32)
)

// fields is the layout of a row.
var fields = [numCols]arrow.Field{
	colOp:    field("op", arrow.PrimitiveTypes.Uint8, "", "0 no event, 1 alloc, 2 free, 3 outstanding"),
	colLoss:  field("loss", arrow.PrimitiveTypes.Uint8, "", "the log's own judgement: 0 none, 1 definitely lost, 2 indirectly lost, 3 possibly lost, 4 still reachable, 5 unreferenced"),
	colFlags: field("flags", arrow.PrimitiveTypes.Uint8, "", "bits: 1 half of a realloc, 2 free that the log does not show, 4 free whose block was chosen among equals"),
	colSeq:   field("seq", arrow.PrimitiveTypes.Int64, "", "number of the event in the log, from 0; an inferred free shares that of the alloc behind it"),
	colTime:  field("time", arrow.FixedWidthTypes.Duration_ns, "ns", "since the log's start; 0 throughout where the log has no clock"),
	colBlock: field("block", arrow.PrimitiveTypes.Int64, "", "number of the first block in order of birth, from 0; -1 for a free of no known block"),
	colAddr:  field("addr", arrow.PrimitiveTypes.Uint64, "", "address of the block; 0 where the format has none"),
	colSize:  field("size", arrow.PrimitiveTypes.Int64, "bytes", "size of all blocks of the row together; for a free, of the block that it frees"),
	colCount: field("count", arrow.PrimitiveTypes.Int64, "blocks", "number of blocks; 1 for alloc and free"),
	colStack: field("stack", arrow.PrimitiveTypes.Uint32, "", "number of the allocation's call stack, see stacks; 0 where not known"),
	colScan:  field("scan", arrow.PrimitiveTypes.Int32, "", "number of the snapshot in a series, from 0"),
	colPID:   field("pid", arrow.PrimitiveTypes.Int32, "", "process; 0 where the format has none"),
	colTID:   field("tid", arrow.PrimitiveTypes.Int32, "", "thread; 0 where the format has none"),
	colComm:  field("comm", arrow.BinaryTypes.String, "", "name of the task that allocated; empty where not known"),
	colLine:  field("line", arrow.PrimitiveTypes.Int64, "", "line of the log on which the event stands, from 1"),
	colFrames: nullable(field("frames", arrow.ListOfNonNullable(frameType), "",
		"frames that no earlier row holds, numbered over the file from 0; address is the offset in module where that is known")),
	colStacks: nullable(field("stacks", arrow.ListOfNonNullable(stackType), "",
		"call stacks that no earlier row holds, numbered over the file from 1; each the numbers of its frames, innermost first")),
	colReport: nullable(field("report", arrow.BinaryTypes.String, "", "parse report as JSON, in the last row only")),
}

func field(name string, t arrow.DataType, unit, description string) arrow.Field {
	md := map[string]string{"description": description}
	if unit != "" {
		md["unit"] = unit
	}
	return arrow.Field{Name: name, Type: t, Metadata: arrow.MetadataFrom(md)}
}

func nullable(f arrow.Field) arrow.Field {
	f.Nullable = true
	return f
}

// schemaOf is the schema of a run, with what its log tells before it is read.
func schemaOf(r *ingest.Report) *arrow.Schema {
	md := arrow.NewMetadata(
		[]string{keyVersion, keyLog, keyFormat, keyClass},
		[]string{version, clean(r.Name), clean(r.Format), clean(string(r.Class))})
	return arrow.NewSchema(fields[:], &md)
}

// checkSchema refuses the schema of a file that is no run, or a run in another
// layout. Names, types and nullability count; descriptions do not.
func checkSchema(s *arrow.Schema) error {
	md := s.Metadata()
	switch v, ok := md.GetValue(keyVersion); {
	case !ok:
		return fmt.Errorf("is an Arrow file, but not a run: its schema has no %q; make runs with leakformer ingest", keyVersion)
	case v != version:
		return fmt.Errorf("is a run in layout %q, and this program reads layout %q: ingest the log again", v, version)
	}
	if s.NumFields() != numCols {
		return fmt.Errorf("is a run with %d columns in place of %d: ingest the log again", s.NumFields(), numCols)
	}
	for i, want := range fields {
		got := s.Field(i)
		if got.Name != want.Name || got.Nullable != want.Nullable || !arrow.TypeEqual(got.Type, want.Type) {
			return fmt.Errorf("is a run whose column %d is %s, not %s: ingest the log again", i+1, show(got), show(want))
		}
	}
	return nil
}

func show(f arrow.Field) string {
	s := fmt.Sprintf("%s: %s", f.Name, f.Type)
	if f.Nullable {
		s += ", nullable"
	}
	return s
}

// clean replaces what is not UTF-8, which no Arrow string may hold.
func clean(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
