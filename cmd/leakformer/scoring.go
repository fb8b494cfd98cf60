package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"leakformer/cmd/leakformer/internal/plot"
	"leakformer/detect"
	"leakformer/ingest"
	"leakformer/ingest/atomicfile"
	"leakformer/tokenize"
)

// scoring is one score command: what its logs share.
type scoring struct {
	sh       *shell
	c        *cli.Context
	model    *trained
	detector detect.Detector
	// out gets the findings of all logs.
	out detect.Handler
	// reference are the clean runs named; nil where none are, and the model's own
	// are taken.
	reference tokenize.Reference
	named     bool
	// byFile: a run is called by its file, and not by the log that an Arrow file was
	// made of.
	byFile bool
	// titled: the text says of each run whose it is, before its findings.
	titled bool
	runs   int // judged
	leaks  int // found in all of them
}

// newScoring checks the flags that all commands have that score logs, and reads the
// model, the clean runs and the suppressions. The caller closes the model.
func (sh *shell) newScoring(c *cli.Context, out detect.Handler) (*scoring, error) {
	if !c.Args().Present() {
		return nil, usagef("%s: name a log", c.Command.Name)
	}
	if cut := c.Float64("cut"); !(cut > 0 && cut <= 1) {
		return nil, usagef("%s: --cut %v: want a share of the events, more than 0 and at most 1", c.Command.Name, cut)
	}
	if err := checkThreshold(c); err != nil {
		return nil, err
	}
	suppressions, err := sh.suppressions(c.StringSlice("suppressions"))
	if err != nil {
		return nil, err
	}
	m, err := sh.loadModel(c.String("model"), computing(c))
	if err != nil {
		return nil, err
	}
	s := &scoring{sh: sh, c: c, model: m, out: out}
	s.detector = detect.Detector{Scorer: m, Model: m.id, All: c.Bool("all"), Explain: c.Int("explain"),
		Suppressions: suppressions, Progress: sh.sitesDone(),
		Cost: detect.Cost{Precision: c.Float64("precision"), FalseAlarms: c.Float64("max-false-alarms-per-run")}}
	if c.IsSet("threshold") {
		s.detector.Threshold = c.Float64("threshold")
	}
	if references := c.StringSlice("reference"); len(references) > 0 {
		s.named = true
		if s.reference, err = sh.histories(c, references); err != nil {
			m.Close()
			return nil, err
		}
	}
	return s, nil
}

// suppressions reads files of leaks that nobody wants to hear of, and tells which
// entries have expired.
func (sh *shell) suppressions(paths []string) (all detect.Suppressions, err error) {
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("suppressions: %w", err)
		}
		read, err := detect.ReadSuppressions(path, f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("suppressions: %w", err)
		}
		valid, expired := read.On(time.Now())
		for _, e := range expired {
			sh.warn("warning: %v expired on %s: it suppresses nothing", &e, e.Until.Format(time.DateOnly))
		}
		all = append(all, valid...)
	}
	return all, nil
}

// arguments scores the logs that the command names, and ends the output.
func (s *scoring) arguments() error {
	files, err := expandSeries(s.c.Args().Slice())
	if err != nil {
		return err
	}
	return s.logs(files)
}

// logs scores logs one after the other. One that cannot be read does not keep the
// others from being judged.
func (s *scoring) logs(files []logFile) error {
	s.titled = len(files) > 1
	failed := 0
	for _, file := range files {
		err := s.log(file)
		if err == nil {
			continue
		}
		if len(files) == 1 || s.c.Context.Err() != nil {
			return err
		}
		if s.sh.passOver(file, err) {
			continue
		}
		s.sh.warn("%v", err)
		failed++
	}
	switch {
	case failed > 0:
		return errors.Join(fmt.Errorf("%d of %d logs could not be scored", failed, len(files)), s.end())
	case s.runs == 0:
		return errors.New("no log in " + strings.Join(s.c.Args().Slice(), ", "))
	}
	return s.verdict()
}

// verdict ends the output, and is the result of the command.
func (s *scoring) verdict() error {
	if err := s.end(); err != nil {
		return err
	}
	if s.leaks > 0 {
		return errLeaks
	}
	return nil
}

// end writes what an output keeps until then.
func (s *scoring) end() error {
	if out, ok := s.out.(io.Closer); ok {
		return out.Close()
	}
	return nil
}

// log scores each process of a log.
func (s *scoring) log(file logFile) error {
	runs, err := s.load(file)
	if err != nil {
		return err
	}
	for _, run := range runs {
		s.title(run, len(runs) > 1)
		if err := s.judge(s.c.Context, run, s.out); err != nil {
			return err
		}
	}
	return nil
}

// load reads a log whole: a run for each process.
func (s *scoring) load(file logFile) ([]*tokenize.Run, error) {
	runs, err := s.sh.loadEach(s.c.Context, file, s.c.String("log-format"))
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent())
	}
	if s.byFile && len(runs) == 1 && file.path != "-" {
		runs[0].Name = file.path
	}
	return runs, err
}

// garbage is how many bytes of it there may be once a long log is read. Its blocks are
// nearly all memory there is, and hold no pointers: to look for it costs little.
const garbage = 32 << 20

