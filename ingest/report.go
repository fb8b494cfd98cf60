package ingest

import "fmt"

// Class says what a format can tell about a heap.
type Class string

const (
	// Events: allocs and frees one by one, in order.
	Events Class = "events"
	// Snapshots: what was live, several times in a row.
	Snapshots Class = "snapshots"
	// EndReport: what was live, once.
	EndReport Class = "report"
)

// Clock says what Event.Time was read from.
type Clock string

const (
	// NoClock: the log has no times; only the order of events is known.
	NoClock Clock = "none"
	// Ticks: coarse time stamps between the events (heaptrack, about 10 ms).
	Ticks Clock = "ticks"
	// Stamps: a time stamp on each record.
	Stamps Clock = "stamps"
)

// PerProcess reports whether the process ids in a log of this format tell heaps apart:
// an event of one process is never about a block of another. In other logs they say at
// most who allocated.
func (r *Report) PerProcess() bool {
	for i := range formats {
		if formats[i].Name == r.Format {
			return formats[i].perProcess
		}
	}
	return false
}

// Amount is a number of blocks and their bytes.
type Amount struct {
	Blocks int64 `json:"blocks"`
	Bytes  int64 `json:"bytes"`
}

// Oracle compares what was read with what the log itself says about it.
type Oracle struct {
	// Name of the figure in the words of the tool, for example "heap summary".
	Name string `json:"name"`
	// Expected is what the log says, Got what its records add up to.
	Expected string `json:"expected"`
	Got      string `json:"got"`
	OK       bool   `json:"ok"`
}

// Report tells how a log was read. Its JSON form is what `leakformer check
// --format json` prints.
type Report struct {
	Name   string `json:"log"`
	Format string `json:"format"`
	Class  Class  `json:"class"`
	// Tool, its version and the program's command, where the log tells.
	Tool    string `json:"tool,omitempty"`
	Command string `json:"command,omitempty"`
	// Commands, by process id, of the processes that run another program than Command.
	Commands map[int32]string `json:"commands,omitempty"`
	Clock    Clock            `json:"clock"`
	// Processes is the number of different process ids.
	Processes int `json:"processes,omitempty"`

	// Lines of the log, and those that belong to the format.
	Lines      int64 `json:"lines"`
	Recognised int64 `json:"recognised"`
	// Records of a report or snapshot.
	Records int64 `json:"records"`
	// Events is Allocs + Frees of an event log; for other logs the number of
	// outstanding entries.
	Events int64 `json:"events"`
	Allocs int64 `json:"allocs"`
	Frees  int64 `json:"frees"`
	// OrphanFrees free what the log never saw allocated.
	OrphanFrees int64 `json:"orphan_frees"`
	// InheritedFrees free what a forked process has from its parent: copies of
	// blocks that live on in the parent. They are neither events nor among Frees.
	InheritedFrees int64 `json:"inherited_frees,omitempty"`
	// LostFrees is the number of blocks whose address was handed out again
	// without a free between.
	LostFrees int64 `json:"lost_frees"`
	// AllocatedBytes is the sum over all allocs.
	AllocatedBytes int64 `json:"allocated_bytes"`
	// Outstanding is what is live at the end (of a series: in its last scan).
	Outstanding Amount `json:"outstanding"`
	// LastEmpty says that the last scan of a series shows nothing: all that the
	// scans before it show is gone.
	LastEmpty bool `json:"last_empty,omitempty"`
	// Sites is the number of different allocation call stacks.
	Sites int `json:"sites"`

	// Truncated says that the log ends in mid-record or in mid-frame.
	Truncated bool `json:"truncated"`
	// Errors is the number of records that could not be understood; Messages
	// holds the first few of them, and other warnings.
	Errors   int64    `json:"errors"`
	Messages []string `json:"messages,omitempty"`
	// Oracle is the log's own check, nil where the log has none.
	Oracle *Oracle `json:"oracle"`
}

// maxMessages bounds Report.Messages: a file of a million bad lines is still
// reported in a screenful.
const maxMessages = 20

// Warn adds a message, unless there are many already.
func (r *Report) Warn(format string, args ...any) {
	if len(r.Messages) < maxMessages {
		r.Messages = append(r.Messages, fmt.Sprintf(format, args...))
	}
}

// SyntaxError is a record that could not be understood. Reading goes on behind it.
type SyntaxError struct {
	File string
	Line int64
	Msg  string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
}

// FormatError says that a file is in no format that can be read, and why.
type FormatError struct {
	File string
	Msg  string
	// Unknown says that no format was named, and none fits.
	Unknown bool

	refused bool // of a format that is known
}

func (e *FormatError) Error() string { return e.File + ": " + e.Msg }
