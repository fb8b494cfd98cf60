package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"leakformer/detect/report"
	"leakformer/ingest/atomicfile"
)

func (sh *shell) report() *cli.Command {
	return &cli.Command{
		Name:      "report",
		Usage:     "write a page about the leaks in logs",
		ArgsUsage: "LOG...",
		Description: "The page is one file of HTML that needs nothing else: verdicts and why, a flame graph of\n" +
			"the leaked bytes, and the live bytes over the run. Logs and exit status are as for score.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "report.html", Usage: "`FILE` to write; - is standard output"},
			allFlag(),
		}, scoringFlags()...),
		Action: sh.reportAction,
	}
}

func (sh *shell) reportAction(c *cli.Context) error {
	var page bytes.Buffer
	s, err := sh.newScoring(c, report.NewHTML(&page))
	if err != nil {
		return err
	}
	defer s.model.Close()
	verdict := s.arguments()
	if verdict != nil && !errors.Is(verdict, errLeaks) {
		return verdict
	}
	out := c.String("output")
	if out == "-" {
		_, err = page.WriteTo(sh.stdout)
	} else if err = atomicfile.Write(out, func(w io.Writer) error { _, err := page.WriteTo(w); return err }); err == nil {
		_, err = fmt.Fprintf(sh.stdout, "%s: leaks at %d sites in %d runs\n", out, s.leaks, s.runs)
	}
	return errors.Join(err, verdict)
}
