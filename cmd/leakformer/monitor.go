package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"leakformer/detect/monitor"
	"leakformer/detect/report"
	"leakformer/ingest"
	"leakformer/tokenize"
)

func (sh *shell) monitor() *cli.Command {
	return &cli.Command{
		Name:      "monitor",
		Usage:     "watch memory while it is used, and tell when it leaks",
		ArgsUsage: "[SOURCE...]",
		Description: "A SOURCE is a log that grows or a FIFO, of any format that score reads; - for standard input, for example of bcc's\n" +
			"memleak; or the URL of a Go program's heap profile, http://HOST/debug/pprof/heap. The classic rule (growth by --threshold, --consecutive\n" +
			"times in a row) and the model judge side by side. Exits with status 3 if there were alerts.",
		Flags: append(monitorSources(),
			&cli.DurationFlag{Name: "interval", Value: 10 * time.Second, Usage: "`TIME` between two looks"},
			&cli.BoolFlag{Name: "steady", Usage: "keep to --interval also when the processors are busy (else up to 8 times as long)"},
			&cli.DurationFlag{Name: "duration", Usage: "end after this `TIME` (0: when interrupted, or when all sources have ended)"},
			growthFlag(), minSizeFlag(),
			&cli.IntFlag{Name: "consecutive", Value: 3, Usage: "`NUMBER` of times in a row that it takes to call growth a leak"},
			modelFlag(), &listFlag{referenceFlag()},
			&cli.Float64Flag{Name: "model-threshold", Usage: "`P` from which on the model calls a site a leak (default: its own)"},
			sizeFlag("critical", "100MB", "`BYTES` leaked, times P, above which an alert is CRITICAL"),
			sizeFlag("critical-shallow", "50MB", "the same for call stacks of fewer than 3 frames"),
			sizeFlag("warning", "10MB", "`BYTES` leaked, times P, above which an alert is a WARNING"),
			&cli.StringFlag{Name: "webhook", Usage: "`URL` to post each alert to"},
			&listFlag{&cli.StringSliceFlag{Name: "command", Usage: "`PROGRAM` and its arguments to run for each alert, which is JSON on its standard input; an argument that begins with - is written --command=-x"}},
			&cli.StringFlag{Name: "format", Value: "text", Usage: "of the alerts: text, or jsonl with one object a line"},
			&cli.StringFlag{Name: "log-dir", Usage: "`FOLDER` to keep copies of polled sources in, for score, and the alerts"},
			&cli.StringFlag{Name: "state", Usage: "`FILE` for what is known of each site (default: in the user's cache folder; none: nowhere)"},
			threadsFlag(), logFormatFlag(),
		),
		Action: sh.monitorAction,
	}
}

func monitorSources() []cli.Flag {
	return []cli.Flag{
		&cli.IntSliceFlag{Name: "pid", Usage: "watch the process `PID`; may be repeated"},
		&cli.BoolFlag{Name: "system", Usage: "watch the machine: meminfo, and as root slabinfo and vmallocinfo"},
		&cli.StringFlag{Name: "kmemleak", Usage: "watch the kernel's leak detector: `FILE`, usually " + monitor.KmemleakPath},
		&cli.BoolFlag{Name: "clear", Usage: "with --kmemleak, have the kernel forget its suspects first"},
		&cli.DurationFlag{Name: "idle", Usage: "take a log that has not grown for this `TIME` for ended (0: never)"},
	}
}

func (sh *shell) monitorAction(c *cli.Context) error {
	if err := checkMonitor(c); err != nil {
		return err
	}
	probes, err := sh.probes(c)
	if err != nil {
		return err
	}
	cfg, done, err := sh.monitorConfig(c)
	if err != nil {
		return err
	}
	defer done()
	sinks, err := sh.sinks(c)
	if err != nil {
		return err
	}
	m, err := monitor.New(*cfg, sinks...)
	if err != nil {
		return err
	}
	if c.Duration("duration") > 0 {
		ctx, stop := context.WithTimeout(c.Context, c.Duration("duration"))
		defer stop()
		c.Context = ctx
	}
	w := &watching{sh: sh, c: c, m: m}
	err = w.all(probes, logSources(c))
	if err == nil && m.Alerts() > 0 {
		return errLeaks
	}
	return err
}

