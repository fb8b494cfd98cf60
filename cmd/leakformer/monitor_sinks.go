package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"leakformer/detect/monitor"
	"leakformer/detect/report"
)

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
	if url := c.String("alertmanager"); url != "" {
		if !isURL(url) {
			return nil, usagef("monitor: --alertmanager %s: want a URL", url)
		}
		host, _ := os.Hostname() // without it the label is left out
		sinks = append(sinks, &monitor.Alertmanager{URL: url, Instance: host})
	}
	if path := c.String("remedies"); path != "" {
		r, err := sh.remedies(c, path)
		if err != nil {
			return nil, err
		}
		sinks = append(sinks, r)
	}
	if argv := c.StringSlice("command"); len(argv) > 0 {
		sinks = append(sinks, &monitor.Command{Argv: argv})
	}
	return sinks, nil
}

// remedies reads the rules, and has each action told: in the log folder too.
func (sh *shell) remedies(c *cli.Context, path string) (*monitor.Remedies, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rules, err := monitor.ReadRemedies(path, f)
	if err != nil {
		return nil, err
	}
	told := func(a monitor.Action) {
		what := fmt.Sprintf("done, exit status %d", a.Status)
		switch {
		case a.Error != "":
			what = "failed: " + a.Error
		case a.DryRun:
			what = "not done without --allow-remedies"
		case a.Status < 0:
			what = "done"
		}
		sh.warn("remedy %s for alert %s: %s: %s", a.Remedy, a.Alert, printableLine(fmt.Sprintf("%q", a.Done)), what)
		if dir := c.String("log-dir"); dir != "" {
			if err := appendJSON(filepath.Join(dir, "remedies.jsonl"), a); err != nil {
				sh.warn("%v", err)
			}
		}
	}
	return &monitor.Remedies{Rules: rules, Allowed: c.Bool("allow-remedies"), Told: told}, nil
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

func (f alertFile) Send(_ context.Context, a *monitor.Alert) error { return appendJSON(string(f), a) }

func appendJSON(path string, value any) error {
	line, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return monitor.AppendWhole(path, append(line, '\n'))
}
