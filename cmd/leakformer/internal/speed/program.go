package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// interpreter turns raw files of heaptrack into interpreted ones.
const interpreter = "/usr/lib/heaptrack/libexec/heaptrack_interpret"

// reading compares the way from a log to Arrow with heaptrack's own programs.
func (m *measurer) reading() error {
	log, err := m.record("perl", 400_000, false)
	if err != nil {
		return err
	}
	raw, err := m.record("perl.raw", 400_000, true)
	if err != nil {
		return err
	}
	arrow := filepath.Join(m.dir, "run.arrow")
	for _, c := range []struct {
		task         string
		ours, theirs task
		least        float64
	}{
		{"heaptrack file to Arrow, 1 core, beside heaptrack_print", m.command("taskset", "-c", "0", m.program, "ingest", "-o", arrow, log), m.command("taskset", "-c", "0", "heaptrack_print", "-f", log), 1},
		{"heaptrack file to Arrow, all cores, beside heaptrack_print", m.command(m.program, "ingest", "-o", arrow, log), m.command("heaptrack_print", "-f", log), 1.7},
		{"raw heaptrack file to Arrow, all cores, beside heaptrack_interpret", m.command(m.program, "ingest", "-o", arrow, raw), m.command("sh", "-c", `zstd -dc "$1" | "$0"`, interpreter, raw), 1},
	} {
		our, their, err := m.alternate(c.ours, c.theirs)
		if err != nil {
			return err
		}
		m.add("reading", compared(c.task, "s", our, their, clock, c.least))
	}
	return nil
}

// score compares the way from a log of ten million events to findings with the time
// that heaptrack_print takes to print it.
func (m *measurer) score() error {
	log, err := m.record("long", 1_700_000, false)
	if err != nil {
		return err
	}
	our, their, err := m.rounds(3, m.command(m.program, "score", log), m.command("heaptrack_print", "-f", log))
	if err != nil {
		return err
	}
	r := compared("score of a heaptrack file, beside heaptrack_print", "s", our, their, clock, 0.5)
	if r.Note, err = m.events(log); err != nil {
		return err
	}
	m.add("score", r)
	m.add("score", row{Task: "peak memory of that", Unit: "MiB", Ours: each(our, memory), Theirs: each(their, memory), Ratio: ratios(our, their, memory)})
	return nil
}

// events tells of how many events a log is.
func (m *measurer) events(log string) (string, error) {
	out, err := exec.CommandContext(m.ctx, m.program, "check", log).Output()
	if err != nil {
		return "", err
	}
	_, rest, _ := strings.Cut(string(out), "events ")
	number, _, _ := strings.Cut(strings.TrimSpace(rest), ":")
	return number + " events", nil
}

// record has heaptrack record a Perl program of so many rounds, which allocates and
// frees seven blocks in each.
func (m *measurer) record(name string, rounds int, raw bool) (string, error) {
	code := fmt.Sprintf(`my (%%h, @l);
for my $i (1..%d) {
	my $k = "key" . ($i*7919 %% 100003);
	$h{$k} = [$i, "v" x ($i %% 97)];
	push @l, {a => $i} if $i %% 50 == 0;
	delete $h{"key" . ($i*31 %% 100003)} if $i %% 3;
}`, rounds)
	args := []string{"-o", filepath.Join(m.dir, name), "perl", "-e", code}
	if raw {
		args = append([]string{"--raw"}, args...)
	}
	fmt.Fprintf(m.log, "recording %s ...\n", name)
	out, err := exec.CommandContext(m.ctx, "heaptrack", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("heaptrack: %w\n%s", err, out)
	}
	log := filepath.Join(m.dir, name+".zst")
	if raw {
		log = filepath.Join(m.dir, name+".raw.zst")
	}
	_, err = os.Stat(log)
	return log, err
}

