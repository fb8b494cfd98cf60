package train

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"leakformer/tokenize"
)

// exam is the fixed set of sites by which a model is judged: the sites that leak
// in scenes of the runs held out, and some of those that do not, which stand for
// all of them by their weight: leaks are as rare as in life.
type exam struct {
	examples []example
	// weights of the examples; positives is how many of them leak.
	weights   []float64
	positives int
	// kind of the logs, and second the logits of the one that judges beside the
	// learner; nil without.
	kind   tokenize.Kind
	second []float64
}

const (
	// examScenes is how many scenes of the held-out runs an exam has, in all.
	examScenes = 288
	// examSites is how many sites that do not leak it takes from each.
	examSites = 48
)

// newExam draws scenes of the held-out runs at different moments, with clean runs
// to compare with, one to six sites leaking in each, and shows them as logs of some
// class would.
func newExam(samples []*sample, seed uint64, as func(*rand.Rand, *tokenize.Scene) *tokenize.Scene, second Second) *exam {
	x := &exam{}
	examine(samples, seed, func(sc *tokenize.Scene, rng *rand.Rand) error {
		if sc := as(rng, sc); sc != nil {
			x.addScene(rng, sc, second)
		}
		return nil
	})
	return x
}

// asEvents is for logs that show every event.
func asEvents(_ *rand.Rand, sc *tokenize.Scene) *tokenize.Scene { return sc }

// asBlind is for logs of a program of which no clean run is known.
func asBlind(_ *rand.Rand, sc *tokenize.Scene) *tokenize.Scene {
	sc.Reference = nil
	return sc
}

// asEnded is for runs that have ended; it is nil where the log shows no teardown.
func asEnded(_ *rand.Rand, sc *tokenize.Scene) *tokenize.Scene {
	sc.Cut = sc.Run.Events
	if !sc.Ended() {
		return nil
	}
	return sc
}

// addScene adds the sites of a scene that leak, and some of those that do not.
func (x *exam) addScene(rng *rand.Rand, sc *tokenize.Scene, second Second) {
	x.kind = sc.Kind()
	cases(rng, sc, examSites, func(c Case) error {
		x.add(newExample(c.View), c.Weight)
		if second != nil {
			x.second = append(x.second, second.Logit(c.View))
		}
		return nil
	})
}

// examine draws the scenes of an exam.
func examine(samples []*sample, seed uint64, f func(*tokenize.Scene, *rand.Rand) error) error {
	rng := generator(seed, 2)
	for k := range max(examScenes, len(samples)) {
		s := samples[k%len(samples)]
		sc := &tokenize.Scene{Run: s.run, Reference: s.others, Forgotten: s.forgotten}
		sc.Cut = max(1, uint32((0.2+0.75*rng.Float64())*float64(s.run.Events)))
		if s.planter != nil {
			sc.Forgotten = s.planter.plant(rng, sc.Cut, 1+rng.IntN(6))
		}
		if err := f(sc, rng); err != nil {
			return err
		}
	}
	return nil
}

func (x *exam) add(e example, weight float64) {
	x.examples = append(x.examples, e)
	x.weights = append(x.weights, weight)
	if e.leak {
		x.positives++
	}
}

// answers are a learner's logits for the examples of an exam: for each site, and
// for each position of its sequence.
type answers struct {
	sites  []float64
	blocks [][]float32
}

// joint asks those that judge logs of the kind about every example. The second says
// nothing of blocks.
func (x *exam) joint(learner Learner, batch int) (*answers, error) {
	if learner == nil || x.second != nil && !BothJudge(x.kind) {
		return &answers{sites: x.second}, nil
	}
	a, err := x.predict(learner, batch)
	if err != nil {
		return nil, err
	}
	for i, z := range x.second {
		a.sites[i] = Joint(a.sites[i], z)
	}
	return a, nil
}

