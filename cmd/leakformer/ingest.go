package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"leakformer/ingest/columnar"
)

const arrowSuffix = ".arrow"

func (sh *shell) ingest() *cli.Command {
	return &cli.Command{
		Name:      "ingest",
		Usage:     "turn logs into runs in Arrow",
		ArgsUsage: "LOG...",
		Description: "Writes each log as an Arrow file that any implementation of Arrow reads, beside the\n" +
			"log unless -o says where: a file for one log, a folder for several.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Aliases: []string{"log-format"}, Value: "auto", Usage: "`FORMAT` of the logs: auto, or a name that leakformer formats lists"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FILE` to write, or folder for several logs"},
		},
		Action: func(c *cli.Context) error {
			logs := c.Args().Slice()
			if len(logs) == 0 {
				return usagef("ingest: name a log")
			}
			for _, log := range logs {
				out, err := arrowPath(log, c.String("output"), len(logs) > 1)
				if err != nil {
					return err
				}
				if err := sh.ingestOne(c.Context, log, out, c.String("format")); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// arrowPath is the file to write for a log.
func arrowPath(log, output string, several bool) (string, error) {
	st, err := os.Stat(output)
	folder := output != "" && err == nil && st.IsDir()
	switch {
	case log == "-" && (output == "" || folder):
		return "", usagef("ingest: with - for the log, -o has to name the file")
	case output == "":
		return log + arrowSuffix, nil
	case folder:
		return filepath.Join(output, filepath.Base(log)+arrowSuffix), nil
	case several:
		return "", usagef("ingest: with several logs, -o has to be a folder, and %s is none", output)
	}
	return output, nil
}

func (sh *shell) ingestOne(ctx context.Context, log, out, format string) error {
	src, err := sh.openLog(log, format)
	if err != nil {
		return err
	}
	err = columnar.Write(ctx, out, src, columnar.Options{})
	if err := errors.Join(err, src.Close()); err != nil {
		return err
	}
	r := src.Report()
	sh.warnings(r)
	fmt.Fprintf(sh.stderr, "%s: %s, %d events, %d sites, outstanding %d blocks in %d bytes, %d errors -> %s\n",
		r.Name, r.Format, r.Events, r.Sites, r.Outstanding.Blocks, r.Outstanding.Bytes, r.Errors, out)
	return nil
}
