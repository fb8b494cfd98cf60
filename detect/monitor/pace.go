package monitor

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"time"
)

// Pace is the time between two looks: an interval while the processors have time to
// spare, and up to eight times that while they have none.
type Pace struct {
	Interval time.Duration
	// Load is how busy the processors were since the last call, 0 to 1; nil: the
	// interval never changes.
	Load func() float64

	factor int
}

// Above busy the pace halves, below idle it doubles; in between it stays.
const (
	busy       = 0.9
	idle       = 0.7
	maxBackoff = 8
)

// Next is the time until the next look.
func (p *Pace) Next() time.Duration {
	p.factor = max(p.factor, 1)
	if p.Load != nil {
		switch load := p.Load(); {
		case load > busy:
			p.factor = min(2*p.factor, maxBackoff)
		case load < idle:
			p.factor = max(p.factor/2, 1)
		}
	}
	return time.Duration(p.factor) * p.Interval
}

// Wait lets that time pass; it returns false when the context is done.
func (p *Pace) Wait(ctx context.Context) bool {
	timer := time.NewTimer(p.Next())
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// CPULoad returns a function for [Pace.Load] that reads /proc/stat. Where that cannot
// be read, the processors count as idle.
func CPULoad() func() float64 {
	var idleBefore, allBefore int64
	return func() float64 {
		data, err := os.ReadFile("/proc/stat")
		if err != nil {
			return 0
		}
		idle, all := cpuTimes(data)
		i, a := idle-idleBefore, all-allBefore
		idleBefore, allBefore = idle, all
		if a <= 0 || i < 0 {
			return 0
		}
		return 1 - float64(i)/float64(a)
	}
}

// cpuTimes reads the first line of /proc/stat: user, nice, system, idle, iowait, irq,
// softirq and steal, of all processors since boot.
func cpuTimes(stat []byte) (idle, all int64) {
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := bytes.Fields(line)
	for i := 1; i < len(fields) && i <= 8; i++ {
		n, err := strconv.ParseInt(string(fields[i]), 10, 64)
		if err != nil {
			return 0, 0
		}
		if all += n; i == 4 || i == 5 {
			idle += n
		}
	}
	return idle, all
}
