package main

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"leakformer/datasets"
	"leakformer/detect"
	"leakformer/eval"
	"leakformer/ingest"
	"leakformer/model"
	"leakformer/tokenize"
)

// evaluation loads the runs to evaluate, one at a time.
type evaluation struct {
	sh     *shell
	c      *cli.Context
	labels *datasets.Labels
	// cuts are for tables; between them runs are looked at to see how soon leaks
	// are found.
	cuts, between []float64
	// taken tells why a log, by its absolute path or SHA-256, must not be evaluated.
	taken map[string]string
	// peers are the programs that the trees have labelled runs of.
	peers []string
	// references were named for this evaluation; known came with the model,
	// which learned from the logs of these names and numbers of events.
	references, known []*tokenize.History
	learned           map[string]uint32
	// split has the runs that the model and the trees learned from, the references and
	// the logs evaluated so far; trained those that the model learned from alone.
	split, trained datasets.Split
	programs       map[string]bool // of trained
	logs           []string
	all            bool // logs are those of the label files, and none was named
	evaluated      int
	leftOut        []error
}

// learn notes what a model learned from.
func (e *evaluation) learn(id string, data []model.Datum) {
	e.programs = map[string]bool{}
	for _, d := range data {
		e.learned[d.Log] = d.Events
		e.programs[d.Program] = true
		// Logs of older checkpoints have no hash, and their names may be in use twice.
		l := datasets.PartLog{Log: id + ": " + d.Log, Program: d.Program, Trace: d.Trace}
		e.split.Add("training", l)
		e.trained.Add("training", l)
	}
}

// admit refuses a log that was learned from, is a reference or was evaluated
// before, by its contents, and one of a program that the model knows where the
// setting is that it does not.
func (e *evaluation) admit(s *eval.Sample, program, trace string) error {
	l := datasets.PartLog{Log: s.Log, Program: program, Trace: trace}
	if err := e.split.Add("test", l); err != nil {
		return err
	}
	if program == "" || e.c.Bool("known") || s.Setting == knownProgram && !e.c.Bool("blind") {
		return nil
	}
	if err := e.trained.Unknown("test", l); err != nil {
		return fmt.Errorf("%w: what is measured (%s) is no measure for new programs; --known measures it as a known one", err, s.Setting)
	}
	return nil
}

// choose lists the logs to evaluate and reads the references. A log must not be
// compared with itself: of the logs of the label file those that are references
// or were learned from are left out, and named ones are refused.
func (e *evaluation) choose(references []string) error {
	files, err := expand(references)
	if err != nil {
		return err
	}
	for _, f := range files {
		if l, err := e.labels.Find(f.path); err == nil && l.Class == datasets.Leaky {
			return fmt.Errorf("%s cannot be a reference: it is labelled leaky", f.path)
		}
		e.taken[absolute(f.path)] = "is a reference"
	}
	if err := e.takePeers(); err != nil {
		return err
	}
	e.logs = e.c.Args().Slice()
	if e.all = len(e.logs) == 0; e.all {
		for _, l := range e.labels.Logs {
			e.logs = append(e.logs, l.Log)
		}
	}
	var logs []string
	for _, log := range e.logs {
		why := e.whyTaken(log)
		if e.wasLearned(log) {
			why = "was learned from"
		}
		switch {
		case why == "":
			logs = append(logs, log)
			if l, err := e.labels.Find(log); err == nil && slices.Contains(e.peers, l.Program) {
				e.sh.warn("note: the trees know other labelled runs of %s: what they do there is not what they do on new programs", l.Program)
				e.peers = slices.DeleteFunc(e.peers, func(p string) bool { return p == l.Program })
			}
		case e.all:
			e.sh.log.Info("left out", "log", log, "why", why)
		default:
			return fmt.Errorf("%s cannot be evaluated: it %s", log, why)
		}
	}
	if e.logs = logs; len(logs) == 0 {
		return errors.New("no log is left to evaluate: all are references or were learned from: name others in --labels")
	}
	if len(references) == 0 {
		return nil
	}
	err = e.sh.eachRun(e.c.Context, references, e.c.String("log-format"), func(run *tokenize.Run, path, trace string) {
		e.references = append(e.references, tokenize.NewHistory(run))
		e.split.Add("reference", datasets.PartLog{Log: path, Program: run.Program, Trace: trace})
	})
	if err != nil {
		return fmt.Errorf("reference: %w", err)
	}
	return nil
}

// takePeers marks the logs that the trees learn from.
func (e *evaluation) takePeers() error {
	const why = "is one that the trees learn from"
	files, err := expand(e.c.StringSlice("peer"))
	if err != nil {
		return err
	}
	for _, f := range files {
		if l, err := e.labels.Find(f.path); err == nil && l.Class == datasets.Leaky {
			return fmt.Errorf("%s cannot be for --peer: it is labelled leaky", f.path)
		}
		e.taken[absolute(f.path)] = why
	}
	labels, err := readLabels(e.c.StringSlice("peer-labels"))
	if err != nil {
		return err
	}
	for _, l := range labels.Logs {
		if p := l.Program; !slices.Contains(e.peers, p) {
			e.peers = append(e.peers, p)
		}
		e.taken[absolute(l.Log)] = why
		if l.SHA256 != "" {
			e.taken[strings.ToLower(l.SHA256)] = why
		}
	}
	return nil
}

