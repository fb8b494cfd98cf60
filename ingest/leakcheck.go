package ingest

import (
	"bytes"
	"fmt"
	"strings"
)

// loss is the head of a loss record. Its bytes are the direct ones only: the
// bytes below a lost block are in loss records of their own (kind "indirectly
// lost"), so that no byte counts twice.
type loss struct {
	kind          Loss
	bytes, blocks int64
	index         int64 // n of "loss record n of m"
	delta         bool  // it tells changes since an earlier check
}

func lossKind(s []byte) (Loss, bool) {
	switch string(s) {
	case "definitely lost":
		return Definite, true
	case "indirectly lost":
		return Indirect, true
	case "possibly lost":
		return Possible, true
	case "still reachable":
		return Reachable, true
	}
	return NotJudged, false
}

// parseLoss reads, where D is " (+N)" or " (-N)" or nothing:
//
//	N[D] bytes in N[D] blocks are KIND in [new ]loss record N of N
//	N[D] (N[D] direct, N[D] indirect) bytes in N[D] blocks are KIND in ...
func parseLoss(text []byte) (loss, bool) {
	var l loss
	s := scan{rest: text}
	l.bytes = s.number()
	l.delta = s.delta()
	if s.has(" (") {
		l.bytes = s.number()
		l.delta = s.delta() || l.delta
		s.lit(" direct, ")
		s.number()
		l.delta = s.delta() || l.delta
		s.lit(" indirect)")
	}
	s.lit(" bytes in ")
	l.blocks = s.number()
	l.delta = s.delta() || l.delta
	s.lit(" blocks are ")
	name, rest, ok := bytes.Cut(s.rest, []byte(" in "))
	s.rest = rest
	kind, known := lossKind(name)
	l.kind = kind
	s.has("new ")
	s.lit("loss record ")
	l.index = s.number()
	s.lit(" of ")
	s.number()
	return l, ok && known && !s.bad && (l.blocks > 0 || l.delta)
}

// leakChecks follows the leak checks of one process. A program may ask for
// several (client requests, gdb); each full check lists everything again and
// becomes a scan of its own.
type leakChecks struct {
	report *leakReport
	pid    int32
	scan   int32
	// begun: a check was seen; ended: its summary was seen; compared: it has a
	// part in the oracle.
	begun, ended, compared bool
	// partial: the check lists only what changed since an earlier one.
	partial bool
	index   int64                 // of its latest loss record
	shown   [Reachable + 1]Amount // of its loss records
}

// next makes room for another check, if the one before is over.
func (c *leakChecks) next(over, partial bool) {
	if c.begun && !over {
		return
	}
	if c.begun {
		c.shown = [Reachable + 1]Amount{}
		if c.partial = partial; !partial {
			c.report.scans++
		}
	}
	if !c.partial {
		c.scan = c.report.scans
	}
	c.begun, c.ended, c.compared, c.index = true, false, false, 0
}

// emit hands out a loss record. In a later check that lists only changes the
// records are left out: such a list does not say what else is still lost.
func (c *leakChecks) emit(e Event, l loss, stack []Frame) bool {
	c.next(c.ended || l.index <= c.index, l.delta)
	c.index = l.index
	if c.partial || l.blocks == 0 {
		c.report.skipped++
		return true
	}
	c.shown[l.kind].Blocks += l.blocks
	c.shown[l.kind].Bytes += l.bytes
	d := c.report.d
	markInlined(stack)
	ids := make([]FrameID, len(stack))
	for i, f := range stack {
		ids[i] = d.stacks.Frame(f)
	}
	e.Loss, e.Size, e.Count, e.Scan, e.PID = l.kind, l.bytes, l.blocks, c.scan, c.pid
	e.Stack = d.stacks.Stack(ids)
	return d.outstanding(&e)
}

// summary compares a line of the check's summary with the records.
func (c *leakChecks) summary(kind Loss, want Amount, delta bool) {
	if kind == Definite {
		c.next(c.ended, delta)
	}
	c.ended = true
	c.report.summed = c.report.summed || want.Blocks > 0
	if got := c.shown[kind]; got.Blocks > 0 && !c.partial {
		c.report.compare(c, kind, want, got)
	}
}

// freed notes the line that says that nothing is left.
func (c *leakChecks) freed() {
	c.next(c.ended, false)
	c.ended = true
	for kind := Definite; kind <= Reachable; kind++ {
		c.report.compare(c, kind, Amount{}, c.shown[kind])
	}
}

// leakReport is what the checks of all processes add up to. It compares the LEAK
// SUMMARY of each check with the sums over its loss records, kind by kind. A kind
// of which no record is shown (--show-leak-kinds) is not compared.
type leakReport struct {
	d       *decoder
	scans   int32 // number of the latest scan
	checks  int   // compared with their summaries
	skipped int64 // loss records of partial checks
	summed  bool  // a summary names lost blocks
	// unlisted: the log says that it was made without a list of leaks; asked:
	// that it was made with one.
	unlisted, asked bool

	want, got  [Reachable + 1]Amount
	firstWrong [2]string
}

func (r *leakReport) compare(c *leakChecks, kind Loss, want, got Amount) {
	if !c.compared {
		c.compared = true
		r.checks++
	}
	r.want[kind].Blocks += want.Blocks
	r.want[kind].Bytes += want.Bytes
	r.got[kind].Blocks += got.Blocks
	r.got[kind].Bytes += got.Bytes
	if want != got && r.firstWrong[0] == "" {
		say := func(a Amount) string {
			return fmt.Sprintf("%s: %d bytes in %d blocks (process %d)", kind, a.Bytes, a.Blocks, c.pid)
		}
		r.firstWrong = [2]string{say(want), say(got)}
	}
}

// finish fills in the parse report.
func (r *leakReport) finish() {
	d := r.d
	if r.scans > 0 {
		d.report.Class = Snapshots
	}
	if r.skipped > 0 {
		d.report.Warn("%s: %d loss records left out: they list only what changed since an earlier leak check "+
			"(full checks are asked for with VALGRIND_DO_LEAK_CHECK or gdb's leak_check full any)", d.report.Name, r.skipped)
	}
	switch {
	case r.firstWrong[0] != "":
		d.oracle("leak summary", r.firstWrong[0], r.firstWrong[1])
	case r.checks > 1:
		name := fmt.Sprintf("leak summaries of %d checks", r.checks)
		d.oracle(name, sums(r.want), sums(r.got))
	case r.checks == 1:
		d.oracle("leak summary", sums(r.want), sums(r.got))
	case d.report.Records > 0 || r.asked && !d.report.Truncated:
	case r.summed || r.unlisted:
		d.report.Warn("%s: no list of leaks in it: run valgrind with --leak-check=full --show-leak-kinds=all", d.report.Name)
	default:
		d.report.Warn("%s: no leak report in it: run valgrind with --leak-check=full --show-leak-kinds=all, "+
			"and let the program end by itself", d.report.Name)
	}
}

// sums gives the amounts of all kinds that have any.
func sums(by [Reachable + 1]Amount) string {
	var parts []string
	for kind := Definite; kind <= Reachable; kind++ {
		if a := by[kind]; a != (Amount{}) {
			parts = append(parts, fmt.Sprintf("%s: %d bytes in %d blocks", kind, a.Bytes, a.Blocks))
		}
	}
	if parts == nil {
		return "no leaks"
	}
	return strings.Join(parts, ", ")
}
