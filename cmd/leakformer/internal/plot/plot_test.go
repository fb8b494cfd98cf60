package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"gonum.org/v1/plot/plotter"

	"leakformer/train"
)

func TestReadSteps(t *testing.T) {
	// Stopped after step 3, resumed from the state after step 1.
	const text = `{"step":1,"loss":0.9,"objective":"leak"}
{"step":2,"loss":0.8,"objective":"leak"}
{"step":3,"loss":0.7,"objective":"leak"}
{"step":2,"loss":0.6,"objective":"next event"}
{"step":3,"loss":0.5,"objective":"leak","judgement":{"step":3,"loss":0.25}}
`
	steps, err := ReadSteps(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var losses []float64
	for _, s := range steps {
		losses = append(losses, s.Loss)
	}
	if len(losses) != 3 || losses[0] != 0.9 || losses[1] != 0.6 || losses[2] != 0.5 {
		t.Errorf("losses %v, want 0.9 0.6 0.5", losses)
	}
	if j := steps[2].Judgement; j == nil || j.Loss != 0.25 {
		t.Errorf("judgement %+v", j)
	}
	if _, err := ReadSteps(strings.NewReader("{}\n{\"step\":")); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("error %v of a line cut off, want one that names line 2", err)
	}
}

func TestAverage(t *testing.T) {
	got := average(plotter.XYs{{X: 1, Y: 4}, {X: 2, Y: 2}, {X: 3, Y: 9}, {X: 5, Y: 1}, {X: 6, Y: 7}}, 3)
	want := plotter.XYs{{X: 1.5, Y: 3}, {X: 4, Y: 5}, {X: 6, Y: 7}}
	if len(got) != len(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v, want %v", got, want)
		}
	}
}

// words are the texts of a picture, which has to be well-formed.
func words(t *testing.T, svg []byte) string {
	t.Helper()
	var all []string
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return strings.Join(all, "|")
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		if text, ok := token.(xml.CharData); ok && strings.TrimSpace(string(text)) != "" {
			all = append(all, strings.TrimSpace(string(text)))
		}
	}
}

func TestTraining(t *testing.T) {
	var steps []Step
	for i := range 300 {
		s := Step{Step: i + 1, Loss: 1 / float64(i+1), Objective: Leak}
		if i%6 == 0 {
			s.Objective, s.Loss = NextEvent, 3
		}
		if i%100 == 99 {
			s.Judgement = &train.Judgement{Loss: 0.1}
		}
		steps = append(steps, s)
	}
	var curve []train.CurvePoint
	for i := range 10000 {
		curve = append(curve, train.CurvePoint{Threshold: 1 - float64(i)/10000, Precision: 1 - float64(i)/20000, Recall: float64(i) / 10000})
	}
	draw := func(steps []Step, curve []train.CurvePoint, threshold float64) []byte {
		var b bytes.Buffer
		if err := Training(&b, steps, curve, threshold); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	// A threshold lies between the points of the curve.
	svg := draw(steps, curve, curve[5000].Threshold+1e-5)
	text := words(t, svg)
	for _, want := range []string{"leaks, training", "leaks, held-out runs", "next event, training", "recall", "precision", "threshold 0.500"} {
		if !strings.Contains(text, want) {
			t.Errorf("the picture does not say %q: %s", want, text)
		}
	}
	if len(svg) > 200_000 {
		t.Errorf("%d bytes for a picture: a curve of many points was not thinned", len(svg))
	}
	if !bytes.Equal(svg, draw(steps, curve, curve[5000].Threshold+1e-5)) {
		t.Error("two pictures of the same training differ")
	}
	if text := words(t, draw(nil, nil, 0.5)); strings.Contains(text, "training") || strings.Contains(text, "threshold") {
		t.Errorf("a picture of no training shows lines: %s", text)
	}
}