func checkMonitor(c *cli.Context) error {
	switch f := c.String("format"); {
	case !c.Args().Present() && len(c.IntSlice("pid")) == 0 && !c.Bool("system") && c.String("kmemleak") == "":
		return usagef("monitor: name a log or URL, or --pid, --system or --kmemleak")
	case f != "text" && f != "jsonl":
		return usagef("--format %s: want text or jsonl", f)
	case c.Duration("interval") <= 0:
		return usagef("monitor: --interval %v: want more than 0", c.Duration("interval"))
	case c.Duration("duration") < 0 || c.Duration("idle") < 0 || !(c.Float64("threshold") >= 0):
		return usagef("monitor: --duration, --idle and --threshold: want no negative number")
	case c.Int("consecutive") < 1:
		return usagef("monitor: --consecutive %d: want at least 1", c.Int("consecutive"))
	case c.Bool("clear") && c.String("kmemleak") == "":
		return usagef("monitor: --clear needs --kmemleak")
	case !(c.Float64("model-threshold") >= 0 && c.Float64("model-threshold") <= 1):
		return usagef("monitor: --model-threshold %v: want a probability, 0 to 1", c.Float64("model-threshold"))
	}
	return nil
}

// probes are the sources that have to be asked.
func (sh *shell) probes(c *cli.Context) ([]*monitor.Probe, error) {
	var probes []*monitor.Probe
	add := func(p *monitor.Probe, err error) error {
		probes = append(probes, p)
		return err
	}
	for _, pid := range c.IntSlice("pid") {
		if err := add(monitor.Process(pid)); err != nil {
			return nil, err
		}
	}
	for _, arg := range c.Args().Slice() {
		if isURL(arg) {
			if err := add(monitor.HeapURL(arg)); err != nil {
				return nil, err
			}
		}
	}
	if path := c.String("kmemleak"); path != "" {
		k := monitor.Kmemleak{Path: path, Trigger: path == monitor.KmemleakPath}
		if err := add(k.Probe()); err != nil {
			return nil, err
		}
		if c.Bool("clear") {
			if !k.Trigger {
				return nil, usagef("monitor: --clear writes to %s alone", monitor.KmemleakPath)
			}
			if err := k.Clear(); err != nil {
				return nil, err
			}
		}
	}
	if c.Bool("system") {
		found, why := monitor.System()
		for _, w := range why {
			sh.warn("left out: %s", w)
		}
		probes = append(probes, found...)
	}
	return probes, nil
}

func isURL(arg string) bool {
	return strings.HasPrefix(arg, "http://") || strings.HasPrefix(arg, "https://")
}

// logSources are the sources that are read to their end.
func logSources(c *cli.Context) []string {
	var logs []string
	for _, arg := range c.Args().Slice() {
		if !isURL(arg) {
			logs = append(logs, arg)
		}
	}
	return logs
}

// monitorConfig loads the model, if there is to be one; done closes it.
func (sh *shell) monitorConfig(c *cli.Context) (cfg *monitor.Config, done func(), err error) {
	state := c.String("state")
	switch state {
	case "none":
		state = ""
	case "":
		if state, err = statePath(append(c.Args().Slice(), fmt.Sprint(c.IntSlice("pid"), c.Bool("system"), c.String("kmemleak")))); err != nil {
			return nil, nil, err
		}
	}
	cfg = &monitor.Config{
		Growth: monitor.Growth{Threshold: c.Float64("threshold") / 100, Consecutive: c.Int("consecutive"), MinSize: sizeOf(c, "min-size")},
		Limits: monitor.Limits{Critical: sizeOf(c, "critical"), Shallow: sizeOf(c, "critical-shallow"), Warning: sizeOf(c, "warning")},
		State:  state,
		Log:    slog.New(slog.NewTextHandler(sh.stderr, nil)),
	}
	if c.String("model") == noModel {
		return cfg, func() {}, nil
	}
	t, err := sh.loadModel(c.String("model"), c.Int("threads"))
	if err != nil {
		return nil, nil, err
	}
	cfg.Scorer, cfg.Thresholds = t, t.threshold
	if c.IsSet("model-threshold") {
		cfg.Threshold, cfg.Thresholds = c.Float64("model-threshold"), nil
	}
	cfg.Reference = func(run *tokenize.Run) tokenize.Reference { return tokenize.Choose(t.checkpoint.Histories, run) }
	cfg.Judges = hasSites
	if logs := c.StringSlice("reference"); len(logs) > 0 {
		clean, err := sh.histories(c, logs)
		if err != nil {
			t.Close()
			return nil, nil, err
		}
		cfg.Reference = func(*tokenize.Run) tokenize.Reference { return clean }
	}
	return cfg, func() { t.Close() }, nil
}

