// Package train teaches a model to tell leaks from what merely looks like them.
//
// It needs no labels: in the logs of clean runs it forgets frees (see planter), so
// that it knows which blocks leak. Labelled runs are used beside them where there
// are any. It knows nothing of the model's architecture: see [Learner].
package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"leakformer/tokenize"
)

// Config of a training. The zero value is the default of each field.
type Config struct {
	// Seed of everything that is drawn; 0 is a seed like any other.
	Seed uint64
	// Steps of the optimiser; 0: 2400.
	Steps int
	// BatchSize in sequences; 0: 128.
	BatchSize int
	// Rate is the highest learning rate; 0: 0.001.
	Rate float64
	// Warmup steps, in which the rate rises from 0; 0: a twentieth of Steps.
	Warmup int
	// ValidateEvery so many steps the model is judged and its state is saved; 0:
	// an eighth of Steps.
	ValidateEvery int
	// Patience is how many judgements without progress end the training; 0: 4.
	Patience int
	// Holdout is the share of the runs held out for validation, 0 to 1; 0: 0.15.
	Holdout float64
	// NextEvery: one in so many pools of batches asks for the next event in
	// place of leaks; 0: 6; 1 trains for the next event alone.
	NextEvery int
	// Objectives weighs what is learned; the zero value: DefaultObjectives.
	Objectives Objectives
	// Mix says as what the runs are shown; the zero value: DefaultMix.
	Mix Mix
	// Second judges sites beside the learner; nil: nobody.
	Second Second
	// Resume goes on from a saved state of a training with the same
	// configuration and data.
	Resume *State
	// Save is called with the state after each judgement; nil: not at all. The
	// state is valid until it returns.
	Save func(*State) error
}

func (c Config) withDefaults() (Config, error) {
	set := func(v *int, n int) {
		if *v == 0 {
			*v = max(n, 1)
		}
	}
	set(&c.Steps, 2400)
	set(&c.BatchSize, 128)
	set(&c.Warmup, c.Steps/20)
	set(&c.ValidateEvery, c.Steps/8)
	set(&c.Patience, 4)
	set(&c.NextEvery, 6)
	if c.Rate == 0 {
		c.Rate = 1e-3
	}
	if c.Holdout == 0 {
		c.Holdout = 0.15
	}
	for name, v := range map[string]int{"steps": c.Steps, "batch size": c.BatchSize, "warm-up": c.Warmup,
		"validation interval": c.ValidateEvery, "patience": c.Patience, "next-event interval": c.NextEvery} {
		if v < 0 {
			return c, fmt.Errorf("%s is %d; it has to be positive", name, v)
		}
	}
	if !(c.Rate >= 0) || !(c.Holdout >= 0 && c.Holdout <= 0.9) {
		return c, fmt.Errorf("learning rate %g and holdout %g: the rate has to be positive, the holdout between 0 and 0.9", c.Rate, c.Holdout)
	}
	if c.Objectives == (Objectives{}) {
		c.Objectives = DefaultObjectives
	}
	if c.Mix == (Mix{}) {
		c.Mix = DefaultMix
	}
	return c, errors.Join(c.Objectives.Validate(), c.Mix.Validate())
}

// State is a training between two steps.
type State struct {
	// Step is the number of steps made.
	Step int
	// Learner is what the learner saved; Best what it saved when it was judged best.
	Learner, Best []byte
	BestScore     float64
	Stale         int // judgements since the best
	Judgements    []Judgement
}

// Judgement is how good the model was on the runs held out.
type Judgement struct {
	Step int `json:"step"`
	// Loss is the mean cross-entropy of the sites, in nats.
	Loss float64 `json:"loss"`
	// AveragePrecision and F1 are of sites; F1 at the best threshold.
	AveragePrecision float64 `json:"average_precision"`
	F1               float64 `json:"f1"`
	Precision        float64 `json:"precision"`
	Recall           float64 `json:"recall"`
	// Positives of Sites leak.
	Positives int `json:"positives"`
	Sites     int `json:"sites"`
}

