package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"leakformer/model"
	"leakformer/tokenize"
)

func (sh *shell) model() *cli.Command {
	return &cli.Command{
		Name:  "model",
		Usage: "tell about models",
		Subcommands: []*cli.Command{{
			Name:      "info",
			Usage:     "tell what a model is, what it learned from, and how good it was on runs held out",
			ArgsUsage: "[MODEL]",
			Flags: []cli.Flag{
				modelFlag(),
				&cli.StringFlag{Name: "format", Value: "text", Usage: "text, or json for the whole manifest"},
			},
			Action: sh.modelInfo,
		}},
	}
}

func (sh *shell) modelInfo(c *cli.Context) error {
	path := c.String("model")
	switch {
	case c.NArg() > 1:
		return usagef("model info: name one model; %d are named", c.NArg())
	case c.Args().Present():
		path = c.Args().First()
	}
	ckpt, err := readModel(path)
	if err != nil {
		return err
	}
	switch c.String("format") {
	case "json":
		return json.NewEncoder(sh.stdout).Encode(&ckpt.Manifest)
	case "text":
	default:
		return usagef("--format %s: want text or json", c.String("format"))
	}
	if err := writeInfo(sh.stdout, ckpt); err != nil || path != model.DefaultName && path != "" {
		return err
	}
	_, err = fmt.Fprintf(sh.stdout, "\n%s", model.DefaultCard)
	return err
}

func writeInfo(out io.Writer, ckpt *model.Checkpoint) error {
	m, a := &ckpt.Manifest, ckpt.Manifest.Architecture
	programs, events, labelled := summarise(m.Data)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "model\t%s\n", ckpt.ID())
	fmt.Fprintf(w, "made by\t%s\n", m.Made)
	fmt.Fprintf(w, "network\tTransformer encoder, %d layers of width %d, %d heads, %d KB of weights\n", a.Layers, a.Dim, a.Heads, len(ckpt.Weights)/1000)
	if t := ckpt.Trees; t != nil {
		fmt.Fprintf(w, "beside it\t%d boosted trees on %d features\n", t.Len(tokenize.KindEvents), len(model.FeatureNames(tokenize.KindEvents)))
		fmt.Fprintf(w, "in its place\t%d for snapshots, %d for reports, %d for lists of suspects\n",
			t.Len(tokenize.KindSeries), t.Len(tokenize.KindReport), t.Len(tokenize.KindSuspects))
	}
	fmt.Fprintf(w, "vocabulary\t%s, %d tokens, %d a position\n", m.VocabHash, a.Vocab, a.Fields)
	fmt.Fprintf(w, "training\t%d steps of %s, seed %d, %d threads, from %s\n", m.Steps, m.Optimiser, m.Seed, m.Threads, origin(m.Init))
	fmt.Fprintf(w, "learned from\t%d runs (%d labelled) of %d programs, %d events\n", len(m.Data), labelled, len(programs), events)
	fmt.Fprintf(w, "programs\t%s\n", wrapped(programs))
	fmt.Fprintf(w, "remembers\tclean runs of %d programs\n", len(ckpt.Histories))
	fmt.Fprintf(w, "threshold\t%.3f; %.3f after a teardown, %.3f with no clean run known, %.3f for snapshots, %.3f for reports\n",
		m.Threshold, m.Ended.Threshold, m.Blind.Threshold, m.Series.Threshold, m.Report.Threshold)
	if m.Suspects != (model.Judging{}) {
		fmt.Fprintf(w, "\t%.3f for lists of suspects\n", m.Suspects.Threshold)
	}
	if m.BlindSeries != (model.Judging{}) {
		fmt.Fprintf(w, "\t%.3f for snapshots with no clean run known\n", m.BlindSeries.Threshold)
	}
	fmt.Fprintf(w, "held-out runs\t%s\n", m.Validation)
	return w.Flush()
}

func origin(init string) string {
	if init == "" {
		return "random weights"
	}
	return "model " + init
}

func summarise(data []model.Datum) (programs []string, events int64, labelled int) {
	for _, d := range data {
		if !slices.Contains(programs, d.Program) {
			programs = append(programs, d.Program)
		}
		events += int64(d.Events)
		if d.Labelled {
			labelled++
		}
	}
	slices.Sort(programs)
	return programs, events, labelled
}

// wrapped sets words in lines of a tabwriter's second column.
func wrapped(words []string) string {
	out, line := "", 0
	for i, w := range words {
		switch {
		case i == 0:
		case line > 60:
			out += "\n\t"
			line = 0
		default:
			out += " "
		}
		out += w
		line += len(w) + 1
	}
	return out
}
