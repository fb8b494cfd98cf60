package ingest

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// series tells the scans of a log apart.
type series struct {
	scan int32
	// seen are the objects of the scan; true: from a copy of the file.
	seen map[kmemKey]bool
	// high is the youngest object of the scan. The file is ordered by age, so
	// that an older object may begin the next scan: such objects stay
	// unsettled (from this index of the held ones on) until one of them turns
	// out to be in the scan already, or none does for long.
	high      uint64
	open      bool
	unsettled int
	told      int64 // line on which the kernel last told that a scan is over
	marked    bool  // "# kmemleak scan" lines separate the scans
}

// place appends o to the held objects with the number of its scan; it returns
// false if o stood in the scan before.
func (s *series) place(held *[]kmemObject, o kmemObject) bool {
	o.event.Scan = s.scan
	fromFile, again := s.seen[o.kmemKey]
	told := s.told > 0 && s.told < o.event.Line
	if told {
		s.told = 0
	}
	switch {
	case again && (o.tagged || !fromFile || s.marked):
		if !o.tagged {
			s.seen[o.kmemKey] = true
		}
		return false
	case s.marked || o.tagged:
	case again:
		from := len(*held)
		if s.open {
			from = s.unsettled
		}
		s.restart(*held, from)
		o.event.Scan = s.scan
	case o.known && o.jiffies+maxDisorder < s.high && told:
		s.restart(*held, len(*held))
		o.event.Scan = s.scan
	case o.known && o.jiffies+maxDisorder < s.high:
		if !s.open {
			s.open, s.unsettled = true, len(*held)
		}
	default:
		s.open = false
	}
	s.seen[o.kmemKey] = !o.tagged
	if !s.open {
		s.high = max(s.high, o.jiffies)
	}
	*held = append(*held, o)
	return true
}

// restart begins the next scan with the held objects from an index on.
func (s *series) restart(held []kmemObject, from int) {
	s.scan++
	s.open, s.high = false, 0
	clear(s.seen)
	for i := from; i < len(held); i++ {
		held[i].event.Scan = s.scan
		s.seen[held[i].kmemKey] = true
		s.high = max(s.high, held[i].jiffies)
	}
}

// mark begins a scan at a "# kmemleak scan" line.
func (s *series) mark(held int) {
	if s.marked || len(s.seen) > 0 {
		s.restart(nil, held)
	}
	s.marked = true
}

// settled is how many of the n held objects have their scan.
func (s *series) settled(n int) int {
	if s.open && n-s.unsettled < maxHeld {
		return s.unsettled
	}
	s.open = false
	return n
}

// ticks turns jiffies into the time since boot. The kernel starts counting 300
// seconds before the counter passes 2^32, whatever its tick rate; the rate is
// read off the records.
type ticks struct {
	hz      uint64 // 0: not known yet
	guessed bool
	hint    uint64 // likely, not certain
	lowest  uint64
	ref     kmemObject // an earlier object to compare with
}

// rates are the tick rates that kernels are built with, lowest first.
var rates = [...]uint64{100, 200, 250, 300, 500, 1000}

// firstJiffy is the counter's value at boot.
func firstJiffy(hz uint64) uint64 { return 1<<32 - 300*hz }

// markedRate is the tick rate that a "# kmemleak scan" line tells as the kernel's
// configuration does, CONFIG_HZ=100; 0 if it tells none.
func markedRate(line []byte) uint64 {
	_, value, _ := bytes.Cut(line, []byte("CONFIG_HZ="))
	digits, _, _ := bytes.Cut(value, []byte(" "))
	hz, err := strconv.ParseUint(string(digits), 10, 32)
	if err != nil || !slices.Contains(rates[:], hz) {
		return 0
	}
	return hz
}

// observe looks for what tells the tick rate.
func (t *ticks) observe(o kmemObject) {
	if t.hz != 0 || !o.known {
		return
	}
	j := o.jiffies
	if t.lowest == 0 || j < t.lowest {
		t.lowest = j
	}
	switch {
	case o.aged && o.at > 0:
		// The stamp of the log line less the age is the time since boot; near
		// 300 seconds all rates give the same count.
		if past := (o.at - o.age).Seconds() - 300; math.Abs(past) > 30 {
			t.hz = nearestRate(float64(j)-1<<32, past)
		}
	case o.aged && t.ref.aged && o.stamped == t.ref.stamped:
		// Printed in one go: the difference in age is that in ticks.
		if gap := (t.ref.age - o.age).Seconds(); math.Abs(gap) >= 0.3 {
			t.hz = nearestRate(float64(j)-float64(t.ref.jiffies), gap)
			t.ref = o
		}
	case !o.aged && o.at > 0 && onlyRate(o) != 0:
		t.hz = onlyRate(o)
	case j >= firstJiffy(1000) && j < firstJiffy(500):
		t.hz = 1000
	case o.event.PID <= 1 && t.hint == 0 && strings.HasPrefix(o.event.Comm, "swapper"):
		// The kernel's own start is over within seconds: of the usual rates it
		// is the one that gives the shortest time.
		for _, hz := range [...]uint64{1000, 300, 250, 100} {
			if j >= firstJiffy(hz) {
				t.hint = hz
			}
		}
	}
	if o.aged && !t.ref.aged {
		t.ref = o
	}
}

// nearestRate is the tick rate that n ticks in so many seconds come near to, or 0.
func nearestRate(n, seconds float64) uint64 {
	if math.Abs(seconds) < 0.3 {
		return 0
	}
	for _, hz := range rates {
		if measured := n / seconds; math.Abs(measured/float64(hz)-1) < 0.05 {
			return hz
		}
	}
	return 0
}

// onlyRate is the one rate at which the object is not younger than the log line
// that tells of it, or 0 if there are several.
func onlyRate(o kmemObject) (only uint64) {
	for _, hz := range rates {
		at := ticks{hz: hz}
		if at.since(o.jiffies) > o.at+time.Second {
			continue
		}
		if only != 0 {
			return 0
		}
		only = hz
	}
	return only
}

// since is the time since boot. If the tick rate is not known by now, it is
// guessed for good.
func (t *ticks) since(jiffies uint64) time.Duration {
	if t.hz == 0 {
		switch {
		case t.hint != 0:
			t.hz = t.hint
		case t.lowest >= firstJiffy(1000) && t.lowest < firstJiffy(250):
			t.hz, t.guessed = 1000, true
		default:
			t.hz, t.guessed = 250, true
		}
	}
	first := firstJiffy(t.hz)
	if jiffies < first {
		jiffies += 1 << 32 // a 32-bit counter that has wrapped
	}
	n := jiffies - first
	return time.Duration(n/t.hz)*time.Second + time.Duration(n%t.hz)*time.Second/time.Duration(t.hz)
}