// Progress is told after each step.
type Progress struct {
	Step, Steps int
	Loss, Rate  float64
	// Causal steps ask for the next event: their loss is another.
	Causal bool
	// Tokens is the number of positions in the batch, padding left out.
	Tokens int
	// Elapsed since the training (or its resumption) began.
	Elapsed time.Duration
	// Judgement is set after the steps that end in one.
	Judgement *Judgement
}

// Result is a trained model's figures; the learner holds the best weights.
type Result struct {
	Steps int
	Best  Judgement
	// Judgements in the order they were made.
	Judgements []Judgement
	// Judgings turn the logits of sites into verdicts, [Joint] ones if there is a
	// second judge; BlockCalibration is for the learner's logits of blocks. All were
	// fitted on the runs held out.
	Judgings
	BlockCalibration Calibration
	// Curve is the precision and recall at each threshold on these runs.
	Curve []CurvePoint
	// Histories of the clean runs, held-out ones included: a model brings them
	// along to compare new runs of these programs with.
	Histories []*tokenize.History
	// Train and Valid are the numbers of runs.
	Train, Valid int
}

// Run trains the learner. The same data, configuration and learner give the same
// result. report may be nil.
func Run(ctx context.Context, cfg Config, data Data, learner Learner, report func(Progress)) (*Result, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if report == nil {
		report = func(Progress) {}
	}
	sp, err := newSplit(data, cfg.Holdout, cfg.Seed)
	if err != nil {
		return nil, err
	}
	draws := newSampler(sp.train, cfg)
	exam, err := prepare(ctx, cfg, sp, draws)
	if err != nil {
		return nil, err
	}
	st := cfg.Resume
	if st == nil {
		st = &State{}
	} else if err := learner.Load(bytes.NewReader(st.Learner)); err != nil {
		return nil, fmt.Errorf("resuming: %w", err)
	}
	if err := loop(ctx, cfg, draws, exam, st, learner, report); err != nil {
		return nil, err
	}
	if err := learner.Load(bytes.NewReader(st.Best)); err != nil {
		return nil, err
	}
	res, err := conclude(cfg, sp, exam, learner)
	if err != nil {
		return nil, err
	}
	res.Steps, res.Judgements = st.Step, st.Judgements
	return res, nil
}

// prepare has the second judge learn, if there is one, and draws the exam.
func prepare(ctx context.Context, cfg Config, sp *split, s *sampler) (*exam, error) {
	if cfg.Second != nil {
		cases := func(f func(Case) error) error { return toLearn(ctx, s, casesScenes, f) }
		if err := cfg.Second.Learn(ctx, cases); err != nil {
			return nil, err
		}
	}
	exam := newExam(sp.valid, cfg.Seed, asEvents, cfg.Second)
	if exam.positives == 0 {
		return nil, fmt.Errorf("the %d runs held out for validation have no freed block to forget: the logs are too short, or not of a program that frees", len(sp.valid))
	}
	return exam, nil
}

// conclude fits what turns logits into verdicts, for each kind of log; learner is nil
// where the second judges alone.
func conclude(cfg Config, sp *split, exam *exam, learner Learner) (*Result, error) {
	res, err := exam.finish(learner, cfg.BatchSize)
	if err != nil {
		return nil, err
	}
	for _, c := range []struct {
		as func(*rand.Rand, *tokenize.Scene) *tokenize.Scene
		to *Judging
	}{{asListing, &res.Report}, {asScans, &res.Suspects}, {asSeries, &res.Series}, {asBlind, &res.Blind}, {asBlindSeries, &res.BlindSeries}, {asEnded, &res.Ended}} {
		if *c.to, err = newExam(sp.valid, cfg.Seed, c.as, cfg.Second).judging(learner, cfg.BatchSize); err != nil {
			return nil, err
		}
		if c.to.Threshold == 1 { // nothing to go by
			*c.to = res.Judging
		}
	}
	res.Train, res.Valid, res.Histories = sp.runs-len(sp.valid), len(sp.valid), sp.all
	return res, nil
}

