package monitor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Remedy is a rule: what to do about an alert. One of Run, Signal and DropCaches is
// set.
type Remedy struct {
	Name string `json:"name"`
	// Source and Site are patterns as of [ParseSilence]: of a source's name, and of a
	// site or a frame of its call stack. "" fits all.
	Source string `json:"source,omitempty"`
	Site   string `json:"site,omitempty"`
	// Level is the least that an alert has to be; NONE: any.
	Level Level `json:"level,omitempty"`
	// Run is a program and its arguments, which no shell sees. An argument that is
	// {pid}, {source}, {site}, {level}, {bytes} or {id} stands for that of the alert.
	Run []string `json:"run,omitempty"`
	// Signal is sent to the process that is watched, for example USR1.
	Signal string `json:"signal,omitempty"`
	// DropCaches is written to the kernel's file of that name: 1 for the page cache, 2
	// for dentries and inodes, 3 for both.
	DropCaches int `json:"drop_caches,omitempty"`
	// Every is the shortest time between two actions of the rule; 0: 10 minutes.
	Every span `json:"every,omitempty"`
	// Timeout of a program; 0: a minute.
	Timeout span `json:"timeout,omitempty"`

	source, site pattern
	signal       syscall.Signal
}

// span is a duration, in JSON for example "10m".
type span time.Duration

// UnmarshalText reads what time.ParseDuration does.
func (s *span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err == nil && d <= 0 {
		err = fmt.Errorf("%v: want more than 0", d)
	}
	*s = span(d)
	return err
}

// or is the span, or what stands for 0.
func (s span) or(otherwise time.Duration) time.Duration {
	if s > 0 {
		return time.Duration(s)
	}
	return otherwise
}

// fits reports whether an alert is one to do something about.
func (r *Remedy) fits(a *Alert) bool {
	if a.Resolved || a.Level < r.Level || !r.source.fits(a.Source) {
		return false
	}
	for _, name := range append([]string{a.Site}, a.Stack...) {
		if r.site.fits(name) {
			return true
		}
	}
	return false
}

// Action is what was done about an alert, or would have been.
type Action struct {
	Time   time.Time `json:"timestamp"`
	Remedy string    `json:"remedy"`
	Alert  string    `json:"alert"`
	// Done is the arguments that a program was run with, or what was done in words.
	Done []string `json:"done"`
	// DryRun: nothing was done.
	DryRun bool `json:"dry_run"`
	// Status is the exit status of a program, -1 where it has none; Output is the
	// beginning of what it said.
	Status int    `json:"status"`
	Output string `json:"output,omitempty"`
	// Error is why it was not done, or failed.
	Error string `json:"error,omitempty"`
}

// Remedies is the sink that acts on alerts. What fails is not tried again: what helped
// against a leak a while ago may do harm now.
type Remedies struct {
	Rules []Remedy
	// Allowed: without it, actions are only told.
	Allowed bool
	// Told is called with each action.
	Told func(Action)
	// DropCaches is the kernel's file; "": /proc/sys/vm/drop_caches.
	DropCaches string
	// Now is the machine's clock; nil: time.Now.
	Now func() time.Time

	mu   sync.Mutex
	last map[int]time.Time // of the latest action of a rule
}

// Name is that of a sink.
func (*Remedies) Name() string { return "remedies" }

// Send acts on an alert as each rule that fits says.
func (s *Remedies) Send(ctx context.Context, a *Alert) error {
	for i := range s.Rules {
		if r := &s.Rules[i]; r.fits(a) && s.due(i) {
			s.Told(s.act(ctx, r, a))
		}
	}
	return nil
}

// due reports whether a rule may act again, and takes it that it does.
func (s *Remedies) due(rule int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if last, ok := s.last[rule]; ok && now.Sub(last).Abs() < s.Rules[rule].Every.or(10*time.Minute) {
		return false
	}
	if s.last == nil {
		s.last = map[int]time.Time{}
	}
	s.last[rule] = now
	return true
}

func (s *Remedies) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// act does what a rule says, or says what it would do.
func (s *Remedies) act(ctx context.Context, r *Remedy, a *Alert) Action {
	done := Action{Time: s.now(), Remedy: r.Name, Alert: a.ID, DryRun: !s.Allowed, Status: -1}
	var err error
	switch {
	case len(r.Run) > 0:
		if done.Done, err = r.argv(a); err == nil && s.Allowed {
			err = run(ctx, &done, r.Timeout.or(time.Minute))
		}
	case r.Signal != "":
		if err = watched(a); err == nil {
			done.Done = []string{fmt.Sprintf("signal %s to process %d", r.Signal, a.Process.PID)}
		}
		if err == nil && s.Allowed {
			err = signal(a.Process, r.signal)
		}
	default:
		file := s.DropCaches
		if file == "" {
			file = "/proc/sys/vm/drop_caches"
		}
		done.Done = []string{fmt.Sprintf("%d to %s", r.DropCaches, file)}
		if s.Allowed {
			err = writeTo(file, strconv.Itoa(r.DropCaches)+"\n")
		}
	}
	if err != nil {
		done.Error = err.Error()
	}
	return done
}

// watched is an error unless the alert is of a process that is still there.
func watched(a *Alert) error {
	switch {
	case a.Process == nil:
		return fmt.Errorf("%s is no process: watch one with --pid", a.Source)
	case !a.Process.Alive():
		return fmt.Errorf("process %d has ended", a.Process.PID)
	}
	return nil
}

// placeholders are the arguments that stand for something of the alert.
var placeholders = map[string]func(*Alert) string{
	"{pid}":    func(a *Alert) string { return strconv.Itoa(a.Process.PID) },
	"{source}": func(a *Alert) string { return plain(a.Source) },
	"{site}":   func(a *Alert) string { return plain(a.Site) },
	"{level}":  func(a *Alert) string { return a.Level.String() },
	"{bytes}":  func(a *Alert) string { return strconv.FormatInt(a.Bytes, 10) },
	"{id}":     func(a *Alert) string { return a.ID },
}

// argv is the arguments for an alert.
func (r *Remedy) argv(a *Alert) ([]string, error) {
	var argv []string
	for _, arg := range r.Run {
		if arg == "{pid}" {
			if err := watched(a); err != nil {
				return nil, err
			}
		}
		if of, ok := placeholders[arg]; ok {
			arg = of(a)
		}
		argv = append(argv, arg)
	}
	return argv, nil
}

// run runs a program, and notes down how it ends.
func run(ctx context.Context, done *Action, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, done.Done[0], done.Done[1:]...)
	cmd.WaitDelay = time.Second
	var said clipped
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	done.Output = strings.ToValidUTF8(string(bytes.TrimSpace(said)), "\uFFFD")
	if cmd.ProcessState != nil {
		done.Status = cmd.ProcessState.ExitCode()
	}
	return err
}

// signal sends a signal to a process and to no other that has its number by now.
func signal(p *ProcessID, s syscall.Signal) error {
	handle, err := os.FindProcess(p.PID) // holds on to the process, where the kernel can
	if err != nil {
		return err
	}
	defer handle.Release()
	if !p.Alive() {
		return fmt.Errorf("process %d has ended", p.PID)
	}
	return handle.Signal(s)
}

// writeTo writes into a file of the kernel's, in one piece.
func writeTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
