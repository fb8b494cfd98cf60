package datasets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// addrNoRandomize is ADDR_NO_RANDOMIZE of personality(2): with it every run of
// a program has its code at the same addresses, and a call path keeps its
// identity from one run to the next.
const addrNoRandomize = 0x0040000

// process is a program to run once.
type process struct {
	path  string // executable
	args  []string
	dir   string
	env   []string
	stdin string // file in dir; empty: no input
	drive func(ctx context.Context, program *os.Process) error
	exits []int // accepted exit statuses beside 0
}

// run runs the process to its end. Its output is thrown away but for the last
// words on standard error, which an error quotes.
func (p *process) run(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.path, p.args...)
	cmd.Dir, cmd.Env = p.dir, p.env
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var tail tailBuffer
	cmd.Stderr = &tail
	if p.stdin != "" {
		f, err := os.Open(filepath.Join(p.dir, p.stdin))
		if err != nil {
			return err
		}
		defer f.Close()
		cmd.Stdin = f
	}
	if err := startUnrandomized(cmd); err != nil {
		return err
	}
	driven := make(chan error, 1)
	go func() {
		if p.drive == nil {
			driven <- nil
			return
		}
		err := p.drive(ctx, cmd.Process)
		if err != nil {
			cancel() // a server that was not told to stop would run for ever
		}
		driven <- err
	}()
	err := cmd.Wait()
	if p.accepts(err) {
		err = nil
	}
	cause := ctx.Err()
	cancel()
	if driveErr := <-driven; driveErr != nil && err != nil {
		err = fmt.Errorf("client: %w", driveErr)
	} else if errors.Is(cause, context.DeadlineExceeded) {
		err = fmt.Errorf("not done after %v", timeout)
	}
	if err != nil && tail.String() != "" {
		err = fmt.Errorf("%w; it said: %s", err, tail.String())
	}
	return err
}

func (p *process) accepts(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err == nil
	}
	for _, code := range p.exits {
		if exit.ExitCode() == code {
			return true
		}
	}
	return false
}

// startUnrandomized starts the command with address randomisation off. The
// child inherits the setting from the thread that forks it.
func startUnrandomized(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const query = 0xffffffff
	old, _, errno := syscall.RawSyscall(syscall.SYS_PERSONALITY, query, 0, 0)
	if errno == 0 {
		_, _, errno = syscall.RawSyscall(syscall.SYS_PERSONALITY, old|addrNoRandomize, 0, 0)
	}
	if errno != 0 {
		return fmt.Errorf("switch address randomisation off (a container may forbid personality(2)): %w", errno)
	}
	defer syscall.RawSyscall(syscall.SYS_PERSONALITY, old, 0, 0)
	return cmd.Start()
}

// tailBuffer keeps the last 400 bytes written to it.
type tailBuffer struct{ b []byte }

func (t *tailBuffer) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if extra := len(t.b) - 400; extra > 0 {
		t.b = append(t.b[:0], t.b[extra:]...)
	}
	return len(p), nil
}

func (t *tailBuffer) String() string {
	return strings.TrimSpace(string(bytes.ToValidUTF8(t.b, []byte("?"))))
}