// predict asks the learner about every example.
func (x *exam) predict(learner Learner, batch int) (*answers, error) {
	order := make([]int, len(x.examples))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return x.examples[a].seq.Len() - x.examples[b].seq.Len() })
	out := &answers{make([]float64, len(order)), make([][]float32, len(order))}
	for chunk := range slices.Chunk(order, batch) {
		seqs := make([]*tokenize.Sequence, len(chunk))
		for i, j := range chunk {
			seqs[i] = x.examples[j].seq
		}
		b := NewBatch(seqs)
		site, block, err := learner.Predict(b)
		if err != nil {
			return nil, err
		}
		for i, j := range chunk {
			out.sites[j] = float64(site[i])
			out.blocks[j] = block[i*b.L : i*b.L+seqs[i].Len()]
			if math.IsNaN(out.sites[j]) {
				return nil, fmt.Errorf("the model's answer is not a number")
			}
		}
	}
	return out, nil
}

func (x *exam) judge(learner Learner, batch int) (Judgement, error) {
	a, err := x.predict(learner, batch)
	if err != nil {
		return Judgement{}, err
	}
	return x.grade(a), nil
}

func (x *exam) grade(a *answers) Judgement {
	curve := x.curve(a.sites)
	best := bestF1(curve)
	j := Judgement{Positives: x.positives, AveragePrecision: averagePrecision(curve),
		F1: best.f1(), Precision: best.Precision, Recall: best.Recall}
	all := 0.0
	for i, e := range x.examples {
		z := a.sites[i]
		if e.leak {
			z = -z
		}
		j.Loss += x.weights[i] * softplus(z)
		all += x.weights[i]
	}
	j.Loss /= max(all, 1)
	j.Sites = int(all)
	return j
}

// calibration fits the probabilities of sites.
func (x *exam) calibration(a *answers) Calibration {
	leak := make([]bool, len(x.examples))
	for i, e := range x.examples {
		leak[i] = e.leak
	}
	return calibrate(a.sites, leak, x.weights)
}

// Judging turns a learner's logits of sites into verdicts: into probabilities, and
// those that reach the threshold into leaks.
type Judging struct {
	Calibration Calibration
	Threshold   float64
}

// Judgings are those for all kinds of logs.
type Judgings struct {
	// Judging is for event logs of programs of which clean runs are known.
	Judging
	// Report is for logs that list only what is outstanding, Suspects for those of a
	// leak checker that does not judge what it lists, Series for snapshots, Blind where
	// there is no clean run to compare with, BlindSeries for both, and Ended after a
	// run's teardown.
	Report, Suspects, Series, Blind, BlindSeries, Ended Judging
}

// judging fits the probabilities to the joint answers and chooses a threshold.
func (x *exam) judging(learner Learner, batch int) (Judging, error) {
	a, err := x.joint(learner, batch)
	if err != nil || x.positives == 0 {
		return Judging{Threshold: 1}, err
	}
	c := x.calibration(a)
	return Judging{c, threshold(x.curveOf(a, c))}, nil
}

// curveOf is the precision and recall at each probability.
func (x *exam) curveOf(a *answers, c Calibration) []CurvePoint {
	probabilities := make([]float64, len(a.sites))
	for i, z := range a.sites {
		probabilities[i] = c.Probability(z)
	}
	return x.curve(probabilities)
}

// finish calibrates the joint answers and chooses the threshold.
func (x *exam) finish(learner Learner, batch int) (*Result, error) {
	a, err := x.joint(learner, batch)
	if err != nil {
		return nil, err
	}
	res := &Result{Best: x.grade(a), BlockCalibration: x.blockCalibration(a)}
	res.Calibration = x.calibration(a)
	res.Curve = x.curveOf(a, res.Calibration)
	res.Threshold = threshold(res.Curve)
	return res, nil
}

// blockCalibration fits the probabilities of blocks.
func (x *exam) blockCalibration(a *answers) Calibration {
	var blocks, weights []float64
	var leaked []bool
	for i := range a.blocks {
		e := &x.examples[i]
		for pos, live := range e.seq.Live {
			if live {
				blocks = append(blocks, float64(a.blocks[i][pos]))
				weights = append(weights, x.weights[i])
				leaked = append(leaked, e.blocks[pos])
			}
		}
	}
	return calibrate(blocks, leaked, weights)
}

