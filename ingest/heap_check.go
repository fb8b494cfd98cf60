package ingest

import (
	"fmt"
	"strconv"
)

// heapCheck compares the heap summaries of all processes with their calls, but for
// forked ones: their summaries include what they have from their parents.
type heapCheck struct {
	procs     int // that are compared
	forked    int // that are not
	want, got heapUse
	blind     bool
	wrong     bool // want and got are those of the first process that is wrong
	pid       int32
}

// heapUse is what a heap summary says.
type heapUse struct {
	usage
	live Amount
}

func (c *heapCheck) add(pid int32, want, got heapUse, blind bool) {
	c.procs++
	if c.wrong {
		return
	}
	if blind {
		want.live, got.live = Amount{}, Amount{}
	}
	if want != got {
		c.wrong, c.pid, c.want, c.got, c.blind = true, pid, want, got, blind
		return
	}
	c.want, c.got, c.blind = c.want.plus(want), c.got.plus(got), c.blind || blind
}

func (u heapUse) plus(v heapUse) heapUse {
	u.allocs += v.allocs
	u.frees += v.frees
	u.bytes += v.bytes
	u.live.Blocks += v.live.Blocks
	u.live.Bytes += v.live.Bytes
	return u
}

func (c *heapCheck) result() (want, got string, ok bool) {
	prefix := ""
	switch {
	case c.procs == 0:
		return "", "", false
	case c.procs > 1 && c.wrong:
		prefix = fmt.Sprintf("process %d: ", c.pid)
	case c.forked > 0:
		prefix = fmt.Sprintf("%d of %d processes: ", c.procs, c.procs+c.forked)
	case c.procs > 1:
		prefix = fmt.Sprintf("%d processes: ", c.procs)
	}
	return prefix + c.want.text(c.blind), prefix + c.got.text(c.blind), true
}

func (u heapUse) text(blind bool) string {
	s := fmt.Sprintf("%s allocs, %s frees, %s bytes allocated", commas(u.allocs), commas(u.frees), commas(u.bytes))
	if blind {
		return s
	}
	return s + fmt.Sprintf(", %s bytes live in %s blocks", commas(u.live.Bytes), commas(u.live.Blocks))
}

// amounts reads the numbers of a text, with commas in them, where shape has a #.
func amounts(text []byte, shape string) (n [3]int64, ok bool) {
	k := 0
	for i := 0; i < len(shape); i++ {
		if shape[i] != '#' {
			if len(text) == 0 || text[0] != shape[i] {
				return n, false
			}
			text = text[1:]
			continue
		}
		digits := 0
		for ; len(text) > 0 && (text[0] == ',' || text[0] >= '0' && text[0] <= '9') && digits < 18; text = text[1:] {
			if text[0] != ',' {
				n[k] = n[k]*10 + int64(text[0]-'0')
				digits++
			}
		}
		if digits == 0 {
			return n, false
		}
		k++
	}
	return n, true
}

// commas writes a number as Valgrind does: 1,234,567.
func commas(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
