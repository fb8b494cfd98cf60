package monitor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// procTime is the mark before a copy of a file of /proc: `date +%s.%N`.
func procTime(at time.Time) string { return fmt.Sprintf("%d.%09d\n", at.Unix(), at.Nanosecond()) }

// Process is the probe of a process: its /proc/PID/smaps_rollup. It is gone when the
// process has ended, also where another has its number by then.
func Process(pid int) (*Probe, error) {
	process, err := identify(pid)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	path := fmt.Sprintf("/proc/%d/smaps_rollup", pid)
	if _, err := os.ReadFile(path); err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	take := func(context.Context) ([]byte, error) {
		if !process.Alive() {
			return nil, ErrGone
		}
		data, err := os.ReadFile(path)
		if err != nil || len(data) == 0 {
			return nil, ErrGone // A zombie has no memory.
		}
		return data, nil
	}
	source := Source{Name: fmt.Sprintf("pid %d", pid), Process: process}
	return &Probe{Source: source, Format: "smaps-rollup", Take: take, Gauge: kilobytes("RSS", "Rss:", ""), Mark: procTime}, nil
}

// System is the probes of the machine: what its memory is used for, the kernel's
// objects, and its vmalloc'ed areas. The latter two are for root; what cannot be read
// is left out, and said in why.
func System() (probes []*Probe, why []string) {
	for _, name := range []string{"meminfo", "slabinfo", "vmallocinfo"} {
		p := &Probe{Source: Source{Name: name, Kernel: true}, Format: name, Take: file("/proc/" + name), Mark: procTime}
		if name == "meminfo" {
			p.Gauge = kilobytes("memory in use", "MemTotal:", "MemAvailable:")
		}
		if _, err := p.Take(context.Background()); err != nil {
			why = append(why, err.Error())
			continue
		}
		probes = append(probes, p)
	}
	return probes, why
}

func file(path string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return os.ReadFile(path) }
}

// kilobytes reads the gauge that stands as "NAME N kB", less that of another row.
func kilobytes(name, row, less string) func([]byte) *Gauge {
	return func(copy []byte) *Gauge {
		n, ok := kilobytesOf(copy, row)
		if !ok {
			return nil
		}
		if less != "" {
			m, ok := kilobytesOf(copy, less)
			if !ok {
				return nil
			}
			n -= m
		}
		return &Gauge{name, n << 10}
	}
}

func kilobytesOf(copy []byte, row string) (int64, bool) {
	for line := range bytes.Lines(copy) {
		if rest, ok := bytes.CutPrefix(line, []byte(row)); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(rest)), " kB"), 10, 53)
			return n, err == nil
		}
	}
	return 0, false
}

// maxProfile bounds a profile that a server sends.
const maxProfile = 256 << 20

// HeapURL is the probe of a Go program's /debug/pprof/heap, or of any other URL that
// answers with a profile that ingest reads.
func HeapURL(address string) (*Probe, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%s: want a URL such as http://localhost:6060/debug/pprof/heap", address)
	}
	client := &http.Client{Timeout: 30 * time.Second}
	take := func(ctx context.Context) ([]byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return nil, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("the server answers %s", resp.Status)
		}
		data, err := io.ReadAll(io.LimitReader(resp.Body, maxProfile+1))
		if len(data) > maxProfile {
			return nil, fmt.Errorf("the profile is larger than %d bytes", maxProfile)
		}
		return data, err
	}
	return &Probe{Source: Source{Name: u.Redacted()}, Take: take}, nil
}

// Kmemleak is the file of the kernel's leak detector, or one like it.
type Kmemleak struct {
	// Path is usually [KmemleakPath].
	Path string
	// Trigger has the kernel scan before each copy: only for the file in debugfs,
	// where writing is not writing into a file.
	Trigger bool
}

// KmemleakPath is where the kernel shows its suspects.
const KmemleakPath = "/sys/kernel/debug/kmemleak"

// Probe returns the probe.
func (k Kmemleak) Probe() (*Probe, error) {
	if _, err := os.Stat(k.Path); err != nil {
		if errors.Is(err, fs.ErrNotExist) && k.Path == KmemleakPath {
			return nil, fmt.Errorf("%w: it takes a kernel with CONFIG_DEBUG_KMEMLEAK, started with kmemleak=on, and mount -t debugfs none /sys/kernel/debug", err)
		}
		return nil, err
	}
	take := func(context.Context) ([]byte, error) {
		if k.Trigger {
			if err := k.write("scan"); err != nil {
				return nil, err
			}
		}
		data, err := os.ReadFile(k.Path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, ErrGone
		}
		return data, err
	}
	mark := func(at time.Time) string { return "# kmemleak scan " + at.UTC().Format(time.RFC3339) + "\n" }
	return &Probe{Source: Source{Name: filepath.Base(k.Path), Kernel: true}, Format: "kmemleak", Take: take, Mark: mark, Scans: true}, nil
}

// Start has the kernel scan by itself, every ten minutes if it was not told otherwise.
func (k Kmemleak) Start() error { return k.write("scan=on") }

// Clear has the kernel forget its suspects: what is reported from now on is new.
func (k Kmemleak) Clear() error { return k.write("clear") }

func (k Kmemleak) write(command string) error {
	err := writeTo(k.Path, command)
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() == 0 {
		err = fmt.Errorf("%w: kmemleak is switched off until the kernel is started again, with kmemleak=on", err)
	}
	return err
}
