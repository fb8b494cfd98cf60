// Package columnar keeps a run in an Arrow IPC file: the events of one log, the
// call stacks that they name and the parse report, compressed and readable by any
// implementation of Arrow.
//
// [Write] turns an [ingest.Source] into a file, [Open] turns the file back into a
// Source with the same events, stacks and report. Both work on one record batch
// at a time, so that neither needs memory for the run, only for its call stacks.
//
// # Schema
//
// One row is one event, in the order of the log. The schema metadata hold
// "leakformer.run" (the version of this layout, now "2"), and what is known of the
// log before it is read: "leakformer.log" (its name), "leakformer.format" and
// "leakformer.class" (events, snapshots or report). Every field says in its
// metadata what it is ("description") and, where it has one, its "unit":
//
//	op         uint8         0 no event, 1 alloc, 2 free, 3 outstanding
//	loss       uint8         0 not judged, 1 definite, 2 indirect, 3 possible, 4 reachable, 5 unreferenced
//	flags      uint8         bits: 1 half of a realloc, 2 inferred free, 4 approximate free
//	seq_step   int64         number of the event, from 0, less that of the event before
//	time_step  duration[ns]  time since the log's start, less that of the event before; 0 throughout
//	                         where the log has no clock
//	age        uint32        of a free: how many blocks were born from the birth of its block on, 1 for
//	                         the youngest; 0 for an orphan free, and for what is no free
//	addr       uint32        address of the block; 0 where the format has none
//	size       uint32        bytes of all the row's blocks together
//	count      int64         blocks
//	stack      uint32        call stack of the allocation; 0 where not known
//	scan       int32         number of the snapshot in a series, from 0
//	pid        int32         process; 0 where the format has none
//	tid        int32         thread; 0 where the format has none
//	comm       utf8          name of the task that allocated
//	line_step  int64         line of the log on which the event stands, from 1, less that of the event before
//	frames     list<struct<function: utf8, module: utf8, file: utf8, line: int64,
//	                       address: uint64, inlined: bool>>, null on most rows
//	stacks     list<list<uint32>>, null on most rows
//	report     utf8          null but in the last row
//
// Behind age, addr and size stand age_high, addr_high and size_high, uint32 too:
// the high halves of numbers that need more than 32 bits.
//
// The number, the time and the line of an event are thus sums over the steps up to
// its row: before the first row all three are 0. Blocks have numbers in order of
// birth, from 0: an alloc or outstanding row bears the next count of them, and a
// free ends block born-age, where born is the sum of count over the births above
// it. A program's work repeats itself in its steps and ages, not in their sums.
//
// Layout "1", which is still read, has the columns seq, time, line and block (of a
// row's first block; -1 for an orphan free) in place of the steps and of age, and
// addr and size whole.
//
// # Stacks
//
// Each frame and each call stack is stored once, in the row that first needs it.
// A reader that collects the entries of frames from the first row on numbers them
// from 0; it collects the entries of stacks likewise, but from 1 (0 is the empty
// stack). An entry of stacks is the numbers of its frames, innermost first; row n
// never needs a stack or a frame that stands behind row n.
//
// # Rows that are no events
//
// A row with op 0 is no event: it carries frames, stacks or the report, and its
// other fields are 0. The last row of a file is always one, and holds the parse
// report ([ingest.Report]) as JSON. A file without it was cut off.
//
// # Encoding
//
// The buffers are compressed with zstd, each by itself. The file carries the end-of-stream marker
// before its footer, so that it can also be read from a pipe, as the stream that
// starts 8 bytes into it. Strings that are not UTF-8, which Arrow demands, have
// U+FFFD in place of the bad bytes.
package columnar
