package main

import (
	"context"
	"log/slog"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"leakformer/model"
	"leakformer/model/torch"
	"leakformer/tokenize"
)

func modelFlag() cli.Flag {
	return &cli.StringFlag{Name: "model", Aliases: []string{"m"}, EnvVars: []string{"LEAKFORMER_MODEL"}, Value: model.DefaultName,
		Usage: "`MODEL` that leakformer train made, or the one that the program brings along"}
}

// noModel in place of a model's name means to do without.
const noModel = "none"

// readModel reads the model of this name.
func readModel(path string) (*model.Checkpoint, error) {
	if path == "" || path == model.DefaultName {
		return model.Default()
	}
	return model.Read(path)
}

func threadsFlag() cli.Flag {
	return &cli.IntFlag{Name: "threads", Usage: "that compute (default: one a physical core)"}
}

func deviceFlag() cli.Flag {
	return &cli.StringFlag{Name: "device", Value: "cpu", Usage: "`DEVICE` that the network computes on: cpu, cuda or cuda:N"}
}

// computing is what threadsFlag and deviceFlag say.
func computing(c *cli.Context) torch.Options {
	return torch.Options{Threads: c.Int("threads"), Device: c.String("device")}
}

// trained is a model ready to score.
type trained struct {
	*torch.Scorer
	checkpoint *model.Checkpoint
	// id names the model by file and weights.
	id string
}

// threshold from which on the model calls a site of a scene a leak.
func (t *trained) threshold(s *tokenize.Scene) float64 {
	return t.checkpoint.Manifest.Of(s).Threshold
}

// loadModel reads a model and has the network start, which takes longer. The
// caller closes it.
func (sh *shell) loadModel(path string, o torch.Options) (*trained, error) {
	torch.Preload()
	sh.tune()
	c, err := readModel(path)
	if err != nil {
		return nil, err
	}
	scorer, err := torch.NewScorer(c, o)
	if err != nil {
		return nil, err
	}
	t := &trained{scorer, c, filepath.Base(path) + "@" + c.ID()}
	sh.log.Debug("model", "id", t.id, "threshold", c.Manifest.Threshold, "steps", c.Manifest.Steps, "histories", len(c.Histories))
	return t, nil
}

// tune tells how the network is computed.
func (sh *shell) tune() {
	if sh.log.Enabled(context.Background(), slog.LevelDebug) { // or it would wait for libtorch
		sh.log.Debug("computing", "kernels", torch.Kernels(), "threads", torch.Cores())
	}
}
