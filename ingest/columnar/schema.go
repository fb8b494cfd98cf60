package columnar

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"

	"leakformer/ingest"
)

// Versions of the layout: the one that is written, and one that is still read.
const (
	version  = "2"
	version1 = "1"
)

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
var fields = []arrow.Field{
	field("op", arrow.PrimitiveTypes.Uint8, "", "0 no event, 1 alloc, 2 free, 3 outstanding"),
	field("loss", arrow.PrimitiveTypes.Uint8, "", "the log's own judgement: 0 none, 1 definitely lost, 2 indirectly lost, 3 possibly lost, 4 still reachable, 5 unreferenced"),
	field("flags", arrow.PrimitiveTypes.Uint8, "", "bits: 1 half of a realloc, 2 free that the log does not show, 4 free whose block was chosen among equals"),
	field("seq_step", arrow.PrimitiveTypes.Int64, "", "number of the event in the log, less that of the event before; an inferred free shares that of the alloc behind it; the first event has number 0"),
	field("time_step", arrow.FixedWidthTypes.Duration_ns, "ns", "time since the log's start, less that of the event before; 0 throughout where the log has no clock"),
	field("age", arrow.PrimitiveTypes.Uint32, "blocks", "of a freed block: how many were born from its birth on, 0 for a free of no known block; low 32 bits"),
	field("age_high", arrow.PrimitiveTypes.Uint32, "", "high 32 bits of age"),
	field("addr", arrow.PrimitiveTypes.Uint32, "", "address of the block, 0 where the format has none; low 32 bits"),
	field("addr_high", arrow.PrimitiveTypes.Uint32, "", "high 32 bits of addr"),
	field("size", arrow.PrimitiveTypes.Uint32, "bytes", "size of all blocks of the row together, for a free that of the block that it frees; low 32 bits"),
	field("size_high", arrow.PrimitiveTypes.Uint32, "", "high 32 bits of size"),
	field("count", arrow.PrimitiveTypes.Int64, "blocks", "number of blocks; 1 for alloc and free"),
	field("stack", arrow.PrimitiveTypes.Uint32, "", "number of the allocation's call stack, see stacks; 0 where not known"),
	field("scan", arrow.PrimitiveTypes.Int32, "", "number of the snapshot in a series, from 0"),
	field("pid", arrow.PrimitiveTypes.Int32, "", "process; 0 where the format has none"),
	field("tid", arrow.PrimitiveTypes.Int32, "", "thread; 0 where the format has none"),
	field("comm", arrow.BinaryTypes.String, "", "name of the task that allocated; empty where not known"),
	field("line_step", arrow.PrimitiveTypes.Int64, "", "line of the log on which the event stands, from 1, less that of the event before"),
	nullable(field("frames", arrow.ListOfNonNullable(frameType), "",
		"frames that no earlier row holds, numbered over the file from 0; address is the offset in module where that is known")),
	nullable(field("stacks", arrow.ListOfNonNullable(stackType), "",
		"call stacks that no earlier row holds, numbered over the file from 1; each the numbers of its frames, innermost first")),
	nullable(field("report", arrow.BinaryTypes.String, "", "parse report as JSON, in the last row only")),
}

// fields1 is the layout of version 1, which had seq, time and line in full, and the
// number of each row's block.
var fields1 = []arrow.Field{
	field("op", arrow.PrimitiveTypes.Uint8, "", ""),
	field("loss", arrow.PrimitiveTypes.Uint8, "", ""),
	field("flags", arrow.PrimitiveTypes.Uint8, "", ""),
	field("seq", arrow.PrimitiveTypes.Int64, "", ""),
	field("time", arrow.FixedWidthTypes.Duration_ns, "", ""),
	field("block", arrow.PrimitiveTypes.Int64, "", ""),
	field("addr", arrow.PrimitiveTypes.Uint64, "", ""),
	field("size", arrow.PrimitiveTypes.Int64, "", ""),
	field("count", arrow.PrimitiveTypes.Int64, "", ""),
	field("stack", arrow.PrimitiveTypes.Uint32, "", ""),
	field("scan", arrow.PrimitiveTypes.Int32, "", ""),
	field("pid", arrow.PrimitiveTypes.Int32, "", ""),
	field("tid", arrow.PrimitiveTypes.Int32, "", ""),
	field("comm", arrow.BinaryTypes.String, "", ""),
	field("line", arrow.PrimitiveTypes.Int64, "", ""),
	nullable(field("frames", arrow.ListOfNonNullable(frameType), "", "")),
	nullable(field("stacks", arrow.ListOfNonNullable(stackType), "", "")),
	nullable(field("report", arrow.BinaryTypes.String, "", "")),
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
	return arrow.NewSchema(fields, &md)
}

// checkSchema refuses the schema of a file that is no run, or a run in another
// layout. Names, types and nullability count; descriptions do not.
func checkSchema(s *arrow.Schema) error {
	md := s.Metadata()
	layout := fields
	switch v, ok := md.GetValue(keyVersion); {
	case !ok:
		return fmt.Errorf("is an Arrow file, but not a run: its schema has no %q; make runs with leakformer ingest", keyVersion)
	case v == version1:
		layout = fields1
	case v != version:
		return fmt.Errorf("is a run in layout %q, and this program reads layouts %q and %q: ingest the log again", v, version1, version)
	}
	if s.NumFields() != len(layout) {
		return fmt.Errorf("is a run with %d columns in place of %d: ingest the log again", s.NumFields(), len(layout))
	}
	for i, want := range layout {
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
