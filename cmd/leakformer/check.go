package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"leakformer/detect/report"
	"leakformer/ingest"
)

func (sh *shell) check() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "tell how logs were read, and whether they hold together",
		ArgsUsage: "RUN.arrow|LOG...",
		Description: "Damage that could be passed over is counted in the report. The exit status is 1 if a file\n" +
			"cannot be read at all, or does not hold together.",
		Flags: append(followFlags(),
			&cli.BoolFlag{Name: "dump", Usage: "write the events as text"},
			&cli.StringFlag{Name: "format", Value: "text", Usage: "of the report: text, or json with one object a file"},
			logFormatFlag(),
		),
		Action: func(c *cli.Context) error {
			write, err := checkOutput(c)
			if err != nil {
				return err
			}
			if !c.Args().Present() {
				return usagef("check: name a log")
			}
			if err := checkFollow(c); err != nil {
				return err
			}
			if c.Bool("follow") {
				return sh.follow(c, c.Args().First(), c.String("log-format"), func(_ context.Context, src ingest.Source, _ *ingest.Follower) error {
					return write(sh.stdout, src)
				})
			}
			files, err := expandSeries(c.Args().Slice())
			if err != nil {
				return err
			}
			failed := 0
			for _, file := range files {
				err := sh.checkOne(file, c.String("log-format"), write)
				if err != nil && !sh.passOver(file, err) {
					sh.warn("%v", err)
					failed++
				}
			}
			if failed > 0 {
				return fmt.Errorf("%d of %d files could not be read", failed, len(files))
			}
			return nil
		},
	}
}

// logFormatFlag is for commands whose --format is that of their output.
func logFormatFlag() cli.Flag {
	return &cli.StringFlag{Name: "log-format", Value: "auto", Usage: "`FORMAT` of the logs: auto, or a name that leakformer formats lists"}
}

// checkOutput says how a log is to be written out.
func checkOutput(c *cli.Context) (func(io.Writer, ingest.Source) error, error) {
	format := c.String("format")
	switch {
	case format != "text" && format != "json":
		return nil, usagef("check: --format %s: want text or json", format)
	case c.Bool("dump"):
		return ingest.WriteText, nil
	case format == "json":
		return writeReportJSON, nil
	}
	return writeReportText, nil
}

func (sh *shell) checkOne(log logFile, format string, write func(io.Writer, ingest.Source) error) error {
	src, err := sh.openFile(log, format)
	if err != nil {
		return err
	}
	return errors.Join(write(sh.stdout, src), src.Close())
}

// readAll reads a source to its end and checks that it keeps the laws of event
// streams.
func readAll(src ingest.Source) (*ingest.Report, error) {
	var v ingest.Validator
	for e, err := range src.Events() {
		var damaged *ingest.SyntaxError
		if errors.As(err, &damaged) {
			continue // counted in the report
		}
		if err != nil {
			return nil, err
		}
		if err := v.Event(e, src.Stacks()); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", src.Report().Name, e.Line, err)
		}
	}
	r := src.Report()
	if err := v.End(r); err != nil {
		return nil, fmt.Errorf("%s: %w", r.Name, err)
	}
	return r, nil
}

func writeReportJSON(w io.Writer, src ingest.Source) error {
	r, err := readAll(src)
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(r)
}

func writeReportText(w io.Writer, src ingest.Source) error {
	r, err := readAll(src)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s: %s (%s)", r.Name, r.Format, r.Class)
	if r.Tool != "" {
		fmt.Fprintf(w, " by %s", r.Tool)
	}
	fmt.Fprintln(w)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-12s "+format+"\n", append([]any{name}, args...)...)
	}
	if r.Command != "" {
		line("command", "%q", r.Command)
	}
	line("lines", "%d, recognised %d", r.Lines, r.Recognised)
	if r.Class == ingest.Events {
		line("events", "%d: %d allocs of %s, %d frees", r.Events, r.Allocs, report.Bytes(r.AllocatedBytes), r.Frees)
		line("unmatched", "%d orphan frees, %d frees missing", r.OrphanFrees, r.LostFrees)
	} else {
		line("records", "%d", r.Records)
	}
	line("outstanding", "%s", report.Amount(r.Outstanding))
	line("sites", "%d", r.Sites)
	line("processes", "%d", max(r.Processes, 1))
	line("clock", "%s", r.Clock)
	line("damage", "%d bad records, truncated %t", r.Errors, r.Truncated)
	if o := r.Oracle; o != nil {
		verdict := "agrees"
		if !o.OK {
			verdict = "DISAGREES: " + o.Expected + " expected, " + o.Got + " read"
		}
		line("oracle", "%s %s", o.Name, verdict)
	}
	for _, m := range r.Messages {
		line("warning", "%s", m)
	}
	_, err = fmt.Fprintln(w)
	return err
}
