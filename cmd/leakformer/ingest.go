package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"leakformer/ingest"
	"leakformer/ingest/columnar"
)

const arrowSuffix = ".arrow"

func (sh *shell) ingest() *cli.Command {
	return &cli.Command{
		Name:      "ingest",
		Usage:     "turn logs into runs in Arrow",
		ArgsUsage: "LOG...",
		Description: "A LOG is a file, a folder of such, a pattern in quotes, or - for standard input.\n" +
			"Writes each log as an Arrow file that any implementation of Arrow reads, beside the\n" +
			"log unless -o says where: a file for one log, a folder for several.",
		Flags: append(followFlags(),
			&cli.StringFlag{Name: "format", Aliases: []string{"log-format"}, Value: "auto", Usage: "`FORMAT` of the logs: auto, or a name that leakformer formats lists"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FILE` to write, or folder for several logs"},
		),
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return usagef("ingest: name a log")
			}
			if err := checkFollow(c); err != nil {
				return err
			}
			if c.Bool("follow") {
				return sh.ingestFollowed(c)
			}
			return sh.ingestAll(c)
		},
	}
}

func (sh *shell) ingestAll(c *cli.Context) error {
	if _, err := arrowPath(c.Args().First(), c.String("output"), c.NArg() > 1); err != nil {
		return err
	}
	files, err := expandSeries(c.Args().Slice())
	if err != nil {
		return err
	}
	n := 0
	for _, file := range files {
		if file.found && strings.HasSuffix(file.path, arrowSuffix) {
			continue // A run already.
		}
		out, err := arrowPath(file.path, c.String("output"), len(files) > 1)
		if err != nil {
			return err
		}
		err = sh.ingestOne(c.Context, file, out, c.String("format"))
		if sh.passOver(file, err) {
			continue
		}
		if err != nil {
			return err
		}
		n++
	}
	if n == 0 {
		return errors.New("no log in " + strings.Join(c.Args().Slice(), ", "))
	}
	return nil
}

// ingestFollowed writes the run of a log that is still being written when it ends,
// and each further one that replaces it to a file with the next number.
func (sh *shell) ingestFollowed(c *cli.Context) error {
	log := c.Args().First()
	out, err := arrowPath(log, c.String("output"), false)
	if err != nil {
		return err
	}
	n := 0
	return sh.follow(c, log, c.String("format"), func(ctx context.Context, src ingest.Source, _ *ingest.Follower) error {
		n++
		return sh.writeRun(ctx, src, numbered(out, n))
	})
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

func (sh *shell) ingestOne(ctx context.Context, log logFile, out, format string) error {
	src, err := sh.openFile(log, format)
	if err != nil {
		return err
	}
	return errors.Join(sh.writeRun(ctx, src, out), src.Close())
}

// writeRun writes a source to an Arrow file and says what was in it.
func (sh *shell) writeRun(ctx context.Context, src ingest.Source, out string) error {
	if err := columnar.Write(ctx, out, src, columnar.Options{}); err != nil {
		return err
	}
	r := src.Report()
	sh.warnings(r)
	fmt.Fprintf(sh.stderr, "%s: %s, %d events, %d sites, outstanding %d blocks in %d bytes, %d errors -> %s\n",
		r.Name, r.Format, r.Events, r.Sites, r.Outstanding.Blocks, r.Outstanding.Bytes, r.Errors, out)
	return nil
}
