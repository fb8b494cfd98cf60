package torch

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"leakformer/model"
)

// usual is the architecture that leakformer trains by default, over a vocabulary
// of a few hundred ids.
var usual = model.Config{Vocab: 600, Fields: 14, NextClasses: 65, Dropout: 0.1}

// The unit is a position: the Fields ids that describe one event.
func benchmark(b *testing.B, c model.Config, threads int, each func(n *Net) error) {
	n := newNet(b, c, Options{Threads: threads, Clip: 1})
	if err := each(n); err != nil { // libtorch's first use of everything
		b.Fatal(err)
	}
	busy := processorTime(b)
	for b.Loop() {
		if err := each(n); err != nil {
			b.Fatal(err)
		}
	}
	positions := float64(b.N) * batchPositions
	b.ReportMetric(positions/b.Elapsed().Seconds(), "positions/s")
	b.ReportMetric(positions/(processorTime(b)-busy).Seconds(), "positions/cpu-s")
}

// processorTime is what the process has used so far on all its threads. Unlike
// the clock it means the same on a busy machine.
func processorTime(b testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const (
	batchSequences = 64
	batchLength    = 96
	batchPositions = batchSequences * batchLength
)

func BenchmarkTrain(b *testing.B) {
	c := usual.WithDefaults()
	batch := lifetimed(random(1), c, labelled(random(1), c, batchSequences, batchLength))
	for i := range batch.Lengths {
		batch.Lengths[i] = batchLength
	}
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			benchmark(b, c, threads, func(n *Net) error { _, err := n.Step(batch, 1e-4); return err })
		})
	}
}

func BenchmarkTrainNextEvent(b *testing.B) {
	c := usual.WithDefaults()
	batch := lifetimed(random(1), c, following(random(1), c, batchSequences, batchLength))
	for i := range batch.Lengths {
		batch.Lengths[i] = batchLength
	}
	benchmark(b, c, 1, func(n *Net) error { _, err := n.Step(batch, 1e-4); return err })
}

func BenchmarkPredict(b *testing.B) {
	c := usual.WithDefaults()
	batch := labelled(random(1), c, batchSequences, batchLength)
	for i := range batch.Lengths {
		batch.Lengths[i] = batchLength
	}
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			benchmark(b, c, threads, func(n *Net) error { _, _, err := n.Predict(batch); return err })
		})
	}
}
