package plot

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"leakformer/train"
)

// Objectives of a [Step].
const (
	Leak      = "leak"
	NextEvent = "next event"
)

// Step is a line of a metrics file: one step of a training.
type Step struct {
	Step int `json:"step"`
	// Loss before the step, in nats.
	Loss float64 `json:"loss"`
	Rate float64 `json:"rate"`
	// Objective is Leak or NextEvent; their losses cannot be compared.
	Objective string `json:"objective"`
	// Tokens in the batch, padding left out.
	Tokens int `json:"tokens"`
	// Seconds since the training, or its resumption, began.
	Seconds float64 `json:"seconds"`
	// Judgement of the model on the runs held out, where one was made.
	Judgement *train.Judgement `json:"judgement,omitempty"`
}

// ReadSteps reads a metrics file. Where a training was stopped and resumed some
// steps were made twice: the later ones count.
func ReadSteps(r io.Reader) ([]Step, error) {
	var steps []Step
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		var s Step
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return nil, fmt.Errorf("metrics, line %d: %w", n, err)
		}
		for len(steps) > 0 && steps[len(steps)-1].Step >= s.Step {
			steps = steps[:len(steps)-1]
		}
		steps = append(steps, s)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return steps, nil
}

// Training draws, side by side, the losses over the steps, and precision over
// recall on the runs held out, with the point of the model's threshold.
func Training(w io.Writer, steps []Step, curve []train.CurvePoint, threshold float64) error {
	loss, err := losses(steps)
	if err != nil {
		return err
	}
	pr, err := precisionRecall(curve, threshold)
	if err != nil {
		return err
	}
	return write(w, 13*vg.Centimeter, loss, pr)
}

// losses smooths the losses of single steps, which jump with what their batch holds.
func losses(steps []Step) (*plot.Plot, error) {
	p := newPlot("Loss", "step", "cross-entropy (nats)")
	byObjective := map[string]plotter.XYs{}
	var held plotter.XYs
	for _, s := range steps {
		byObjective[s.Objective] = append(byObjective[s.Objective], plotter.XY{X: float64(s.Step), Y: s.Loss})
		if s.Judgement != nil {
			held = append(held, plotter.XY{X: float64(s.Step), Y: s.Judgement.Loss})
		}
	}
	const points = 40
	for i, l := range []struct {
		name   string
		points plotter.XYs
	}{
		{"leaks, training", average(byObjective[Leak], points)},
		{"leaks, held-out runs", held},
		{"next event, training", average(byObjective[NextEvent], points)},
	} {
		if err := addLine(p, l.name, i, l.points); err != nil {
			return nil, err
		}
	}
	p.Y.Min = 0
	return p, nil
}

// average puts one point in place of each of n runs of neighbours, their mean.
func average(xys plotter.XYs, n int) plotter.XYs {
	if len(xys) == 0 {
		return nil
	}
	var out plotter.XYs
	for some := range slices.Chunk(xys, (len(xys)+n-1)/n) {
		var mean plotter.XY
		for _, xy := range some {
			mean.X += xy.X / float64(len(some))
			mean.Y += xy.Y / float64(len(some))
		}
		out = append(out, mean)
	}
	return out
}

func precisionRecall(curve []train.CurvePoint, threshold float64) (*plot.Plot, error) {
	p := newPlot("Held-out runs", "recall", "precision")
	var line, chosen plotter.XYs
	nearest := math.Inf(1)
	for i, c := range curve {
		xy := plotter.XY{X: c.Recall, Y: c.Precision}
		if far := math.Abs(c.Threshold - threshold); far < nearest {
			nearest, chosen = far, plotter.XYs{xy}
		}
		// A curve has a point for each site: those that nobody could see are left out.
		const visible = 0.002
		if last := len(line) - 1; last >= 0 && i+1 < len(curve) &&
			math.Abs(line[last].X-xy.X) < visible && math.Abs(line[last].Y-xy.Y) < visible {
			continue
		}
		line = append(line, xy)
	}
	if err := addLine(p, "", 0, line); err != nil {
		return nil, err
	}
	if err := addPoint(p, fmt.Sprintf("threshold %.3f", threshold), 1, chosen); err != nil {
		return nil, err
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
	p.Legend.Top, p.Legend.Left = false, true
	return p, nil
}
