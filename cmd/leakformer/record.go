package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
)

func (sh *shell) record() *cli.Command {
	return &cli.Command{
		Name:      "record",
		Usage:     "run a program so that its allocations are logged",
		ArgsUsage: "-- PROGRAM [ARGUMENT...] | --pid PID",
		Description: "heaptrack logs every call with its stack; valgrind too, without stacks, but slowly; mtrace with the caller alone.\n" +
			"Signals reach the program, and its exit status becomes this one. With --pid, eBPF probes log into heaptrack's format what a\n" +
			"process that runs already allocates and frees from then on: as root, on Linux 5.8 or later, for some 10 µs a call. Stacks are as\n" +
			"deep as its code has frame pointers: the caller is always known.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "tool", Value: "heaptrack", Usage: "`TOOL` that logs: heaptrack, valgrind or mtrace"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`LOG` to write (default: PROGRAM.PID.TOOL.log)"},
			&cli.IntFlag{Name: "pid", Usage: "attach to the process `PID`, which runs already, in place of a program to run"},
			&cli.IntFlag{Name: "sample", Value: 1, Usage: "with --pid, record the blocks at one of `N` addresses"},
		},
		Action: sh.recordAction,
	}
}

func (sh *shell) recordAction(c *cli.Context) error {
	if c.IsSet("pid") {
		return sh.recordAttached(c)
	}
	if !c.Args().Present() {
		return usagef("record: name a program: leakformer record -- PROGRAM ARGUMENT...")
	}
	tool, ok := recorders[c.String("tool")]
	if !ok {
		return usagef("record: --tool %s: want heaptrack, valgrind or mtrace", c.String("tool"))
	}
	program, err := exec.LookPath(c.Args().First())
	if err != nil {
		return err
	}
	log := cmp.Or(c.String("output"), fmt.Sprintf("%s.%d.%s.log", filepath.Base(program), os.Getpid(), c.String("tool")))
	if log, err = filepath.Abs(log); err != nil {
		return err
	}
	if err := claim(log); err != nil {
		return err
	}
	cmd := exec.Command(program, c.Args().Tail()...)
	cmd.Args[0] = c.Args().First()
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = sh.stdin, sh.stdout, sh.stderr, os.Environ()
	done, err := tool(cmd, log)
	if err != nil {
		return errors.Join(err, os.Remove(log))
	}
	defer done()
	err = sh.pass(cmd)
	if st, statErr := os.Stat(log); statErr != nil || st.Size() == 0 {
		sh.warn("%s is empty: was the program linked statically, did it change its user, or end with _exit before much was logged?", log)
	} else {
		sh.warn("the log is %s: leakformer score %s", log, log)
	}
	return err
}

// claim makes sure that the log can be written, and starts it empty.
func claim(log string) error {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// pass runs a command, hands on the signals that this process gets, and returns its
// status.
func (sh *shell) pass(cmd *exec.Cmd) error {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-signals:
				// What is typed at a terminal reaches the program anyway.
				if typed := s == syscall.SIGINT || s == syscall.SIGQUIT; !typed || !sh.terminal() {
					cmd.Process.Signal(s)
				}
			case <-ended:
				return
			}
		}
	}()
	err := cmd.Wait()
	close(ended)
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return err
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return exitStatus(128 + int(ws.Signal()))
	}
	return exitStatus(exit.ExitCode())
}

// exitStatus is the status of a program that was run, to be passed on.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// recorders change a command so that it writes a log. What they return is called
// when the command has ended.
var recorders = map[string]func(cmd *exec.Cmd, log string) (done func(), err error){
	"heaptrack": recordHeaptrack,
	"valgrind":  recordValgrind,
	"mtrace":    recordMtrace,
}

// recordHeaptrack loads heaptrack's library, as `heaptrack --raw` does, but without
// its compression: so the log can be followed.
func recordHeaptrack(cmd *exec.Cmd, log string) (func(), error) {
	for _, dir := range []string{"/usr/lib/heaptrack", "/usr/lib/*/heaptrack", "/usr/local/lib/heaptrack", "/usr/lib64/heaptrack"} {
		if found, _ := filepath.Glob(filepath.Join(dir, "libheaptrack_preload.so")); len(found) > 0 {
			preload(cmd, found[0])
			cmd.Env = append(cmd.Env, "DUMP_HEAPTRACK_OUTPUT="+log)
			return func() {}, nil
		}
	}
	return nil, errors.New("heaptrack is not installed: apt-get install heaptrack")
}

func recordValgrind(cmd *exec.Cmd, log string) (func(), error) {
	valgrind, err := exec.LookPath("valgrind")
	if err != nil {
		return nil, errors.New("valgrind is not installed: apt-get install valgrind")
	}
	cmd.Args = append([]string{"valgrind", "--trace-malloc=yes", "--time-stamp=yes", "--leak-check=no", "--undef-value-errors=no",
		"--log-file=" + strings.ReplaceAll(log, "%", "%%"), "--", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = valgrind
	return func() {}, nil
}

// mtraceStarter calls glibc's mtrace() when a program starts, unless a parent of it
// has: they would write into one file.
const mtraceStarter = `#include <mcheck.h>
#include <stdlib.h>
__attribute__((constructor)) static void start(void) {
	mtrace();
	unsetenv("MALLOC_TRACE");
	unsetenv("LD_PRELOAD");
}
`

// recordMtrace has glibc log, without a change to the program.
func recordMtrace(cmd *exec.Cmd, log string) (func(), error) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		return nil, errors.New("mtrace needs a C compiler to start it in programs that do not: apt-get install gcc libc6-dev")
	}
	found, _ := filepath.Glob("/lib/*/libc_malloc_debug.so.0")
	if len(found) == 0 {
		return nil, errors.New("libc_malloc_debug.so.0 is not installed: mtrace needs glibc 2.34 or later (apt-get install libc6)")
	}
	dir, err := os.MkdirTemp("", "leakformer-mtrace-*")
	if err != nil {
		return nil, err
	}
	done := func() { os.RemoveAll(dir) }
	library := filepath.Join(dir, "start.so")
	build := exec.Command(cc, "-shared", "-fPIC", "-O", "-x", "c", "-o", library, "-")
	build.Stdin = strings.NewReader(mtraceStarter)
	if said, err := build.CombinedOutput(); err != nil {
		done()
		return nil, fmt.Errorf("compiling what starts mtrace: %w: %s", err, said)
	}
	preload(cmd, found[0]+":"+library)
	cmd.Env = append(cmd.Env, "MALLOC_TRACE="+log)
	return done, nil
}

// preload has a program load libraries before its own.
func preload(cmd *exec.Cmd, libraries string) {
	if others := os.Getenv("LD_PRELOAD"); others != "" {
		libraries += ":" + others
	}
	cmd.Env = append(cmd.Env, "LD_PRELOAD="+libraries)
}