// CurvePoint is the precision and recall of calling all sites leaks whose score
// is at least the threshold.
type CurvePoint struct {
	Threshold float64 `json:"threshold"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
}

func (p CurvePoint) f1() float64 {
	if p.Precision+p.Recall == 0 {
		return 0
	}
	return 2 * p.Precision * p.Recall / (p.Precision + p.Recall)
}

// curve goes through the scores from the highest down; equal scores are one point.
// The threshold of a point lies half-way to the next lower score.
func (x *exam) curve(scores []float64) []CurvePoint {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	var out []CurvePoint
	hits, all := 0.0, 0.0
	for n, i := range order {
		all += x.weights[i]
		if x.examples[i].leak {
			hits += x.weights[i]
		}
		threshold := scores[i]
		if n+1 < len(order) {
			if scores[order[n+1]] == scores[i] {
				continue
			}
			threshold = (scores[i] + scores[order[n+1]]) / 2
		}
		out = append(out, CurvePoint{threshold, hits / all, hits / float64(max(x.positives, 1))})
	}
	return out
}

// averagePrecision is the area under the precision-recall curve, as a sum of
// steps of recall times precision.
func averagePrecision(curve []CurvePoint) float64 {
	ap, recall := 0.0, 0.0
	for _, p := range curve {
		ap += (p.Recall - recall) * p.Precision
		recall = p.Recall
	}
	return ap
}

func bestF1(curve []CurvePoint) CurvePoint {
	if i := bestAt(curve); i >= 0 {
		return curve[i]
	}
	return CurvePoint{}
}

// bestAt is where on the curve F1 is highest, first; -1 where there is no curve.
func bestAt(curve []CurvePoint) int {
	best := -1
	for i, p := range curve {
		if best < 0 || p.f1() > curve[best].f1() {
			best = i
		}
	}
	return best
}

// threshold is half of the best F1. That is where F1 is best if the probabilities are
// right (Lipton, Elkan and Naryanaswamy 2014), and it is steadier than the threshold
// that happened to be the best on the runs held out.
func threshold(curve []CurvePoint) float64 {
	best := bestF1(curve).f1()
	if best == 0 {
		return 1 // nothing to go by: no site is called a leak
	}
	return best / 2
}

// Calibration turns a logit z into the probability 1/(1+exp(-(A z + B))): Platt
// scaling (Platt 1999).
type Calibration struct {
	A float64 `json:"a"`
	B float64 `json:"b"`
}

// Probability of a logit.
func (c Calibration) Probability(logit float64) float64 {
	return 1 / (1 + math.Exp(-(c.A*logit + c.B)))
}

// calibrate fits A and B by Newton's method on the cross-entropy, with a weak pull
// towards A = 1, B = 0 that keeps it finite where the classes are separable.
func calibrate(logits []float64, leak []bool, weights []float64) Calibration {
	c := Calibration{A: 1}
	for range 100 {
		ga, gb := 1e-3*(c.A-1), 1e-3*c.B
		haa, hab, hbb := 1e-3, 0.0, 1e-3
		for i, z := range logits {
			p := c.Probability(z)
			d := p
			if leak[i] {
				d--
			}
			d *= weights[i]
			w := weights[i] * p * (1 - p)
			ga += d * z
			gb += d
			haa += w * z * z
			hab += w * z
			hbb += w
		}
		det := haa*hbb - hab*hab
		if det <= 0 {
			break
		}
		da, db := (hbb*ga-hab*gb)/det, (haa*gb-hab*ga)/det
		// A bounded step keeps the first iterations from overshooting.
		scale := 1 / max(1, math.Hypot(da, db))
		c.A -= da * scale
		c.B -= db * scale
		if math.Hypot(da, db) < 1e-9 {
			break
		}
	}
	c.A = max(c.A, 1e-3) // a model that ranks backwards is still a ranking
	return c
}

func softplus(z float64) float64 {
	return max(z, 0) + math.Log1p(math.Exp(-math.Abs(z)))
}
