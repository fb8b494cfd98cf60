package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"leakformer/detect/monitor"
	"leakformer/tokenize"
)

func (sh *shell) monitor() *cli.Command {
	return &cli.Command{
		Name:      "monitor",
		Usage:     "watch memory while it is used, and tell when it leaks",
		ArgsUsage: "[SOURCE...]",
		Description: "A SOURCE is a log that grows or a FIFO, of any format that score reads; - for standard input, for example of bcc's\n" +
			"memleak; the URL of a Go program's heap profile, http://HOST/debug/pprof/heap; or a folder or pattern of files with a snapshot\n" +
			"each, as a Python program writes them with tracemalloc. Where none is named, the machine is watched, and what leakformer\n" +
			"simulate does. The classic rule (growth by --threshold, --consecutive times in a row) and the model judge side by side. With\n" +
			"--serve a page shows what was found and told. Exits with status 3 if there were alerts.",
		Flags: append(append(monitorSources(), storeFlags()...),
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
			&listFlag{&cli.StringSliceFlag{Name: "silence", Usage: "`PATTERN` of sources, sites or functions to tell nothing of, * for anything; PATTERN=2h for that time"}},
			&cli.DurationFlag{Name: "link-window", Value: 5 * time.Second, Usage: "`TIME` within which the kernel and a program grow to be one story"},
			&cli.StringFlag{Name: "webhook", Usage: "`URL` to post each alert to"},
			&cli.StringFlag{Name: "alertmanager", Usage: "`URL` of Prometheus's Alertmanager"},
			&cli.StringFlag{Name: "remedies", Usage: "`FILE` with rules of what to do about alerts: {\"remedies\": [{\"name\": \"gc\", \"source\": \"pid *\", \"run\": [\"jcmd\", \"{pid}\", \"GC.run\"]}]}"},
			&cli.BoolFlag{Name: "allow-remedies", Usage: "do what --remedies says (else it is only told)"},
			&listFlag{&cli.StringSliceFlag{Name: "command", Usage: "`PROGRAM` and its arguments to run for each alert, which is JSON on its standard input; an argument that begins with - is written --command=-x"}},
			&cli.StringFlag{Name: "format", Value: "text", Usage: "of the alerts: text, or jsonl with one object a line"},
			&cli.StringFlag{Name: "log-dir", Usage: "`FOLDER` to keep copies of polled sources in, for score, and the alerts"},
			&cli.StringFlag{Name: "state", Usage: "`FILE` for what is known of each site (default: in the user's cache folder; none: nowhere)"},
			&cli.BoolFlag{Name: "serve", Usage: "show on a page what is found"}, addrFlag(), tokenFlag(),
			threadsFlag(), deviceFlag(), logFormatFlag(),
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
	if unnamed(c) {
		sh.warn("no source is named: watching the machine (--system), and what leakformer simulate does")
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
	if c.Duration("duration") > 0 {
		ctx, stop := context.WithTimeout(c.Context, c.Duration("duration"))
		defer stop()
		c.Context = ctx
	}
	w := &watching{sh: sh, c: c}
	if c.Bool("serve") || c.String("store") != "" {
		if w.page, err = sh.openPage(c, cfg); err != nil {
			return err
		}
		defer w.page.close()
		sinks = append(sinks, w.page)
	}
	if w.m, err = monitor.New(*cfg, sinks...); err != nil {
		return err
	}
	err = w.all(probes, logSources(c))
	if err == nil && w.m.Alerts() > 0 {
		return errLeaks
	}
	return err
}

func checkMonitor(c *cli.Context) error {
	switch f := c.String("format"); {
	case f != "text" && f != "jsonl":
		return usagef("--format %s: want text or jsonl", f)
	case c.Duration("interval") <= 0:
		return usagef("monitor: --interval %v: want more than 0", c.Duration("interval"))
	case c.Duration("duration") < 0 || c.Duration("idle") < 0 || !(c.Float64("threshold") >= 0):
		return usagef("monitor: --duration, --idle and --threshold: want no negative number")
	case c.Duration("link-window") <= 0:
		return usagef("monitor: --link-window %v: want more than 0", c.Duration("link-window"))
	case c.Int("consecutive") < 1:
		return usagef("monitor: --consecutive %d: want at least 1", c.Int("consecutive"))
	case c.Bool("allow-remedies") && c.String("remedies") == "":
		return usagef("monitor: --allow-remedies needs --remedies")
	case c.Bool("clear") && c.String("kmemleak") == "":
		return usagef("monitor: --clear needs --kmemleak")
	case !(c.Float64("model-threshold") >= 0 && c.Float64("model-threshold") <= 1):
		return usagef("monitor: --model-threshold %v: want a probability, 0 to 1", c.Float64("model-threshold"))
	}
	return checkStore(c)
}

// unnamed reports whether no source is named.
func unnamed(c *cli.Context) bool {
	return !c.Args().Present() && len(c.IntSlice("pid")) == 0 && !c.Bool("system") && c.String("kmemleak") == ""
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
		var err error
		switch {
		case isURL(arg):
			err = add(monitor.HeapURL(arg))
		case isSnapshots(arg):
			err = add(monitor.Snapshots(arg))
		}
		if err != nil {
			return nil, err
		}
	}
	if path := c.String("kmemleak"); path != "" {
		k := monitor.Kmemleak{Path: path, Trigger: path == monitor.KmemleakPath}
		if err := add(k.Probe()); err != nil {
			return nil, err
		}
		if err := startKmemleak(k, c.Bool("clear")); err != nil {
			return nil, err
		}
	}
	if c.Bool("system") || unnamed(c) {
		found, why := monitor.System()
		for _, w := range why {
			sh.warn("left out: %s", w)
		}
		probes = append(probes, found...)
	}
	return probes, nil
}

// startKmemleak has the kernel scan, and forget what it suspects if asked to.
func startKmemleak(k monitor.Kmemleak, forget bool) error {
	switch {
	case !k.Trigger && forget:
		return usagef("monitor: --clear writes to %s alone", monitor.KmemleakPath)
	case !k.Trigger:
		return nil
	}
	err := k.Start()
	if err == nil && forget {
		err = k.Clear()
	}
	return err
}

func isURL(arg string) bool {
	return strings.HasPrefix(arg, "http://") || strings.HasPrefix(arg, "https://")
}

// isSnapshots reports whether an argument is a folder, or a pattern and no file's name.
func isSnapshots(arg string) bool {
	st, err := os.Stat(arg)
	return err == nil && st.IsDir() || err != nil && strings.ContainsAny(arg, "*?[")
}

// logSources are the sources that are read to their end.
func logSources(c *cli.Context) []string {
	var logs []string
	for _, arg := range c.Args().Slice() {
		if !isURL(arg) && !isSnapshots(arg) {
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
		Window: c.Duration("link-window"),
		State:  state,
		Log:    sh.troubles(),
	}
	for _, text := range c.StringSlice("silence") {
		silence, err := monitor.ParseSilence(text, time.Now())
		if err != nil {
			return nil, nil, usagef("--silence %s: %v", text, err)
		}
		cfg.Silences = append(cfg.Silences, silence)
	}
	if c.String("model") == noModel {
		return cfg, func() {}, nil
	}
	t, err := sh.loadModel(c.String("model"), computing(c))
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
		cfg.Reference = clean.For
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
