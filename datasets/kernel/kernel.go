// Package kernel makes labelled logs of kmemleak, the kernel's leak detector.
//
// [Collect] boots a User Mode Linux kernel again and again, each time with one
// module of ours (folder modules) that plays a driver: it has planted leaks, and
// objects that only look like leaks because the scan does not see the pointers to
// them. The first process (init.c) scans repeatedly and collects what the kernel
// suspects. The modules tell the truth about every object, in a place where it is
// no reference for the scan, and so every suspect of every scan can be judged.
//
// What is booted is built by build.sh; make kernel-lab does all of it.
package kernel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"leakformer/datasets"
)

// Config says what to collect. Of the zero value Kernel is missing.
type Config struct {
	Kernel  string        // folder that build.sh filled
	Dir     string        // where logs, labels and the manifest go; empty: the current folder
	Modules []string      // nil: Modules()
	Clean   int           // clean runs of each module; 0: 2; negative: none
	Leaky   int           // leaky runs of each module; 0: 6; negative: none
	Seed    uint64        // of everything drawn
	Scans   int           // scans of a run at most; 0: 20
	Timeout time.Duration // for one run; 0: two minutes

	// Progress is called after each run, if not nil: with its row and what the
	// scans found, or with the reason why there is none.
	Progress func(datasets.Run, *Truth, *datasets.Failure)
}

// Modules are the names of the modules with planted leaks.
func Modules() []string {
	return []string{"labnet", "labblk", "labdev", "labcache", "labfs"}
}

func (c Config) withDefaults() Config {
	if c.Dir == "" {
		c.Dir = "."
	}
	if c.Modules == nil {
		c.Modules = Modules()
	}
	if c.Clean == 0 {
		c.Clean = 2
	}
	if c.Leaky == 0 {
		c.Leaky = 6
	}
	if c.Scans == 0 {
		c.Scans = 20
	}
	if c.Timeout == 0 {
		c.Timeout = 2 * time.Minute
	}
	if c.Progress == nil {
		c.Progress = func(datasets.Run, *Truth, *datasets.Failure) {}
	}
	return c
}

// Collect boots the kernel for each run and writes MODULE.{clean,leaky}.N.kmemleak.zst
// and the truth about its objects, MODULE.{clean,leaky}.N.truth.zst (see
// [Truth.WriteTo]), into the folder, with labels.json and manifest.json.
//
// A run that fails is listed in the manifest with its reason and is no sample.
func Collect(ctx context.Context, config Config) (*datasets.Manifest, error) {
	c := collector{Config: config.withDefaults()}
	version, err := os.ReadFile(filepath.Join(c.Kernel, "stamp"))
	if err != nil {
		return nil, fmt.Errorf("%w: the kernel is not built: run datasets/kernel/build.sh", err)
	}
	if c.version, _, _ = strings.Cut(string(version), " "); c.version == "" {
		return nil, fmt.Errorf("%s: empty: build the kernel again", filepath.Join(c.Kernel, "stamp"))
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return nil, err
	}
	for _, module := range c.Modules {
		for i := range max(c.Clean, 0) {
			if err := c.runs(ctx, module, datasets.Clean, i); err != nil {
				return nil, err
			}
		}
		for i := range max(c.Leaky, 0) {
			if err := c.runs(ctx, module, datasets.Leaky, i); err != nil {
				return nil, err
			}
		}
	}
	if len(c.manifest.Runs) == 0 {
		return nil, fmt.Errorf("no run gave a log: %w", errors.New(c.manifest.Failed[0].Reason))
	}
	if err := c.labels.Write(filepath.Join(c.Dir, "labels.json")); err != nil {
		return nil, err
	}
	return &c.manifest, c.manifest.Write(filepath.Join(c.Dir, "manifest.json"))
}

type collector struct {
	Config
	version  string // of the kernel's source
	labels   datasets.Labels
	manifest datasets.Manifest
}

// attempts is how many seeds are tried for one run: a bug may strike too late for
// the scans, or not at all.
const attempts = 4

// runs makes one run, with other seeds if need be.
func (c *collector) runs(ctx context.Context, module string, class datasets.Class, i int) error {
	for a := range attempts {
		before := len(c.manifest.Runs)
		if err := c.try(ctx, module, class, i, uint64(a)<<10); err != nil || len(c.manifest.Runs) > before {
			return err
		}
	}
	return nil
}

// try makes one run. Its failure is noted, not returned.
func (c *collector) try(ctx context.Context, module string, class datasets.Class, i int, other uint64) error {
	seed := c.Seed<<24 + uint64(i) + other
	if class == datasets.Leaky {
		seed += 1 << 20
	}
	name := fmt.Sprintf("%s.%s.%d", module, class, i)
	p := draw(rand.New(rand.NewPCG(seed, hash(module))), module, class, c.Scans)
	run, truth, err := c.one(ctx, p, name)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		f := datasets.Failure{Program: module, Seed: seed, Class: class, Reason: err.Error()}
		c.manifest.Failed = append(c.manifest.Failed, f)
		c.Progress(datasets.Run{}, nil, &f)
		return nil
	}
	run.Seed = seed
	c.manifest.Runs = append(c.manifest.Runs, *run)
	c.Progress(*run, truth, nil)
	return nil
}

// one boots, judges what came out, and stores it.
func (c *collector) one(ctx context.Context, p plan, name string) (*datasets.Run, *Truth, error) {
	root, err := os.MkdirTemp("", "leakformer-kernel-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(root)
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	start := time.Now()
	if err := boot(ctx, c.Kernel, root, p); err != nil {
		return nil, nil, err
	}
	seconds := time.Since(start).Seconds()
	truth, labels, err := judge(filepath.Join(root, "out"))
	if err != nil {
		return nil, nil, err
	}
	if class := labels.Class; class != p.class {
		return nil, nil, fmt.Errorf("meant to be %s, but it is %s: %d leaks happened, %d of them are in the last scan",
			p.class, class, truth.Lost(), len(labels.Leaks))
	}
	log := name + ".kmemleak.zst"
	sum, err := c.store(log, filepath.Join(root, "out", "kmemleak.log"))
	if err != nil {
		return nil, nil, err
	}
	if err := c.write(name+".truth.zst", func(w io.Writer) error { _, err := truth.WriteTo(w); return err }); err != nil {
		return nil, nil, err
	}
	labels.Log, labels.SHA256, labels.Program, labels.Command = log, sum, p.module, p.command()
	c.labels.Logs = append(c.labels.Logs, *labels)
	return &datasets.Run{
		Log: log, Labels: "labels.json", SHA256: sum, Program: p.module, Kind: "kernel module",
		Package: "linux-source-6.1 " + c.version, Command: labels.Command, Tool: "kmemleak",
		Class: labels.Class, Events: labels.Events, Outstanding: truth.Outstanding(), Leaked: int64(len(labels.Leaks)), Seconds: seconds,
	}, truth, nil
}

// store compresses a file into the folder and returns the result's SHA-256.
func (c *collector) store(name, from string) (string, error) {
	h := sha256.New()
	err := c.write(name, func(w io.Writer) error {
		f, err := os.Open(from)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w, f)
		return err
	})
	if err != nil {
		return "", err
	}
	f, err := os.Open(filepath.Join(c.Dir, name))
	if err != nil {
		return "", err
	}
	defer f.Close()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

// write creates a compressed file in the folder.
func (c *collector) write(name string, content func(io.Writer) error) (err error) {
	f, err := os.Create(filepath.Join(c.Dir, name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := zstd.NewWriter(f, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return err
	}
	return errors.Join(content(z), z.Close())
}
