package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"leakformer/cmd/leakformer/internal/learn"
	"leakformer/cmd/leakformer/internal/plot"
	"leakformer/datasets"
	"leakformer/ingest/atomicfile"
	"leakformer/model"
	"leakformer/model/torch"
	"leakformer/tokenize"
	"leakformer/train"
)

func (sh *shell) train() *cli.Command {
	return &cli.Command{
		Name:      "train",
		Usage:     "make a model from logs of clean runs",
		ArgsUsage: "[LOG|DIR...]",
		Description: "Learns from logs without leaks, by forgetting frees in them, and from labelled logs where\n" +
			"--labels names some. Needs at least three clean logs of one program. The same logs and\n" +
			"flags give the same model. A training that was stopped goes on with --resume.",
		Flags: []cli.Flag{
			&listFlag{&cli.StringSliceFlag{Name: "clean", Aliases: []string{"c"}, Usage: "`LOG` of a clean run, or a folder of such; may be repeated"}},
			&cli.StringSliceFlag{Name: "labels", Aliases: []string{"l"}, Usage: "`FILE` with the truth about more logs, which it names; may be repeated"},
			&cli.StringFlag{Name: "init", Value: model.DefaultName, Usage: "`MODEL` to start from; none to start from random weights, as other sizes of the network have to"},
			&cli.BoolFlag{Name: "without-histories", Usage: "leave out what the sites did in the clean runs: a small model for programs it has not seen"},
			&cli.BoolFlag{Name: "without-trees", Usage: "have the network judge alone, without boosted trees beside it"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`MODEL` to write"},
			&cli.StringFlag{Name: "metrics", Usage: "`FILE` for the figures of every step, JSON Lines (default: MODEL.metrics.jsonl)"},
			&cli.StringFlag{Name: "plot", Usage: "`FILE` for a picture of losses, precision and recall, SVG (default: MODEL.svg)"},
			&cli.BoolFlag{Name: "resume", Usage: "go on with the training that was stopped"},
			&cli.Uint64Flag{Name: "seed", Usage: "of everything drawn"},
			&cli.IntFlag{Name: "steps", Usage: "of the optimiser (default: train's own)"},
			&cli.IntFlag{Name: "batch", Usage: "sequences in a step (default: train's own)"},
			&cli.Float64Flag{Name: "rate", Usage: "highest learning rate (default: train's own)"},
			&cli.StringFlag{Name: "objectives", Usage: "`WEIGHTS` of leaks, survival and lifetimes in what is learned, as in 1,1,0.1 (default: train's own)"},
			&cli.StringFlag{Name: "mix", Usage: "one scene in so many that is shown as a `REPORT,SERIES,ALTERED,BLIND`: as a report, as snapshots, as another tool's log, and of the snapshots one in so many without clean runs; 0 is none (default: train's own)"},
			&cli.StringFlag{Name: "optimiser", Value: string(torch.AdamW), Usage: "adamw or sgd"},
			&cli.IntFlag{Name: "dim", Usage: "width of the network (default: 64)"},
			&cli.IntFlag{Name: "layers", Usage: "of the network (default: 3)"},
			&cli.IntFlag{Name: "heads", Usage: "of attention in each layer (default: 4)"},
			threadsFlag(), deviceFlag(), logFormatFlag(),
		},
		Action: sh.trainAction,
	}
}

func (sh *shell) trainAction(c *cli.Context) error {
	out, clean := c.String("output"), append(c.StringSlice("clean"), c.Args().Slice()...)
	switch {
	case out == "":
		return usagef("train: -o has to name the model to write")
	case len(clean) == 0 && len(c.StringSlice("labels")) == 0:
		return usagef("train: --clean has to name logs of clean runs")
	}
	if err := writable("the model", out); err != nil {
		return err
	}
	sh.tune()
	t := &training{sh: sh, out: out, metrics: cmp.Or(c.String("metrics"), out+".metrics.jsonl"),
		plot: cmp.Or(c.String("plot"), out+".svg"), resume: c.Bool("resume"), withoutHistories: c.Bool("without-histories")}
	if err := t.start(c); err != nil {
		return err
	}
	defer t.net.Close()
	all, err := sh.lessons(c, clean, c.StringSlice("labels"))
	if err != nil {
		return err
	}
	t.describe(all)
	return t.run(c.Context, all.Data)
}

// writable finds out before the work whether its result can be written.
func writable(what, path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".leakformer-*")
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", what, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// lessons are the runs to learn from. A run that is among them twice is refused: it
// would be held out to judge what was learned from it.
type lessons struct {
	train.Data
	part   datasets.Part
	traces map[*tokenize.Run]string // hashes of their logs' contents
}

func (l *lessons) add(run *tokenize.Run, path, trace string) {
	l.part.Logs = append(l.part.Logs, datasets.PartLog{Log: path, Program: run.Program, Trace: trace})
	l.traces[run] = trace
}

// lessons reads the clean logs and those of the label files.
func (sh *shell) lessons(c *cli.Context, clean, labelFiles []string) (*lessons, error) {
	all := &lessons{part: datasets.Part{Name: "training"}, traces: map[*tokenize.Run]string{}}
	err := sh.eachRun(c.Context, clean, c.String("log-format"), func(run *tokenize.Run, path, trace string) {
		all.Clean = append(all.Clean, run)
		all.add(run, path, trace)
	})
	if err != nil {
		return nil, err
	}
	labels, err := readLabels(labelFiles)
	if err != nil {
		return nil, err
	}
	for i := range labels.Logs {
		l := &labels.Logs[i]
		if err := l.Verify(l.Log); err != nil {
			return nil, err
		}
		run, trace, err := sh.loadTraced(c.Context, l.Log, c.String("log-format"))
		if err != nil {
			return nil, err
		}
		all.add(run, l.Log, trace)
		if ok, err := learn.Add(&all.Data, run, l); err != nil {
			return nil, err
		} else if !ok {
			sh.warn("note: the labels of %s name no blocks: passed over", l.Log)
		}
	}
	return all, datasets.CheckSplit(false, all.part)
}

// training makes one model.
type training struct {
	sh *shell
	// out, metrics and plot are the files to write.
	out, metrics, plot string
	resume             bool
	cfg                train.Config
	net                *torch.Net
	manifest           model.Manifest
	// from is the model that the training starts from, or nil; labelled says that
	// there are runs whose leaks are known.
	from     *model.Checkpoint
	labelled bool
	// forest judges beside the network; nil where nothing does.
	forest           *forest
	withoutHistories bool
	steps            *bufio.Writer
	// started is the step that this process began at.
	started int
	shown   time.Time
	tokens  int64
}

// tuneSteps and tuneRate are the defaults of a training that starts from a model.
const (
	tuneSteps = 240
	tuneRate  = 1e-4
)

// initial is the model to start from, nil for random weights.
func (t *training) initial(c *cli.Context) (*model.Checkpoint, error) {
	init := c.String("init")
	sized := c.IsSet("dim") || c.IsSet("layers") || c.IsSet("heads")
	switch {
	case init == noModel, sized && !c.IsSet("init"):
		return nil, nil
	case sized:
		return nil, usagef("train: --dim, --layers and --heads are for --init none: a model that is started from has its size")
	}
	return readModel(init)
}

// start makes the network and the configuration.
func (t *training) start(c *cli.Context) error {
	arch := model.Config{
		Vocab: tokenize.VocabSize, Fields: tokenize.Fields, MaxLen: tokenize.MaxLen, NextClasses: tokenize.NextClasses,
		Dim: c.Int("dim"), Layers: c.Int("layers"), Heads: c.Int("heads"), Dropout: 0.1,
	}
	t.cfg = train.Config{Seed: c.Uint64("seed"), Steps: c.Int("steps"), BatchSize: c.Int("batch"), Rate: c.Float64("rate"), Save: t.save}
	opts := torch.Options{Seed: t.cfg.Seed, Threads: c.Int("threads"), Device: c.String("device"), Optimiser: torch.Optimiser(c.String("optimiser")), WeightDecay: 0.01, Clip: 1}
	var err error
	if t.cfg.Objectives, err = objectives(c.String("objectives")); err != nil {
		return err
	}
	if t.cfg.Mix, err = mix(c.String("mix")); err != nil {
		return err
	}
	from, err := t.initial(c)
	if err != nil {
		return err
	}
	if from != nil {
		arch = from.Manifest.Architecture
		t.manifest.Init = from.ID()
		t.from = from
		// What the model knows of real leaks is not to be unlearned on planted ones.
		t.cfg.Steps, t.cfg.Rate = cmp.Or(t.cfg.Steps, tuneSteps), cmp.Or(t.cfg.Rate, tuneRate)
	}
	t.plant(c)
	net, err := torch.New(arch, opts)
	if err != nil {
		return &usageError{err.Error()}
	}
	t.net = net
	if from != nil {
		if err := net.LoadWeights(bytes.NewReader(from.Weights)); err != nil {
			net.Close()
			return fmt.Errorf("%s: %w", c.String("init"), err)
		}
	}
	t.manifest.Made, t.manifest.Architecture = "leakformer "+version(), net.Config()
	t.manifest.Seed, t.manifest.Threads, t.manifest.Optimiser = t.cfg.Seed, opts.Threads, string(opts.Optimiser)
	if t.manifest.Objectives, err = json.Marshal(t.cfg.Objectives); err != nil {
		return err
	}
	t.manifest.Mix, err = json.Marshal(t.cfg.Mix)
	return err
}

// plant has trees judge beside the network: those of the model that the training
// starts from, or new ones.
func (t *training) plant(c *cli.Context) {
	switch {
	case c.Bool("without-trees"), t.from != nil && t.from.Trees == nil:
		return
	case t.from != nil:
		t.forest = &forest{trees: t.from.Trees}
	default:
		t.forest = &forest{}
		if t.sh.terminal() {
			t.forest.drawn = func(n int) {
				if n%1000 == 0 {
					fmt.Fprintf(t.sh.stderr, "\r%d sites for the trees \x1b[K", n)
				}
			}
		}
	}
	t.cfg.Second = t.forest
}

// mix reads the numbers of a flag; none are the default ones.
func mix(text string) (m train.Mix, err error) {
	if text == "" {
		return train.DefaultMix, nil
	}
	numbers := strings.Split(text, ",")
	if len(numbers) != 4 {
		return m, usagef("train: --mix %s: want four numbers, for reports, series, altered logs and blind series, as in 10,10,3,2", text)
	}
	for i, n := range []*int{&m.ReportEvery, &m.SeriesEvery, &m.AlteredEvery, &m.BlindSeries} {
		if *n, err = strconv.Atoi(numbers[i]); err != nil {
			return m, usagef("train: --mix %s: %q is not a number", text, numbers[i])
		}
	}
	if err := m.Validate(); err != nil {
		return m, usagef("train: --mix %s: %v", text, err)
	}
	return m, nil
}

// objectives reads the weights of a flag; none are the default ones.
func objectives(text string) (o train.Objectives, err error) {
	if text == "" {
		return train.DefaultObjectives, nil
	}
	weights := strings.Split(text, ",")
	if len(weights) != 3 {
		return o, usagef("train: --objectives %s: want three weights, of leaks, survival and lifetimes, as in 1,1,0.1", text)
	}
	for i, w := range []*float64{&o.Leaks, &o.Survival, &o.Lifetimes} {
		if *w, err = strconv.ParseFloat(weights[i], 64); err != nil {
			return o, usagef("train: --objectives %s: %q is not a number", text, weights[i])
		}
	}
	if err := o.Validate(); err != nil {
		return o, usagef("train: --objectives %s: %v", text, err)
	}
	return o, nil
}

func (t *training) run(ctx context.Context, data train.Data) (err error) {
	t.labelled = len(data.Labelled) > 0
	if t.resume {
		if t.cfg.Resume, err = t.saved(); err != nil {
			return err
		}
	}
	mode := os.O_TRUNC
	if t.resume {
		mode = os.O_APPEND
	}
	f, err := os.OpenFile(t.metrics, os.O_CREATE|os.O_WRONLY|mode, 0o644)
	if err != nil {
		return err
	}
	t.steps = bufio.NewWriter(f)
	start := time.Now()
	res, err := train.Run(ctx, t.cfg, data, t.net, t.progress)
	if err := errors.Join(err, t.steps.Flush(), f.Close()); err != nil {
		if _, found := os.Stat(t.statePath()); found == nil && errors.Is(err, context.Canceled) {
			err = fmt.Errorf("%w; go on with --resume", err)
		}
		return err
	}
	if err := t.draw(res); err != nil {
		return err
	}
	return t.finish(res, time.Since(start))
}

// draw makes the picture of the training from the metrics file, which also has the
// steps made before it was stopped and resumed.
func (t *training) draw(res *train.Result) error {
	f, err := os.Open(t.metrics)
	if err != nil {
		return err
	}
	defer f.Close()
	steps, err := plot.ReadSteps(f)
	if err != nil {
		return fmt.Errorf("%s: %w", t.metrics, err)
	}
	return atomicfile.Write(t.plot, func(w io.Writer) error { return plot.Training(w, steps, res.Curve, res.Threshold) })
}

// describe lists the data in the manifest.
func (t *training) describe(all *lessons) {
	datum := func(r *tokenize.Run, labelled bool) {
		t.manifest.Data = append(t.manifest.Data, model.Datum{Log: filepath.Base(r.Name), Program: r.Program, Events: r.Events, Trace: all.traces[r], Labelled: labelled})
	}
	for _, r := range all.Clean {
		datum(r, false)
	}
	for _, l := range all.Labelled {
		datum(l.Run, true)
	}
	if t.from != nil {
		t.manifest.Before = slices.Concat(t.from.Manifest.Data, t.from.Manifest.Before)
	}
}

// finish writes the model and says how good it is.
func (t *training) finish(res *train.Result, took time.Duration) error {
	m := &t.manifest
	m.Steps, m.Judgings = res.Steps, judgings(res)
	m.BlockCalibration = model.Calibration(res.BlockCalibration)
	if t.from != nil && !t.labelled {
		// Planted leaks say how to rank; where real ones set the thresholds, they stand.
		from := &t.from.Manifest
		m.Threshold = from.Threshold
		m.Report.Threshold, m.Series.Threshold = from.Report.Threshold, from.Series.Threshold
		m.Blind.Threshold, m.Ended.Threshold = from.Blind.Threshold, from.Ended.Threshold
		for to, from := range map[*model.Judging]model.Judging{&m.BlindSeries: from.BlindSeries, &m.Suspects: from.Suspects} {
			if from != (model.Judging{}) { // older models have none
				to.Threshold = from.Threshold
			}
		}
	}
	var err error
	if m.Validation, err = json.Marshal(res.Best); err != nil {
		return err
	}
	var weights bytes.Buffer
	if err := t.net.SaveWeights(&weights); err != nil {
		return err
	}
	ckpt := &model.Checkpoint{Manifest: *m, Weights: weights.Bytes(), Histories: res.Histories}
	if t.forest != nil {
		ckpt.Trees = t.forest.trees
	}
	if t.withoutHistories {
		ckpt.Histories = nil
	}
	if err := ckpt.Write(t.out); err != nil {
		return err
	}
	if err := os.Remove(t.statePath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	_, err = fmt.Fprintf(t.sh.stdout, "%s: %d steps on %d runs in %s, %.0f tokens/s; on %d runs held out: AP %.3f, F1 %.3f (precision %.3f, recall %.3f), threshold %.3f\n",
		t.out, res.Steps, res.Train, took.Round(time.Second), float64(t.tokens)/took.Seconds(), res.Valid,
		res.Best.AveragePrecision, res.Best.F1, res.Best.Precision, res.Best.Recall, m.Threshold)
	return err
}

// judgings are those of a result in the form of a manifest.
func judgings(res *train.Result) model.Judgings {
	one := func(j train.Judging) model.Judging {
		return model.Judging{Calibration: model.Calibration(j.Calibration), Threshold: j.Threshold}
	}
	return model.Judgings{Judging: one(res.Judging), Report: one(res.Report), Suspects: one(res.Suspects), Series: one(res.Series),
		Blind: one(res.Blind), BlindSeries: one(res.BlindSeries), Ended: one(res.Ended)}
}

// progress writes a line of figures and, for somebody who watches, how far it is.
func (t *training) progress(p train.Progress) {
	t.tokens += int64(p.Tokens)
	left := time.Duration(0)
	if done := p.Step - t.started; done > 0 {
		left = p.Elapsed / time.Duration(done) * time.Duration(p.Steps-p.Step)
	}
	speed := float64(t.tokens) / max(p.Elapsed.Seconds(), 1e-9)
	step := plot.Step{Step: p.Step, Loss: p.Loss, Rate: p.Rate, Objective: plot.Leak, Tokens: p.Tokens, Seconds: p.Elapsed.Seconds(), Judgement: p.Judgement}
	if p.Causal {
		step.Objective = plot.NextEvent
	}
	json.NewEncoder(t.steps).Encode(step)
	if j := p.Judgement; j != nil {
		t.sh.log.Info("judged", "step", p.Step, "loss", j.Loss, "AP", j.AveragePrecision, "F1", j.F1, "tokens/s", int(speed))
	}
	if t.sh.terminal() && (time.Since(t.shown) > time.Second/4 || p.Step == p.Steps) {
		t.shown = time.Now()
		end := ""
		if p.Step == p.Steps {
			end = "\n"
		}
		fmt.Fprintf(t.sh.stderr, "\rstep %d of %d, loss %.4f, %.0f tokens/s, %s left \x1b[K%s", p.Step, p.Steps, p.Loss, speed, left.Round(time.Second), end)
	}
}

// savedState is what a training needs to go on, in the file beside the model.
type savedState struct {
	// Settings have to be equal for the result to be the same.
	Settings string
	State    train.State
}

func (t *training) statePath() string { return t.out + ".state" }

// settings names everything that the result depends on.
func (t *training) settings() string {
	m := t.manifest
	text, _ := json.Marshal([]any{m.Made, m.Architecture, m.Init, m.Seed, m.Optimiser, m.Objectives, m.Mix, m.Data, t.forest != nil, t.cfg.Steps, t.cfg.BatchSize, t.cfg.Rate, tokenize.VocabHash})
	return string(text)
}

func (t *training) save(s *train.State) error {
	return atomicfile.Write(t.statePath(), func(w io.Writer) error { return gob.NewEncoder(w).Encode(savedState{t.settings(), *s}) })
}

// saved reads the state of the training that was stopped.
func (t *training) saved() (*train.State, error) {
	data, err := os.ReadFile(t.statePath())
	if err != nil {
		return nil, fmt.Errorf("nothing to resume: %w", err)
	}
	var s savedState
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&s); err != nil {
		return nil, fmt.Errorf("%s: not the state of a training: %w", t.statePath(), err)
	}
	if s.Settings != t.settings() {
		return nil, fmt.Errorf("%s: is of a training with other logs, flags or another version: train anew without --resume", t.statePath())
	}
	t.started = s.State.Step
	return &s.State, nil
}