// loop makes the steps that are left. The batches are drawn by another goroutine,
// a pool ahead.
func loop(ctx context.Context, cfg Config, s *sampler, exam *exam, st *State, learner Learner, report func(Progress)) error {
	start := time.Now()
	ahead, stop := s.ahead(st.Step)
	defer stop()
	for st.Step < cfg.Steps && st.Stale < cfg.Patience {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, ok := <-ahead
		if !ok {
			return fmt.Errorf("no outstanding block in any of the runs to learn from")
		}
		rate := cfg.rate(st.Step)
		loss, err := learner.Step(b, rate)
		if err != nil {
			return fmt.Errorf("step %d: %w", st.Step, err)
		}
		if math.IsNaN(loss) || math.IsInf(loss, 0) {
			return fmt.Errorf("step %d: the loss is %v: train again with a lower rate than %g", st.Step, loss, cfg.Rate)
		}
		st.Step++
		p := Progress{Step: st.Step, Steps: cfg.Steps, Loss: loss, Rate: rate, Causal: b.Causal, Tokens: b.tokens(), Elapsed: time.Since(start)}
		if st.Step%cfg.ValidateEvery == 0 || st.Step == cfg.Steps {
			if p.Judgement, err = judge(cfg, exam, st, learner); err != nil {
				return err
			}
		}
		report(p)
	}
	return nil
}

// judge examines the learner, keeps it if it is the best so far, and saves the state.
func judge(cfg Config, exam *exam, st *State, learner Learner) (*Judgement, error) {
	j, err := exam.judge(learner, cfg.BatchSize)
	if err != nil {
		return nil, err
	}
	j.Step = st.Step
	st.Judgements = append(st.Judgements, j)
	var now bytes.Buffer
	if err := learner.Save(&now); err != nil {
		return nil, err
	}
	st.Learner = now.Bytes()
	st.Stale++
	if st.Best == nil || j.AveragePrecision > st.BestScore {
		st.Best, st.BestScore, st.Stale = st.Learner, j.AveragePrecision, 0
	}
	if cfg.Save != nil {
		if err := cfg.Save(st); err != nil {
			return nil, fmt.Errorf("saving the state: %w", err)
		}
	}
	return &j, nil
}

// rate rises in a line over the warm-up and falls in a half cosine to a twentieth.
func (c Config) rate(step int) float64 {
	if step < c.Warmup {
		return c.Rate * float64(step+1) / float64(c.Warmup)
	}
	t := float64(step-c.Warmup) / float64(max(c.Steps-c.Warmup, 1))
	return c.Rate * (0.05 + 0.95*0.5*(1+math.Cos(math.Pi*t)))
}

// tokens is the number of positions that are not padding.
func (b *Batch) tokens() int {
	n := 0
	for _, l := range b.Lengths {
		n += int(l)
	}
	return n
}

// ahead returns a channel of the batches from a step on, and a function that ends
// the goroutine which makes them.
func (s *sampler) ahead(step int) (<-chan *Batch, func()) {
	out, quit, gone := make(chan *Batch, poolBatches), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		defer close(out)
		for k, skip := step/poolBatches, step%poolBatches; ; k++ {
			pool := s.pool(k)
			if len(pool) == 0 {
				return
			}
			for i := range poolBatches {
				if k == step/poolBatches && i < skip {
					continue
				}
				select {
				case out <- pool[i%len(pool)]:
				case <-quit:
					return
				}
			}
		}
	}()
	return out, func() { close(quit); <-gone }
}

// generator is a source of chance of its own for each purpose.
func generator(seed, purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, purpose)) }