// hasSites reports whether a run is of allocation sites, which is what models learn
// from. Of the kernel's pools they know nothing: the caches of a machine at rest
// looked like leaks by the dozen.
func hasSites(run *tokenize.Run) bool {
	switch run.Report.Format {
	case "meminfo", "smaps-rollup", "slabinfo", "vmallocinfo", "allocinfo":
		return false
	}
	return true
}

// sinks are where alerts go.
func (sh *shell) sinks(c *cli.Context) ([]monitor.Sink, error) {
	var log monitor.Sink = textAlerts{sh.stdout}
	if c.String("format") == "jsonl" {
		log = monitor.JSONLines{W: sh.stdout}
	}
	sinks := []monitor.Sink{log}
	if dir := c.String("log-dir"); dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		sinks = append(sinks, alertFile(filepath.Join(dir, "alerts.jsonl")))
	}
	if url := c.String("webhook"); url != "" {
		if !isURL(url) {
			return nil, usagef("monitor: --webhook %s: want a URL", url)
		}
		sinks = append(sinks, &monitor.Webhook{URL: url})
	}
	if argv := c.StringSlice("command"); len(argv) > 0 {
		sinks = append(sinks, &monitor.Command{Argv: argv})
	}
	return sinks, nil
}

// textAlerts writes alerts for people.
type textAlerts struct{ w io.Writer }

func (textAlerts) Name() string { return "log" }

func (t textAlerts) Send(_ context.Context, a *monitor.Alert) error {
	what := a.Level.String()
	if a.Resolved {
		what = "resolved"
	}
	_, err := fmt.Fprintf(t.w, "%s  %-8s  %9s  %-12s  %s\n", a.Time.Format(time.TimeOnly), what, report.Bytes(a.Bytes), strings.Join(a.FiredBy, "+"), printableLine(a.Message))
	return err
}

// printableLine keeps a name in a log from writing lines of its own.
func printableLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

// alertFile appends alerts to a file, which may be moved away meanwhile.
type alertFile string

func (f alertFile) Name() string { return "file " + string(f) }

func (f alertFile) Send(ctx context.Context, a *monitor.Alert) error {
	file, err := os.OpenFile(string(f), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(monitor.JSONLines{W: file}.Send(ctx, a), file.Close())
}

// watching is one monitor command: what its sources share.
type watching struct {
	sh *shell
	c  *cli.Context
	m  *monitor.Monitor
}

// flushTime is how long the end waits for sinks.
const flushTime = 5 * time.Second

// all watches the sources until each has ended, or the context has; then it delivers
// what is left.
func (w *watching) all(probes []*monitor.Probe, logs []string) error {
	deliver, stop := context.WithCancel(context.WithoutCancel(w.c.Context))
	var delivering, sources sync.WaitGroup
	for _, o := range w.m.Outboxes() {
		delivering.Go(func() { o.Run(deliver) })
	}
	errs := make([]error, len(probes)+len(logs))
	for i, p := range probes {
		sources.Go(func() { errs[i] = w.probe(p) })
	}
	for i, path := range logs {
		sources.Go(func() { errs[len(probes)+i] = w.log(path) })
	}
	sources.Wait()
	stop()
	delivering.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(w.c.Context), flushTime)
	defer cancel()
	for _, o := range w.m.Outboxes() {
		if err := o.Flush(last); err != nil {
			w.sh.warn("%v", err)
		}
	}
	return errors.Join(errs...)
}