// unpack is the path of what is packed in a file.
func (m *measurer) unpack(path string) (string, error) {
	to := filepath.Join(m.dir, strings.TrimSuffix(filepath.Base(path), ".zst"))
	out, err := exec.CommandContext(m.ctx, "zstd", "-qdfo", to, path).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("zstd: %w\n%s", err, out)
	}
	return to, err
}

// stream measures how soon the first leak is found in a log that is there already, and
// in one that is being written.
func (m *measurer) stream() error {
	log, err := m.unpack(filepath.Join(m.logs, "leaky.zst"))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(log)
	if err != nil {
		return err
	}
	live := m.file("live")
	for _, s := range []struct {
		task  string
		first task
	}{
		{"first finding of score --follow, from the start of the program", func() (cost, error) { return m.firstFinding(log) }},
		{"the same of a log that is written from then on, in half a second", func() (cost, error) {
			written := make(chan error, 1)
			if err := os.WriteFile(live, nil, 0o644); err != nil {
				return cost{}, err
			}
			go func() { written <- writeSlowly(live, text, time.Second/2) }()
			c, err := m.firstFinding(live)
			return c, errors.Join(err, <-written)
		}},
	} {
		our, _, err := m.alternate(s.first, nil)
		if err != nil {
			return err
		}
		m.add("stream", row{Task: s.task, Unit: "s", Ours: each(our, clock), Most: 1})
	}
	return nil
}

// firstFinding follows a log until something is found in it.
func (m *measurer) firstFinding(log string) (cost, error) {
	ctx, stop := context.WithTimeout(m.ctx, time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, m.program, "score", "--follow", "--format", "jsonl", "--reference", filepath.Join(m.logs, "clean.1.zst"), "--", log)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return cost{}, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return cost{}, err
	}
	found := bufio.NewScanner(out).Scan()
	clock := time.Since(start).Seconds()
	stop()
	cmd.Wait()
	if !found {
		return cost{}, fmt.Errorf("%v finds nothing", cmd.Args)
	}
	return costOfState(cmd.ProcessState, clock), nil
}

// writeSlowly appends a text to a file bit by bit.
func writeSlowly(path string, text []byte, over time.Duration) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	const bits = 50
	for bit := range slices.Chunk(text, len(text)/bits+1) {
		if _, err := f.Write(bit); err != nil {
			return err
		}
		time.Sleep(over / bits)
	}
	return nil
}

// size measures what long logs cost: they are written as they are read.
func (m *measurer) size() error {
	sizes := []struct {
		name   string
		events int
	}{{"1 M events", 1e6}, {"10 M events", 10e6}, {"100 M events", 100e6}}
	if !m.long {
		sizes = sizes[:2]
	}
	for _, s := range sizes {
		our, _, err := m.rounds(1, func() (cost, error) {
			cmd := exec.CommandContext(m.ctx, m.program, "score", "-")
			cmd.Stdin = newLog(s.events)
			return costOf(cmd)
		}, nil)
		if err != nil {
			return err
		}
		m.add("size", row{Task: "score of " + s.name, Unit: "s of the processor", Ours: each(our, processor)})
		m.add("size", row{Task: "peak memory of that", Unit: "MiB", Ours: each(our, memory), Most: 1536})
	}
	return nil
}

// start measures what is there before any work.
func (m *measurer) start() error {
	packed, err := m.record("small", 7_000, true)
	if err != nil {
		return err
	}
	log, err := m.unpack(packed)
	if err != nil {
		return err
	}
	st, err := os.Stat(log)
	if err != nil {
		return err
	}
	milliseconds := func(c cost) float64 { return 1e3 * c.clock }
	for _, c := range []struct {
		task string
		most float64
		args []string
	}{
		{"leakformer --help", 50, []string{"--help"}},
		{fmt.Sprintf("score of a log of %.1f MB", float64(st.Size())/1e6), 300, []string{"score", log}},
	} {
		our, _, err := m.rounds(10, m.command(m.program, c.args...), nil)
		if err != nil {
			return err
		}
		m.add("start", row{Task: c.task, Unit: "ms", Ours: each(our, milliseconds), Most: c.most})
	}
	return nil
}
