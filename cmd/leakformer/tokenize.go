package main

import (
	"bytes"
	"fmt"

	"github.com/urfave/cli/v2"

	"leakformer/detect"
	"leakformer/ingest/atomicfile"
	"leakformer/tokenize"
)

func (sh *shell) tokenize() *cli.Command {
	return &cli.Command{
		Name:      "tokenize",
		Usage:     "write what a model reads of a log: a token sequence per allocation site",
		ArgsUsage: "LOG",
		Description: "Writes an Arrow IPC stream with one row for each site that has outstanding blocks:\n" +
			"tokens, times and places are lists. With --dump, the tokens in words.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FILE` to write (default: LOG.tokens.arrow)"},
			&cli.BoolFlag{Name: "dump", Usage: "print the sequences as text and write no file"},
			&cli.Float64Flag{Name: "cut", Value: 1, Usage: "look at the run after this `SHARE` of its events"},
			&listFlag{referenceFlag()}, logFormatFlag(),
		},
		Action: sh.tokenizeAction,
	}
}

func (sh *shell) tokenizeAction(c *cli.Context) error {
	if c.NArg() != 1 {
		return usagef("tokenize: name one log; %d are named", c.NArg())
	}
	if cut := c.Float64("cut"); !(cut > 0 && cut <= 1) {
		return usagef("tokenize: --cut %v: want a share of the events, more than 0 and at most 1", cut)
	}
	log := c.Args().First()
	run, err := sh.loadRun(c.Context, log, c.String("log-format"))
	if err != nil {
		return err
	}
	scene := &tokenize.Scene{Run: run, Cut: detect.CutAt(run, c.Float64("cut"))}
	if references := c.StringSlice("reference"); len(references) > 0 {
		if scene.Reference, err = sh.histories(c, references); err != nil {
			return err
		}
	}
	records := func(yield func(tokenize.Record) bool) {
		scene.Views(func(v *tokenize.View) bool { return yield(tokenize.NewRecord(v)) })
	}
	if c.Bool("dump") {
		for r := range records {
			if err := sh.dumpRecord(r); err != nil {
				return err
			}
		}
		return nil
	}
	var out bytes.Buffer
	n, err := tokenize.WriteRecords(&out, records)
	if err != nil {
		return err
	}
	path := c.String("output")
	switch {
	case path == "-" || path == "" && log == "-":
		_, err = sh.stdout.Write(out.Bytes())
		return err
	case path == "":
		path = log + ".tokens" + arrowSuffix
	}
	if err := atomicfile.WriteBytes(path, out.Bytes()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(sh.stdout, "%s: %d sequences, %d bytes\n", path, n, out.Len())
	return err
}

// dumpRecord prints one sequence, a position a line.
func (sh *shell) dumpRecord(r tokenize.Record) error {
	if _, err := fmt.Fprintf(sh.stdout, "site %s: %d blocks, %d bytes outstanding\n", r.Site, r.Blocks, r.Bytes); err != nil {
		return err
	}
	for pos := range r.Live {
		if _, err := fmt.Fprintf(sh.stdout, "  %d", pos); err != nil {
			return err
		}
		for _, id := range r.Tokens[pos*tokenize.Fields : (pos+1)*tokenize.Fields] {
			if id == 0 {
				continue
			}
			if _, err := fmt.Fprintf(sh.stdout, " [%s]", tokenize.Describe(id)); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintln(sh.stdout); err != nil {
			return err
		}
	}
	return nil
}
