package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/urfave/cli/v2"

	"leakformer/ingest"
)

func (sh *shell) simulate() *cli.Command {
	return &cli.Command{
		Name:  "simulate",
		Usage: "be a process that leaks, to try out what watches it",
		Description: "Allocates --size bytes every --interval, writes to every page, and keeps them; beside it allocates buffers that it\n" +
			"lets go. The log has Valgrind's trace-malloc lines; leakformer monitor finds it.",
		Flags: []cli.Flag{
			sizeFlag("size", "1MB", "`BYTES` that each leak takes"),
			&cli.IntFlag{Name: "count", Usage: "end after this `NUMBER` of leaks (0: when interrupted)"},
			&cli.DurationFlag{Name: "interval", Value: time.Second, Usage: "`TIME` between two leaks"},
			&cli.BoolFlag{Name: "cleanup", Usage: "free all before the end"},
			&cli.StringFlag{Name: "log", Usage: "`FILE` to write what is allocated and freed to (default: one in the user's cache folder, which goes when the process does)"},
		},
		Action: sh.simulateAction,
	}
}

func (sh *shell) simulateAction(c *cli.Context) error {
	size := sizeOf(c, "size")
	switch {
	case c.Args().Present():
		return usagef("simulate: what is %q for?", c.Args().First())
	case size < 1 || size > 1<<40:
		return usagef("simulate: --size %d: want 1 byte or more", size)
	case c.Int("count") < 0 || c.Duration("interval") < 0:
		return usagef("simulate: --count and --interval: want no negative number")
	}
	out, done, err := simulationLog(c.String("log"))
	if err != nil {
		return err
	}
	defer done()
	l := &leaker{size: int(size), log: bufio.NewWriter(out), pid: os.Getpid(), begun: time.Now()}
	fmt.Fprintf(sh.stderr, "leakformer: process %d leaks %d bytes every %v\n", l.pid, size, c.Duration("interval"))
	return l.run(c.Context, c.Int("count"), c.Duration("interval"), c.Bool("cleanup"))
}

// simulationLog opens the log. One that nobody named lies where [simulations] looks for
// it until the process ends.
func simulationLog(path string) (out io.Writer, done func(), err error) {
	temporary := path == ""
	if temporary {
		dir, err := simulationDir()
		if err == nil {
			err = os.MkdirAll(dir, 0o700)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%w; name a file with --log", err)
		}
		for _, old := range simulationLogs(dir) {
			if !old.alive {
				os.Remove(old.path)
			}
		}
		path = filepath.Join(dir, fmt.Sprintf("%d.log", os.Getpid()))
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, nil, err
	}
	return f, func() {
		f.Close()
		if temporary {
			os.Remove(path)
		}
	}, nil
}

func simulationDir() (string, error) {
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "leakformer", "simulate"), err
}

// simulations are the logs that simulate is writing for this user.
func simulations() (logs []string) {
	dir, err := simulationDir()
	if err != nil {
		return nil
	}
	for _, l := range simulationLogs(dir) {
		if l.alive {
			logs = append(logs, l.path)
		}
	}
	return logs
}

// simulationFile is a log in the folder of simulations, whose name is its process's
// number.
type simulationFile struct {
	path  string
	alive bool
}

func simulationLogs(dir string) (logs []simulationFile) {
	found, _ := filepath.Glob(filepath.Join(ingest.EscapeGlob(dir), "*.log"))
	for _, path := range found {
		pid, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(path), ".log"))
		if err == nil && pid > 0 {
			logs = append(logs, simulationFile{path, syscall.Kill(pid, 0) == nil})
		}
	}
	return logs
}

// leaker leaks, and writes what it does as Valgrind does.
type leaker struct {
	size  int
	log   *bufio.Writer
	pid   int
	begun time.Time
	kept  [][]byte
}

// buffers is how many buffers are used beside each leak: what is normal.
const buffers = 20

func (l *leaker) run(ctx context.Context, count int, interval time.Duration, cleanup bool) error {
	for n := 0; (count == 0 || n < count) && ctx.Err() == nil; n++ {
		for i := range buffers {
			l.free(l.alloc("malloc", 64+16*(i%8)))
		}
		l.kept = append(l.kept, l.alloc("malloc", l.size))
		if err := l.log.Flush(); err != nil {
			return err
		}
		sleep(ctx, interval)
	}
	if cleanup {
		for _, b := range l.kept {
			l.free(b)
		}
		l.kept = nil
	}
	return l.log.Flush()
}

// alloc takes memory and writes to each page, so that it is really there.
func (l *leaker) alloc(function string, size int) []byte {
	b := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		b[i] = 1
	}
	l.write("%s(%d) = 0x%X", function, size, address(b))
	return b
}

func (l *leaker) free(b []byte) { l.write("free(0x%X)", address(b)) }

func address(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

func (l *leaker) write(format string, args ...any) {
	t := time.Since(l.begun)
	fmt.Fprintf(l.log, "--%02d:%02d:%02d:%06.3f %d-- %s\n", int(t.Hours())/24, int(t.Hours())%24, int(t.Minutes())%60,
		math.Mod(t.Seconds(), 60), l.pid, fmt.Sprintf(format, args...))
}

// size is a flag's number of bytes.
type size int64

func sizeFlag(name, value, usage string) cli.Flag {
	var s size
	if err := s.Set(value); err != nil {
		panic(err)
	}
	return &cli.GenericFlag{Name: name, Value: &s, Usage: usage}
}

func sizeOf(c *cli.Context, name string) int64 { return int64(*c.Generic(name).(*size)) }

// Set reads a number with a unit: 1500, 10k, 1.5MB, 64MiB.
func (s *size) Set(text string) error {
	digits := strings.TrimRight(text, "bBiIkKmMgGtT")
	unit := strings.TrimSuffix(strings.ToLower(text[len(digits):]), "b")
	scale, ok := map[string]float64{"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}[unit]
	n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	if err != nil || !ok || !(n >= 0 && n*scale < 1<<62) {
		return fmt.Errorf("%q is no number of bytes: want one such as 1500, 10k, 1MB or 64MiB", text)
	}
	*s = size(n * scale)
	return nil
}

func (s *size) String() string {
	n := int64(*s)
	for _, u := range []struct {
		scale int64
		name  string
	}{{1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if n >= u.scale && n%u.scale == 0 {
			return fmt.Sprintf("%d%s", n/u.scale, u.name)
		}
	}
	return strconv.FormatInt(n, 10)
}
