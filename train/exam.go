package train

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"leakformer/tokenize"
)

// exam is the fixed set of sites by which a model is judged: all outstanding
// sites of some scenes of the runs held out, leaks as rare among them as in life.
type exam struct {
	examples  []example
	positives int
}

// maxExam bounds the number of sites of an exam.
const maxExam = 24000

// newExam draws scenes of the held-out runs at different moments, with clean runs
// to compare with, one to six sites leaking in each.
func newExam(samples []*sample, seed uint64) *exam {
	x := &exam{}
	rng := generator(seed, 2)
	for round := 0; round < 24 && len(x.examples) < maxExam; round++ {
		for _, s := range samples {
			sc := &tokenize.Scene{Run: s.run, Reference: s.others, Forgotten: s.forgotten}
			sc.Cut = max(1, uint32((0.2+0.75*rng.Float64())*float64(s.run.Events)))
			if s.planter != nil {
				sc.Forgotten = s.planter.plant(rng, sc.Cut, 1+rng.IntN(6))
			}
			sc.Views(func(v *tokenize.View) bool {
				e := newExample(v)
				if e.leak {
					x.positives++
				}
				x.examples = append(x.examples, e)
				return len(x.examples) < maxExam
			})
		}
	}
	return x
}

// predict returns the learner's logit of each site of the exam.
func (x *exam) predict(learner Learner, batch int) ([]float64, error) {
	order := make([]int, len(x.examples))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return x.examples[a].seq.Len() - x.examples[b].seq.Len() })
	logits := make([]float64, len(x.examples))
	for chunk := range slices.Chunk(order, batch) {
		es := make([]example, len(chunk))
		for i, j := range chunk {
			es[i] = x.examples[j]
		}
		site, _, err := learner.Predict(newBatch(es))
		if err != nil {
			return nil, err
		}
		for i, j := range chunk {
			logits[j] = float64(site[i])
			if math.IsNaN(logits[j]) {
				return nil, fmt.Errorf("the model's answer is not a number")
			}
		}
	}
	return logits, nil
}

func (x *exam) judge(learner Learner, batch int) (Judgement, error) {
	logits, err := x.predict(learner, batch)
	if err != nil {
		return Judgement{}, err
	}
	curve := x.curve(logits)
	j := Judgement{Positives: x.positives, Sites: len(x.examples), AveragePrecision: averagePrecision(curve)}
	best := bestF1(curve)
	j.F1, j.Precision, j.Recall = best.f1(), best.Precision, best.Recall
	for i, e := range x.examples {
		z := logits[i]
		if e.leak {
			z = -z
		}
		j.Loss += softplus(z)
	}
	j.Loss /= float64(max(len(x.examples), 1))
	return j, nil
}

// finish calibrates the learner and chooses its threshold.
func (x *exam) finish(learner Learner, batch int) (*Result, error) {
	j, err := x.judge(learner, batch)
	if err != nil {
		return nil, err
	}
	logits, err := x.predict(learner, batch)
	if err != nil {
		return nil, err
	}
	leak := make([]bool, len(x.examples))
	for i, e := range x.examples {
		leak[i] = e.leak
	}
	res := &Result{Best: j, Calibration: calibrate(logits, leak)}
	for i := range logits {
		logits[i] = res.Calibration.Probability(logits[i])
	}
	res.Curve = x.curve(logits)
	res.Threshold = bestF1(res.Curve).Threshold
	return res, nil
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
	hits := 0
	for n, i := range order {
		if x.examples[i].leak {
			hits++
		}
		threshold := scores[i]
		if n+1 < len(order) {
			if scores[order[n+1]] == scores[i] {
				continue
			}
			threshold = (scores[i] + scores[order[n+1]]) / 2
		}
		out = append(out, CurvePoint{threshold, float64(hits) / float64(n+1), float64(hits) / float64(max(x.positives, 1))})
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
	var best CurvePoint
	for _, p := range curve {
		if p.f1() > best.f1() {
			best = p
		}
	}
	return best
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
func calibrate(logits []float64, leak []bool) Calibration {
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
			w := p * (1 - p)
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
