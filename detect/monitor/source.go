package monitor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
)

// Source is what is watched.
type Source struct {
	// Name tells it from others.
	Name string
	// Process is the one whose memory it shows; nil where it is none, or not known.
	Process *ProcessID
	// Kernel: it shows the memory of the kernel or of the machine, not a program's.
	Kernel bool
}

// ProcessID tells a process from others, also from a later one of the same number.
type ProcessID struct {
	PID int `json:"pid"`
	// Started is when, in the kernel's ticks.
	Started string `json:"started"`
}

// identify finds the process that has a number now.
func identify(pid int) (*ProcessID, error) {
	started, err := startTime(pid)
	if err != nil {
		return nil, err
	}
	return &ProcessID{pid, started}, nil
}

// Alive reports whether the process has not ended: that its number is in use is not
// enough.
func (p *ProcessID) Alive() bool {
	now, err := startTime(p.PID)
	return err == nil && now == p.Started
}

// startTime is field 22 of /proc/PID/stat. The name of the program, in parentheses,
// may hold anything.
func startTime(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return "", errors.New("/proc/PID/stat is not understood")
	}
	return string(fields[19]), nil
}
