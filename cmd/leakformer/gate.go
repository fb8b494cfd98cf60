package main

import (
	"bufio"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"leakformer/detect"
	"leakformer/detect/report"
)

func (sh *shell) gate() *cli.Command {
	return &cli.Command{
		Name:      "gate",
		Usage:     "find the leaks in logs that are new since a baseline",
		ArgsUsage: "LOG...",
		Description: "The baseline is a log, which is scored as the others are, or what score --format jsonl\n" +
			"wrote. Exits with status 3 if a site leaks that does not leak there. Sites are the same where their\n" +
			"frames are, or, if one is no longer there, where their functions have the same names.",
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "baseline", Aliases: []string{"b"}, Usage: "`FILE` with the leaks that are known, or a log that has them; may be repeated"},
			findingsFlag(),
		}, scoringFlags()...),
		Action: sh.gateAction,
	}
}

func (sh *shell) gateAction(c *cli.Context) error {
	out, err := findingsOutput(c.String("format"), sh.stdout)
	if err != nil {
		return err
	}
	if len(c.StringSlice("baseline")) == 0 {
		return usagef("gate: --baseline has to name the findings or the log to compare with")
	}
	s, err := sh.newScoring(c, out)
	if err != nil {
		return err
	}
	defer s.model.Close()
	baseline, err := s.baseline(c.StringSlice("baseline"))
	if err != nil {
		return fmt.Errorf("baseline: %w", err)
	}
	sh.log.Debug("baseline", "leaking sites", baseline.Len())
	s.detector.Baseline = baseline
	return s.arguments()
}

// baseline reads the leaks that are known.
func (s *scoring) baseline(paths []string) (*detect.Baseline, error) {
	files, err := expandSeries(paths)
	if err != nil {
		return nil, err
	}
	b := &detect.Baseline{}
	for _, file := range files {
		known := s.leaksOf
		if holdsFindings(file.path) {
			known = readLeaks
		}
		leaks, err := known(file)
		if s.sh.passOver(file, err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, k := range leaks {
			b.Add(k)
		}
	}
	return b, nil
}

// holdsFindings reports whether a file is what score --format jsonl wrote, and no log.
// It looks into plain files alone: a pipe cannot be opened again.
func holdsFindings(path string) bool {
	if st, err := os.Stat(path); err != nil || !st.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false // who reads it as a log will tell
	}
	defer f.Close()
	head, _ := bufio.NewReader(f).Peek(16)
	return report.IsJSONLines(head)
}

func readLeaks(file logFile) ([]detect.SiteKey, error) {
	f, err := os.Open(file.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return report.ReadLeaks(file.path, f)
}

// leaksOf scores a log for the sites that leak.
func (s *scoring) leaksOf(file logFile) ([]detect.SiteKey, error) {
	runs, err := s.load(file)
	if err != nil {
		return nil, err
	}
	var found keys
	for _, run := range runs {
		scene := s.scene(run)
		d := s.detectorOf(scene)
		d.Suppressions, d.Explain = nil, 0
		if _, err := d.Detect(s.c.Context, scene, &found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// keys is a handler that keeps the sites of leaks.
type keys []detect.SiteKey

func (k *keys) Finding(f *detect.Finding) error {
	if f.Leak {
		*k = append(*k, f.Key())
	}
	return nil
}

func (k *keys) Summary(*detect.Summary) error { return nil }
