package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"leakformer/ingest"
	"leakformer/tokenize"
)

func (sh *shell) formats() *cli.Command {
	return &cli.Command{
		Name:  "formats",
		Usage: "list the formats of logs, and how to make them",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "gdb-script", Usage: "print the script with which gdb writes a log"}},
		Action: func(c *cli.Context) error {
			if c.Bool("gdb-script") {
				_, err := fmt.Fprint(sh.stdout, ingest.GDBScript)
				return err
			}
			tw := tabwriter.NewWriter(sh.stdout, 0, 8, 2, ' ', 0)
			fmt.Fprintln(tw, "format\tclass\twhat it is\tmade by")
			for _, f := range ingest.Formats() {
				fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", f.Name, f.Class, f.Title, f.Produce)
			}
			fmt.Fprintf(tw, "arrow\t\ta run that leakformer ingest wrote\tleakformer ingest LOG\n")
			return tw.Flush()
		},
	}
}

func (sh *shell) version() *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "tell the version of program and vocabulary",
		Action: func(c *cli.Context) error {
			_, err := fmt.Fprintf(sh.stdout, "leakformer %s, vocabulary %d (%s), %s\n", version(), tokenize.Version, tokenize.VocabHash, runtime.Version())
			return err
		},
	}
}

// version is the module's version or the commit that the program was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	commit, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	if commit == "" {
		return info.Main.Version
	}
	return commit[:min(len(commit), 12)] + dirty
}
