package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// minRounds is how often each side does its task at least, after a first time that
// does not count: memory is got then, and files are read into the cache.
const minRounds = 5

// A cost is what a task took: seconds of the clock and of processors, and the most
// memory, in MiB, where that is known.
type cost struct{ clock, processor, memory float64 }

// A task is done once by each call.
type task func() (cost, error)

// alternate does ours and theirs by turns; theirs may be nil.
func (m *measurer) alternate(ours, theirs task) (our, their []cost, err error) {
	return m.rounds(minRounds, ours, theirs)
}

func (m *measurer) rounds(least int, ours, theirs task) (our, their []cost, err error) {
	var end time.Time
	for i := 0; i <= least || time.Now().Before(end); i++ {
		if i == 1 {
			end = time.Now().Add(m.budget)
		}
		a, err := ours()
		if err != nil {
			return nil, nil, err
		}
		var z cost
		if theirs != nil {
			if z, err = theirs(); err != nil {
				return nil, nil, err
			}
		}
		if i > 0 || least == 1 {
			our, their = append(our, a), append(their, z)
		}
		if least == 1 && i == 0 && m.budget < time.Duration(a.clock*float64(time.Second)) {
			break // once is enough of what takes long
		}
		if err := m.ctx.Err(); err != nil {
			return nil, nil, err
		}
	}
	return our, their, nil
}

// command makes a task of a command. What it prints is thrown away; the exit status of
// leaks found is no error.
func (m *measurer) command(name string, args ...string) task {
	return func() (cost, error) { return costOf(exec.CommandContext(m.ctx, name, args...)) }
}

func costOf(cmd *exec.Cmd) (cost, error) {
	start := time.Now()
	err := cmd.Run()
	clock := time.Since(start).Seconds()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == exitLeaks {
		err = nil
	}
	if err != nil {
		return cost{}, fmt.Errorf("%v: %w", cmd.Args, err)
	}
	return costOfState(cmd.ProcessState, clock), nil
}

func costOfState(s *os.ProcessState, clock float64) cost {
	used := s.SysUsage().(*syscall.Rusage)
	return cost{clock, (s.UserTime() + s.SystemTime()).Seconds(), float64(used.Maxrss) / 1024}
}

// exitLeaks is leakformer's exit status where leaks were found.
const exitLeaks = 3

// A spread is the median of values, and the lowest and the highest.
type spread struct{ Median, Low, High float64 }

// only is the spread of one value.
func only(v float64) *spread { return &spread{v, v, v} }

func spreadOf(values []float64) spread {
	slices.Sort(values)
	n := len(values)
	return spread{(values[(n-1)/2] + values[n/2]) / 2, values[0], values[n-1]}
}

// each is the spread of a figure of costs.
func each(costs []cost, figure func(cost) float64) *spread {
	values := make([]float64, len(costs))
	for i, c := range costs {
		values[i] = figure(c)
	}
	s := spreadOf(values)
	return &s
}

func clock(c cost) float64     { return c.clock }
func processor(c cost) float64 { return c.processor }
func memory(c cost) float64    { return c.memory }

// ratios is how many times as good ours is as theirs, round by round, in a figure of
// which less is better.
func ratios(our, their []cost, figure func(cost) float64) *spread {
	values := make([]float64, len(our))
	for i := range our {
		values[i] = figure(their[i]) / figure(our[i])
	}
	s := spreadOf(values)
	return &s
}