// garbagePercent is that as a share of the memory in use.
func garbagePercent() int {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(min(max(100*garbage/m.HeapAlloc, 2), 20))
}

// title says whose findings follow, where text is of several runs.
func (s *scoring) title(run *tokenize.Run, several bool) {
	if s.c.String("format") != "text" || !s.titled && !several {
		return
	}
	if s.runs > 0 {
		fmt.Fprintln(s.sh.stdout)
	}
	fmt.Fprintf(s.sh.stdout, "%s:\n", run.Name)
}

// scene is a run beside the clean runs to compare it with.
func (s *scoring) scene(run *tokenize.Run) *tokenize.Scene {
	scene := &tokenize.Scene{Run: run, Cut: detect.CutAt(run, s.c.Float64("cut")), Reference: s.reference.For(run)}
	if !s.named {
		scene.Reference = tokenize.Choose(s.model.checkpoint.Histories, run)
	}
	return scene
}

// detectorOf is the detector with the threshold for a scene.
func (s *scoring) detectorOf(scene *tokenize.Scene) detect.Detector {
	d := s.detector
	if !s.c.IsSet("threshold") {
		d.Threshold = s.model.threshold(scene)
	}
	return d
}

// judge hands the findings of a run to a handler, and draws them if asked to.
func (s *scoring) judge(ctx context.Context, run *tokenize.Run, handler detect.Handler) error {
	scene := s.scene(run)
	d := s.detectorOf(scene)
	d.Warnings = s.referenceWarnings(scene)
	findings := &plot.Findings{Handler: handler}
	sum, err := d.Detect(ctx, scene, findings)
	if err != nil {
		return err
	}
	s.runs++
	s.leaks += sum.Leaks
	for _, l := range append(sum.Suppressed, sum.Known...) {
		s.sh.log.Debug("left out", "log", run.Name, "site", l.Site, "bytes", l.Leaked.Bytes, "by", cmp.Or(l.By, "the baseline"))
	}
	path := s.c.String("picture")
	if path == "" {
		return nil
	}
	return atomicfile.Write(numbered(path, s.runs), findings.Draw)
}

// numbered puts the number n, from 2 on, before the extension of a file name.
func numbered(path string, n int) string {
	if n < 2 {
		return path
	}
	ext := filepath.Ext(path)
	return fmt.Sprintf("%s.%d%s", strings.TrimSuffix(path, ext), n, ext)
}

// follow scores a log that is still being written: now and then what is there, and at
// last all of it. Each leak is listed once, when it is first found; the summaries at
// the end count what is found then.
func (s *scoring) follow(path string) error {
	err := s.sh.follow(s.c, path, s.c.String("log-format"), func(ctx context.Context, src ingest.Source, f *ingest.Follower) error {
		loader := tokenize.NewLoader(src)
		told := told{}
		var failed error
		var begun, judged time.Time
		f.Quiet = func() {
			// A young log is looked at each time that it is twice as old.
			if failed != nil || time.Since(judged) < min(s.c.Duration("every"), judged.Sub(begun)) {
				return
			}
			runs := loader.Runs()
			if len(runs) == 1 && runs[0].Blocks.Len() == 0 {
				return // it has not begun
			}
			if begun.IsZero() {
				begun = time.Now()
			}
			for _, run := range runs {
				failed = errors.Join(failed, s.glance(ctx, run, told))
			}
			judged = time.Now()
		}
		err := loader.Read(ctx)
		if err := errors.Join(err, failed); err != nil {
			return err
		}
		runs := loader.Runs()
		s.sh.loaded(runs, src.Report())
		for _, run := range runs {
			if err := s.judge(ctx, run, told.handler(run, s.out)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.verdict()
}

// glance lists the new leaks of a run that is not over yet.
func (s *scoring) glance(ctx context.Context, run *tokenize.Run, told told) error {
	if run.Blocks.Len() == 0 {
		return nil
	}
	out, err := findingsOutput(s.c.String("format"), s.sh.stdout)
	if err != nil {
		return err
	}
	scene := s.scene(run)
	d := s.detectorOf(scene)
	d.All, d.Progress = false, nil
	_, err = d.Detect(ctx, scene, told.handler(run, findingsOnly{out}))
	return err
}

// told are the sites that were listed, by run.
type told map[string]map[tokenize.Key]bool

// handler passes on the findings that were not listed before.
func (t told) handler(run *tokenize.Run, to detect.Handler) detect.Handler {
	if t[run.Name] == nil {
		t[run.Name] = map[tokenize.Key]bool{}
	}
	return &onlyNew{to, t[run.Name]}
}

type onlyNew struct {
	detect.Handler
	told map[tokenize.Key]bool
}

func (h *onlyNew) Finding(f *detect.Finding) error {
	site := f.Key().Exact
	if h.told[site] {
		return nil
	}
	h.told[site] = f.Leak
	return h.Handler.Finding(f)
}

// findingsOnly drops the summary.
type findingsOnly struct{ detect.Handler }

func (findingsOnly) Summary(*detect.Summary) error { return nil }
