package main

import (
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"leakformer/datasets"
	"leakformer/eval"
	"leakformer/ingest/atomicfile"
)

func (sh *shell) eval() *cli.Command {
	return &cli.Command{
		Name:      "eval",
		Usage:     "measure a model, and simple rules beside it, on labelled logs",
		ArgsUsage: "[LOG...]",
		Description: "Without logs, all logs of the label files are measured; with --model none, the simple\n" +
			"rules alone. --peer and --peer-labels name logs for boosted trees on hand-made figures to\n" +
			"learn from, as train does: what a model has to be better than.",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "labels", Aliases: []string{"l"}, Usage: "`FILE` with the truth about the logs, or the folder of a collection; may be repeated"},
			modelFlag(), referenceFlag(),
			&cli.StringSliceFlag{Name: "fold", Usage: "`MODEL` trained without some of the programs, in place of --model; may be repeated: each run is judged by one that did not learn from its program"},
			&cli.BoolFlag{Name: "blind", Usage: "judge the runs a second time, without any clean run to compare with"},
			&cli.BoolFlag{Name: "known", Usage: "measure programs that the model has learned from, too, by other runs: they are known programs, whatever is named for --reference"},
			&cli.StringSliceFlag{Name: "peer", Usage: "`LOG` of a clean run, or a folder of such, for trees to learn from; may be repeated"},
			&cli.StringSliceFlag{Name: "peer-labels", Usage: "`FILE` with the truth about more logs for trees to learn from; may be repeated"},
			&cli.Float64SliceFlag{Name: "cut", Usage: "look at each run after this `SHARE` of its events; may be repeated (default: 0.3, 0.6, 0.9 and 1)"},
			&cli.IntFlag{Name: "snapshots", Usage: "show the event logs as `N` evenly spaced snapshots of what was live, up to each cut"},
			&cli.Float64Flag{Name: "every", Usage: "look at each run after every such `SHARE` of its events, too, to see how soon leaks are found"},
			&cli.BoolFlag{Name: "robustness", Usage: "measure how verdicts change when the same runs are logged in another way, in place of the table"},
			&cli.BoolFlag{Name: "recall", Usage: "tell which leaks the model finds, by their number, share and age, in place of the table"},
			&cli.StringSliceFlag{Name: "beside", Usage: "`NAME=DIR` with logs of the same runs by another tool, or a collection of runs that differ in one thing, for --robustness; may be repeated"},
			&cli.StringFlag{Name: "html", Usage: "`FILE` for a page with all tables and diagrams"},
			&cli.StringFlag{Name: "format", Value: "text", Usage: "of the table: text, summary, markdown or json"},
			&cli.BoolFlag{Name: "programs", Usage: "add a table for each program"},
			&cli.Uint64Flag{Name: "seed", Usage: "of the bootstrap intervals"},
			threadsFlag(), deviceFlag(), logFormatFlag(),
		},
		Action: sh.evalAction,
	}
}

func (sh *shell) evalAction(c *cli.Context) error {
	write, err := tableOutput(c.String("format"))
	if err != nil {
		return err
	}
	cuts := c.Float64Slice("cut")
	if len(cuts) == 0 {
		cuts = []float64{0.3, 0.6, 0.9, 1}
	}
	if err := checkEval(c, cuts); err != nil {
		return err
	}
	labels, err := readLabels(c.StringSlice("labels"))
	if err != nil {
		return err
	}
	e := &evaluation{sh: sh, c: c, labels: labels, cuts: cuts, between: between(c.Float64("every"), cuts), learned: map[string]uint32{}, taken: map[string]string{}}
	entrants, done, err := e.models()
	if err != nil {
		return err
	}
	defer done()
	if err := e.choose(c.StringSlice("reference")); err != nil {
		return err
	}
	if peer := (peer{c.StringSlice("peer"), c.StringSlice("peer-labels")}); peer.named() {
		trees, err := e.trees(peer)
		if err != nil {
			return err
		}
		entrants = append(entrants, *trees)
	}
	if c.Bool("robustness") {
		return e.robustness(entrants)
	}
	res, err := eval.Compare(c.Context, e.samples(), append(entrants, eval.RuleEntrants()...))
	if err != nil {
		return err
	}
	if c.Bool("recall") {
		return eval.WriteRecalls(sh.stdout, res.Recalls())
	}
	return e.tables(res, write)
}