func (e *evaluation) whyTaken(log string) string {
	if why := e.taken[absolute(log)]; why != "" {
		return why
	}
	if l, err := e.labels.Find(log); err == nil {
		return e.taken[strings.ToLower(l.SHA256)]
	}
	return ""
}

// wasLearned reports whether the model learned from a log of this name and length.
func (e *evaluation) wasLearned(log string) bool {
	events, known := e.learned[filepath.Base(log)]
	l, err := e.labels.Find(log)
	return known && (err != nil || l.Events == 0 || l.Events == int64(events))
}

func absolute(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return abs
}

func (e *evaluation) samples() iter.Seq2[*eval.Sample, error] {
	return func(yield func(*eval.Sample, error) bool) {
		for _, log := range e.logs {
			s, err := e.sample(log)
			var no *refusal
			if e.all && errors.As(err, &no) {
				e.sh.log.Info("left out", "log", log, "why", err)
				e.leftOut = append(e.leftOut, err)
				continue
			}
			if err != nil {
				yield(nil, err)
				return
			}
			e.evaluated++
			for _, one := range e.looks(s) {
				if !yield(one, nil) {
					return
				}
			}
		}
		switch n := len(e.leftOut); {
		case e.evaluated == 0 && n > 1:
			yield(nil, fmt.Errorf("no log is left to evaluate: %d are left out (all with --verbose): %w", n, e.leftOut[0]))
		case e.evaluated == 0:
			yield(nil, fmt.Errorf("no log is left to evaluate: %w", errors.Join(e.leftOut...)))
		case n > 0:
			e.sh.warn("note: %d logs are left out (all with --verbose): %v", n, e.leftOut[0])
		}
	}
}

// refusal is why a log is not to be evaluated.
type refusal struct{ error }

func (r *refusal) Unwrap() error { return r.error }

// looks are a run at all its cuts, in all settings.
func (e *evaluation) looks(s *eval.Sample) (looks []*eval.Sample) {
	cuts := e.cutsOf(s.Scene.Run)
	all := cuts
	if len(cuts) > 1 || cuts[0] < 1 {
		all = slices.Concat(cuts, e.between)
	}
	for k, cut := range all {
		one := *s
		one.Cut, one.Between = cut, k >= len(cuts)
		one.Scene = &tokenize.Scene{Run: s.Scene.Run, Cut: detect.CutAt(s.Scene.Run, cut), Reference: s.Scene.Reference}
		if n := e.c.Int("snapshots"); n > 0 && s.Scene.Run.Class == ingest.Events {
			asSeries(&one, n)
		}
		looks = append(looks, &one)
		if e.c.Bool("blind") && s.Setting != knownProgram && one.Scene.Reference.Runs() > 0 {
			blind := one
			blind.Setting = unknownProgram
			scene := *one.Scene
			scene.Reference = nil
			blind.Scene = &scene
			looks = append(looks, &blind)
		}
	}
	return looks
}

// asSeries puts n snapshots in the place of a sample's events.
func asSeries(s *eval.Sample, n int) {
	looks := tokenize.Looks{At: make([]uint32, n)}
	for k := range looks.At {
		looks.At[k] = uint32(uint64(s.Scene.Cut) * uint64(k+1) / uint64(n))
	}
	s.Truth = s.Truth.AsSeries(s.Scene)
	run, _ := s.Scene.AsSeries(looks)
	s.Scene = &tokenize.Scene{Run: run, Cut: run.Events, Reference: s.Scene.Reference}
}

// The settings of an evaluation. Of a known program the model learned other runs.
const (
	knownProgram   = "known program"
	withReference  = "with reference"
	unknownProgram = "no clean run known" // there is nothing to compare with
)

// cutsOf is the whole of a report, which has no middle.
func (e *evaluation) cutsOf(run *tokenize.Run) []float64 {
	if detect.CutAt(run, 0.5) == run.Events {
		return []float64{1}
	}
	return e.cuts
}

// sample reads a log and what is known of it. The labels of an Arrow file are
// those of the log that it was made from.
func (e *evaluation) sample(log string) (*eval.Sample, error) {
	name, isArrow := strings.CutSuffix(log, arrowSuffix)
	label, err := e.labels.Find(log)
	if err != nil && isArrow {
		label, err = e.labels.Find(name)
	} else if err == nil && log != "-" {
		err = label.Verify(log)
	}
	if err != nil {
		return nil, err
	}
	run, trace, err := e.sh.loadTraced(e.c.Context, log, e.c.String("log-format"))
	if err != nil {
		return nil, err
	}
	s := &eval.Sample{Program: label.Program, Log: log, Scene: &tokenize.Scene{Run: run}}
	program := cmp.Or(run.Program, label.Program)
	e.place(s, program)
	if err := e.admit(s, program, trace); err != nil {
		return nil, &refusal{err}
	}
	s.Truth, err = eval.Match(run, label)
	return s, err
}

// place says in which setting a run is judged, and with which clean runs.
func (e *evaluation) place(s *eval.Sample, program string) {
	if e.references != nil {
		s.Setting, s.Scene.Reference = withReference, tokenize.Choose(e.references, s.Scene.Run)
	} else {
		s.Setting, s.Scene.Reference = knownProgram, tokenize.Choose(e.known, s.Scene.Run)
	}
	if s.Scene.Reference.Runs() == 0 {
		s.Setting = unknownProgram
	}
	if e.c.Bool("known") && e.programs[program] {
		s.Setting = knownProgram
	}
}