// pace is that of one source.
func (w *watching) pace() *monitor.Pace {
	p := &monitor.Pace{Interval: w.c.Duration("interval")}
	if !w.c.Bool("steady") {
		p.Load = monitor.CPULoad()
	}
	return p
}

// probe watches a source that has to be asked.
func (w *watching) probe(p *monitor.Probe) error {
	ctx := context.WithoutCancel(w.c.Context)
	s := monitor.Watch(w.c.Context, p, w.pace())
	if dir := w.c.String("log-dir"); dir != "" {
		keep := &monitor.Keeper{Dir: dir}
		s.Kept = func(data []byte) error { return keep.Keep(p, data) }
	}
	said := ""
	s.Failed = func(err error) {
		if err.Error() != said { // A server that is down stays so for a while.
			said = err.Error()
			w.sh.warn("%v", err)
		}
	}
	loader := tokenize.NewLoader(s)
	s.Looked = func(g *monitor.Gauge, scan monitor.Scan) error {
		said = ""
		if p.Scans && scan.New+scan.Vanished > 0 {
			w.sh.warn("%s: %d new, %d persisting, %d vanished", p.Name, scan.New, scan.Persisting, scan.Vanished)
		}
		w.sh.log.Debug("looked", "source", p.Name, "entries", s.Report().Records)
		run := loader.Runs()[0]
		return w.m.Look(ctx, p.Source, run, run.Events, g)
	}
	if err := loader.Read(ctx); err != nil {
		return err
	}
	if w.c.Context.Err() == nil {
		w.sh.warn("%s is gone", p.Name)
	}
	return nil
}

// log watches a source that is read to its end.
func (w *watching) log(path string) error {
	st, err := os.Stat(path)
	if path != "-" && err != nil {
		return err
	}
	if path != "-" && st.Mode().IsRegular() {
		return w.sh.follow(w.c, path, w.c.String("log-format"), func(ctx context.Context, src ingest.Source, f *ingest.Follower) error {
			return w.read(ctx, src, func(quiet func()) { f.Quiet = quiet })
		})
	}
	pipe := monitor.ReadPipe(w.c.Context, func() (io.ReadCloser, error) {
		if path == "-" {
			return io.NopCloser(w.sh.stdin), nil
		}
		return os.Open(path)
	})
	name := path
	if path == "-" {
		name = stdinName
	}
	src, err := ingest.NewSource(name, pipe, ingest.Options{Format: w.c.String("log-format")})
	if err != nil && w.c.Context.Err() != nil {
		return nil // Nothing ever came.
	}
	if err != nil {
		return err
	}
	err = w.read(context.WithoutCancel(w.c.Context), src, func(quiet func()) { pipe.Quiet = quiet })
	return errors.Join(err, src.Close())
}

// read looks at each process of a log now and then while it is read, and at its end.
func (w *watching) read(ctx context.Context, src ingest.Source, onQuiet func(func())) error {
	tail := &monitor.Tail{Source: src}
	loader := tokenize.NewLoader(tail)
	snapshots := src.Report().Class == ingest.Snapshots
	var failed error
	seen := int64(0)
	look := func() {
		settled := tail.Settled()
		if failed != nil || snapshots && settled == seen {
			return // The growth rule counts snapshots.
		}
		seen = settled
		runs := loader.Runs()
		for _, run := range runs {
			cut := run.Events
			if len(runs) == 1 {
				cut = min(cut, uint32(settled))
			}
			failed = errors.Join(failed, w.m.Look(ctx, monitor.Source{Name: run.Name}, run, cut, nil))
		}
	}
	pace := w.pace()
	next := time.Now().Add(pace.Next())
	onQuiet(func() {
		if time.Now().After(next) {
			look()
			next = time.Now().Add(pace.Next())
		}
	})
	err := loader.Read(ctx)
	if err == nil {
		look()
	}
	w.sh.warnings(src.Report())
	return errors.Join(err, failed)
}