func checkEval(c *cli.Context, cuts []float64) error {
	if i := slices.IndexFunc(cuts, func(x float64) bool { return !(x > 0 && x <= 1) }); i >= 0 {
		return usagef("eval: --cut %v: want a share of the events, more than 0 and at most 1", cuts[i])
	}
	if n := c.Int("snapshots"); c.IsSet("snapshots") && !(n >= 1 && n <= 1000) {
		return usagef("eval: --snapshots %d: want 1 to 1000", n)
	}
	if every := c.Float64("every"); c.IsSet("every") && !(every >= 0.001 && every < 1) {
		return usagef("eval: --every %v: want a share of the events, 0.001 or more and less than 1", every)
	}
	if c.Bool("recall") && c.String("format") != "text" {
		return usagef("eval: --recall is a table in text, not in %s", c.String("format"))
	}
	if len(c.StringSlice("fold")) > 0 && c.IsSet("model") {
		return usagef("eval: --fold is in place of --model")
	}
	if len(c.StringSlice("labels")) == 0 {
		return usagef("eval: --labels has to name the file with the truth about the logs")
	}
	if page := c.String("html"); page != "" {
		return writable("the page", page)
	}
	return nil
}

// models loads the model, or the folds in its place, and notes what it learned from;
// done closes them.
func (e *evaluation) models() (entrants []eval.Entrant, done func(), err error) {
	if len(e.c.StringSlice("fold")) > 0 {
		fs, err := e.sh.loadFolds(e.c)
		if err != nil {
			return nil, nil, err
		}
		if fs.known {
			e.known, e.programs = fs.histories(), fs.programs()
		}
		return []eval.Entrant{fs.entrant()}, fs.Close, nil
	}
	path := e.c.String("model")
	if path == noModel {
		return nil, func() {}, nil
	}
	m, err := e.sh.loadModel(path, computing(e.c))
	if err != nil {
		return nil, nil, err
	}
	e.known = m.checkpoint.Histories
	e.learn(m.id, slices.Concat(m.checkpoint.Manifest.Data, m.checkpoint.Manifest.Before))
	return []eval.Entrant{{Name: "leakformer " + m.id, Scorer: m, Thresholds: m.threshold, Probabilities: true}}, m.Close, nil
}

// trees grows the trees, and notes what they learned from.
func (e *evaluation) trees(from peer) (*eval.Entrant, error) {
	all, err := e.sh.lessons(e.c, from.clean, from.labels)
	if err != nil {
		return nil, err
	}
	for _, l := range all.part.Logs {
		e.split.Add("trees' training", l)
	}
	return e.sh.trees(e.c, all.Data)
}

// tables writes the table, and the page if one is named.
func (e *evaluation) tables(res *eval.Result, write func(io.Writer, []eval.Row) error) error {
	c := e.c
	programs := c.Bool("programs") || c.String("format") == "summary"
	page := c.String("html")
	rows := res.Rows(eval.TableConfig{Programs: programs || page != "", Curves: page != "" || c.String("format") == "json", Seed: c.Uint64("seed")})
	if page != "" {
		title := "leakformer eval: " + strings.Join(c.StringSlice("labels"), ", ")
		if err := atomicfile.Write(page, func(w io.Writer) error { return eval.WriteHTML(w, title, rows) }); err != nil {
			return err
		}
	}
	if !programs {
		rows = slices.DeleteFunc(rows, func(r eval.Row) bool { return r.Program != "" })
	}
	return write(e.sh.stdout, rows)
}

// between lists the multiples of a share, up to the whole, that are no cuts.
func between(every float64, cuts []float64) (more []float64) {
	for k := 1; every > 0 && float64(k)*every < 1; k++ {
		if x := float64(k) * every; !slices.ContainsFunc(cuts, func(cut float64) bool { return math.Abs(cut-x) < 1e-9 }) {
			more = append(more, x)
		}
	}
	return more
}

func tableOutput(format string) (func(io.Writer, []eval.Row) error, error) {
	switch format {
	case "text":
		return eval.WriteText, nil
	case "summary":
		return eval.WriteSummary, nil
	case "markdown", "md":
		return eval.WriteMarkdown, nil
	case "json":
		return eval.WriteJSON, nil
	}
	return nil, usagef("eval: --format %s: want text, summary, markdown or json", format)
}

// readLabels reads label files and collections as one, in which each log is named
// as seen from here.
func readLabels(files []string) (*datasets.Labels, error) {
	all := &datasets.Labels{Version: datasets.Version}
	for _, file := range files {
		labels, dir, err := datasets.Open(file)
		if err != nil {
			return nil, err
		}
		for _, l := range labels.Logs {
			l.Log = filepath.Join(dir, l.Log)
			all.Logs = append(all.Logs, l)
		}
	}
	return all, nil
}
