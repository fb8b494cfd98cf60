package datasets

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

//go:embed forget/forget.c forget/forget.h
var forgetSources embed.FS

// libraryName is the preload library's file name. The stripper takes the module
// of this name out of the logs.
const libraryName = "libforget.so"

// controlVariable names the control file to the preload library.
const controlVariable = "LEAKFORMER_FORGET"

// Config says what to collect. The zero value collects 4 clean and 8 leaky runs
// of every program in [Programs] into the current folder.
type Config struct {
	Dir       string        // where logs, labels and the manifest go; empty: the current folder
	Programs  []Program     // nil: Programs()
	Clean     int           // clean runs a program; 0: 4; negative: none
	Leaky     int           // leaky runs a program; 0: 8; negative: none
	Tool      string        // heaptrack (also the empty string), or Valgrind's trace-malloc, memcheck or memcheck-xml
	Allocator string        // library with another malloc, preloaded behind heaptrack's; empty: the program's own
	Seed      uint64        // of everything drawn; runs of one seed have the same workloads and plans
	Scale     float64       // factor on the size of the workloads; 0: 1
	Events    int64         // cuts the work of a run down to about this many events; 0: does not
	Arrow     bool          // stores runs in Arrow, not as the tool wrote them
	Jobs      int           // programs collected at a time; 0: 1
	Timeout   time.Duration // for one run; 0: one minute

	// Progress is called after each run, if not nil: with its row, or with a
	// zero row and the reason why there is none. It is not called twice at once.
	Progress func(Run, *Failure)
}

func (c Config) withDefaults() Config {
	if c.Dir == "" {
		c.Dir = "."
	}
	if c.Programs == nil {
		c.Programs = Programs()
	}
	if c.Clean == 0 {
		c.Clean = 4
	}
	if c.Leaky == 0 {
		c.Leaky = 8
	}
	if c.Scale == 0 {
		c.Scale = 1
	}
	if c.Timeout == 0 {
		c.Timeout = time.Minute
	}
	var lock sync.Mutex
	progress := c.Progress
	c.Progress = func(r Run, f *Failure) {
		lock.Lock()
		defer lock.Unlock()
		if progress != nil {
			progress(r, f)
		}
	}
	return c
}

// leakySeeds is added to the number of a leaky run to make its seed: leaky runs
// never have the workload of a clean one.
const leakySeeds = 1 << 20

// attempts is how many seeds are tried for one leaky run: a plan may hit a path
// that the workload of that seed does not take.
const attempts = 6

// Collect makes runs of the programs under the tracer and writes, for each
// program, DIR/PROGRAM/PROGRAM.{clean,leaky}.N.raw.zst (or .trace-malloc.zst)
// and DIR/PROGRAM/labels.json, and for all of them DIR/manifest.json. Programs of
// an earlier collection in the same folder keep their rows.
//
// A run that fails (crash, timeout, no trace, nothing forgotten) is never a
// sample: it is listed in the manifest's Failed with its reason. Collect
// returns an error when nothing can run at all, or files cannot be written.
func Collect(ctx context.Context, config Config) (*Manifest, error) {
	cfg := config.withDefaults()
	tracer, err := findTracer(ctx, cfg.Tool, cfg.Allocator)
	if err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp("", "leakformer-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	library, err := BuildForget(ctx, work)
	if err != nil {
		return nil, err
	}
	manifest, err := earlierRuns(cfg)
	if err != nil {
		return nil, err
	}
	all := &collection{cfg: cfg, tracer: tracer, library: library, work: work, earlier: manifest, done: make([]*collector, len(cfg.Programs))}
	return all.run(ctx)
}

// earlierRuns reads the manifest of the folder, less the programs that are to
// be collected now.
func earlierRuns(cfg Config) (*Manifest, error) {
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, err
	}
	old, err := ReadManifest(filepath.Join(cfg.Dir, manifestName))
	if errors.Is(err, os.ErrNotExist) {
		return new(Manifest), nil
	}
	if err != nil {
		return nil, err
	}
	again := map[string]bool{}
	for _, p := range cfg.Programs {
		again[p.Name] = true
	}
	m := new(Manifest)
	for _, r := range old.Runs {
		if !again[r.Program] {
			m.Runs = append(m.Runs, r)
		}
	}
	for _, f := range old.Failed {
		if !again[f.Program] {
			m.Failed = append(m.Failed, f)
		}
	}
	return m, nil
}

// BuildForget compiles the preload library into the folder and returns its path.
func BuildForget(ctx context.Context, dir string) (string, error) {
	for _, name := range []string{"forget.c", "forget.h"} {
		data, err := forgetSources.ReadFile("forget/" + name)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return "", err
		}
	}
	library := filepath.Join(dir, libraryName)
	return library, compile(ctx, "gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-fPIC", "-shared",
		"-fvisibility=hidden", "-o", library, filepath.Join(dir, "forget.c"), "-lgcc_s")
}

// compile runs a compiler.
func compile(ctx context.Context, compiler string, args ...string) error {
	out, err := exec.CommandContext(ctx, compiler, args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%s is not installed: apt-get install %s", compiler, compiler)
	}
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", compiler, err, out)
	}
	return nil
}

// collector makes the runs of one program.
type collector struct {
	cfg     Config
	program Program
	tracer  *tracer
	library string // ours
	work    string // folder of the run in progress, emptied before each

	scale   float64 // factor on workloads
	start   int64   // events of starting the program, when the workload has to fit Config.Events
	exe     string  // executable
	version string  // Debian package and version
	paths   map[uint64]freePath
	calm    map[uint64]bool // paths of runs without errors, by hash
	total   uint64          // frees in all counting runs
	counted uint64          // number of counting runs
	runs    []Run
	labels  Labels
	failed  []Failure
}

// collect makes all runs of the program and writes its label file.
func (c *collector) collect(ctx context.Context) error {
	dir := filepath.Join(c.cfg.Dir, c.program.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	c.paths, c.calm = map[uint64]freePath{}, map[uint64]bool{}
	var err error
	if c.exe, err = c.program.locate(ctx, filepath.Dir(c.work)); err != nil {
		c.fail(0, Clean, err)
		return nil
	}
	if c.program.Grows && !c.tracer.cuts {
		c.fail(0, Clean, errors.New("growth is collected with heaptrack only: logs of other tools are not cut"))
		return nil
	}
	if c.program.Jemalloc && c.tracer.libc {
		c.fail(0, Clean, errors.New("it is linked to jemalloc, whose blocks Valgrind does not see"))
		return nil
	}
	c.version = c.program.packageOf(ctx, c.exe)
	if err := c.fit(ctx); err != nil {
		c.fail(0, Clean, err)
		return ctx.Err()
	}
	for i := range max(c.cfg.Clean, 0) {
		if err := c.try(ctx, Clean, i, uint64(i)); err != nil {
			return err
		}
	}
	for i := range max(c.cfg.Leaky, 0) {
		if err := c.leakyRun(ctx, i); err != nil {
			return err
		}
	}
	if len(c.runs) == 0 {
		os.Remove(dir) // if nothing of an earlier collection is in it
		return nil
	}
	return c.labels.Write(filepath.Join(dir, "labels.json"))
}

// leakyRun makes one leaky run, with other seeds if need be.
func (c *collector) leakyRun(ctx context.Context, i int) error {
	if c.counted == 0 && c.forgets() {
		if err := c.countOnly(ctx); err != nil {
			c.fail(leakySeeds, Leaky, err)
			return ctx.Err()
		}
	}
	for a := range attempts {
		before := len(c.runs)
		if err := c.try(ctx, Leaky, i, leakySeeds+uint64(i)+uint64(a)<<10); err != nil {
			return err
		}
		if len(c.runs) > before {
			break
		}
	}
	return nil
}

// try makes one run. Its failure is noted, not returned: only what would stop
// every other run too is.
func (c *collector) try(ctx context.Context, class Class, i int, seed uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	seed += c.cfg.Seed << 24
	suffix := c.tracer.suffix
	if c.cfg.Arrow {
		suffix = "arrow"
	}
	log := fmt.Sprintf("%s.%s.%d.%s", c.program.Name, class, i, suffix)
	run, labels, err := c.fitted(ctx, class, seed, filepath.Join(c.cfg.Dir, c.program.Name, log))
	if err == nil {
		run.Log, run.Labels = filepath.Join(c.program.Name, log), filepath.Join(c.program.Name, "labels.json")
		err = c.unlike(run)
	}
	if err != nil {
		c.fail(seed, class, err)
		return nil
	}
	labels.Log = log
	c.runs = append(c.runs, *run)
	c.labels.Logs = append(c.labels.Logs, *labels)
	c.cfg.Progress(*run, nil)
	return nil
}

// unlike refuses a run that the program has made before, and takes its log away.
func (c *collector) unlike(r *Run) error {
	for _, other := range c.runs {
		if r.Trace != "" && other.Trace == r.Trace {
			return errors.Join(fmt.Errorf("the same trace as %s: the workload does not vary", other.Log), os.Remove(filepath.Join(c.cfg.Dir, r.Log)))
		}
	}
	return nil
}

func (c *collector) fail(seed uint64, class Class, err error) {
	f := Failure{Program: c.program.Name, Seed: seed, Class: class, Reason: err.Error()}
	c.failed = append(c.failed, f)
	c.cfg.Progress(Run{}, &f)
}

// countOnly makes a counting run whose log is not kept.
func (c *collector) countOnly(ctx context.Context) error {
	seed := c.cfg.Seed<<24 + leakySeeds - 1
	_, ctl, _, err := c.trace(ctx, Clean, seed, true, newControl(modeCount, seed))
	if err == nil {
		c.count(ctl)
	}
	return err
}

// count adds the paths of a counting run to what is known.
func (c *collector) count(ctl *control) {
	for _, p := range ctl.used() {
		known, ok := c.paths[p.Hash]
		if ok {
			p.Frees += known.Frees
			p.First = min(p.First, known.First)
		}
		c.paths[p.Hash] = p
	}
	c.total += ctl.header[wTotal]
	c.counted++
}

// forgets says whether the leaks of the program are forgotten frees.
func (c *collector) forgets() bool { return !c.program.Natural && !c.program.Grows }

// minEvents is the least that makes a run worth keeping.
const minEvents = 500

// minGrowth is the least number of blocks that is called growth.
const minGrowth = 20

// refuse says why the run is no sample.
func (c *collector) refuse(class Class, ctl *control, s *stripped) error {
	leaks := s.leaked()
	switch {
	case ctl.header[wOwner] == 0:
		return errors.New("the program did not load the preload library (static or set-uid executable?)")
	case c.program.Grows && !s.cut:
		return errors.New("the program did not say where its work ends")
	case c.program.Grows && class == Clean && len(s.contents) >= minGrowth:
		return fmt.Errorf("emptying the container of a clean run freed %d blocks: the phases do not tell its growth", len(s.contents))
	case c.program.Grows && class == Leaky && leaks < minGrowth:
		return fmt.Errorf("the container holds only %d blocks", leaks)
	case s.events < minEvents && !c.tracer.report:
		return fmt.Errorf("only %d events in the trace", s.events)
	case class == Clean && leaks > 0:
		return fmt.Errorf("%d leaks marked in a clean run", leaks)
	case class == Leaky && leaks == 0:
		return errors.New("no free was forgotten: the workload did not take the chosen paths")
	case s.unplaced > leaks/10:
		return fmt.Errorf("%d of %d drops have no place in the trace", s.unplaced, len(ctl.drops))
	}
	return nil
}

// plan writes the drops of a leaky run into its control file and returns their
// shape. Counts are those of an average counting run.
func (c *collector) plan(ctx context.Context, ctl *control, seed uint64) (Shape, error) {
	var known []freePath
	for _, p := range c.paths {
		p.Frees = (p.Frees + c.counted - 1) / c.counted
		known = append(known, p)
	}
	total, shape := c.total/c.counted, AnyPath
	r := rand.New(rand.NewPCG(seed, ^hashName(c.program.Name)))
	if c.program.Errors && r.Float64() < errorShare {
		failing, frees, err := c.errorPaths(ctx, seed)
		if err != nil {
			return "", err
		}
		if len(duringRun(failing, frees)) > 0 {
			known, total, shape = failing, frees, ErrorPaths
		}
	}
	for _, p := range chooseDrops(r, known, total) {
		p.Frees = 0
		ctl.insert(p)
	}
	return shape, nil
}

// errorShare is how many of the leaky runs forget on error paths only, if the
// program has such paths.
const errorShare = 0.2

// errorPaths returns the paths that the program takes with the errors in the
// workload of that seed and not without them, and the number of all its frees.
func (c *collector) errorPaths(ctx context.Context, seed uint64) (failing []freePath, total uint64, err error) {
	_, calm, _, err := c.trace(ctx, Clean, seed, false, newControl(modeCount, seed))
	if err != nil {
		return nil, 0, fmt.Errorf("counting run without errors: %w", err)
	}
	for _, p := range calm.used() {
		c.calm[p.Hash] = true
	}
	_, with, _, err := c.trace(ctx, Clean, seed, true, newControl(modeCount, seed))
	if err != nil {
		return nil, 0, fmt.Errorf("counting run with errors: %w", err)
	}
	for _, p := range with.used() {
		if !c.calm[p.Hash] {
			failing = append(failing, p)
		}
	}
	return failing, with.header[wTotal], nil
}

// trace runs the program under the tracer, its workload with errors or without. It
// returns the file of the raw trace, what the library left, and the command line.
func (c *collector) trace(ctx context.Context, class Class, seed uint64, faulty bool, ctl *control) (string, *control, string, error) {
	if err := os.RemoveAll(c.work); err != nil {
		return "", nil, "", err
	}
	if err := os.Mkdir(c.work, 0o755); err != nil {
		return "", nil, "", err
	}
	raw := filepath.Join(filepath.Dir(c.work), "trace.raw")
	os.Remove(raw)
	controlFile := filepath.Join(filepath.Dir(c.work), "control")
	if c.tracer.report {
		ctl.header[wMarker] = 0
	}
	if err := ctl.write(controlFile); err != nil {
		return "", nil, "", err
	}
	w := c.newWork(class, seed, faulty, controlFile)
	cmd, err := c.program.Prepare(w)
	if err == nil {
		err = w.err
	}
	if err != nil {
		return "", nil, "", fmt.Errorf("prepare the workload: %w", err)
	}
	p := &process{path: c.exe, args: cmd.Args, dir: c.work, stdin: cmd.Stdin, drive: cmd.Drive, exits: cmd.Exits}
	p.env = append(environment(c.work), cmd.Env...)
	p.env = append(p.env, controlVariable+"="+controlFile)
	c.tracer.wrap(p, c.library, raw)
	if err := p.run(ctx, c.cfg.Timeout); err != nil {
		return "", nil, "", err
	}
	after, err := readControl(controlFile)
	if err != nil {
		return "", nil, "", err
	}
	after.folder = filepath.Dir(c.work)
	return raw, after, strings.Join(append([]string{filepath.Base(c.exe)}, cmd.Args...), " "), nil
}

// environment is the same for every run and everybody: what a program reads
// from it would otherwise be part of the log.
func environment(dir string) []string {
	return []string{"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=" + dir, "TMPDIR=" + dir, "LANG=C.UTF-8", "TZ=UTC", "USER=user"}
}

// stripTo strips the raw trace and writes it compressed.
func (c *collector) stripTo(w io.Writer, raw string, ctl *control) (*stripped, error) {
	f, err := os.Open(raw)
	if err != nil {
		return nil, fmt.Errorf("the tracer left no trace: %w", err)
	}
	defer f.Close()
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	s, err := c.tracer.strip(z, f, ctl)
	if err != nil {
		z.Close()
		return nil, err
	}
	return s, z.Close()
}

// describe returns the drops as the manifest has them.
func describe(ctl *control, modules *moduleMap) []Drop {
	var drops []Drop
	for _, p := range ctl.used() {
		if p.Share == 0 {
			continue
		}
		d := Drop{Share: float64(p.Share) / (1 << 32), From: int64(p.From), Until: int64(p.Until), After: int64(p.After),
			Frees: int64(p.Frees), Dropped: int64(p.Dropped)}
		for _, ip := range p.Frames {
			if ip != 0 {
				d.Path = append(d.Path, modules.where(ip))
			}
		}
		drops = append(drops, d)
	}
	return drops
}

// packageOf names the Debian package of the program and its version; for a program
// of ours that of the compiler.
func (p *Program) packageOf(ctx context.Context, exe string) string {
	if p.Source == "" {
		return packageOf(ctx, exe)
	}
	compiler, err := exec.LookPath(p.Binary)
	if err != nil {
		return ""
	}
	return packageOf(ctx, compiler)
}

// packageOf names the Debian package of a file and its version, or nothing.
func packageOf(ctx context.Context, file string) string {
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real
	}
	for _, name := range []string{file, strings.TrimPrefix(file, "/usr")} {
		out, err := exec.CommandContext(ctx, "dpkg-query", "-S", name).Output()
		if err != nil {
			continue
		}
		pkg, _, _ := strings.Cut(string(out), ":")
		version, _ := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${Version}", pkg).Output()
		return strings.TrimSpace(pkg + " " + string(version))
	}
	return ""
}

func hashName(name string) uint64 {
	h := fnv.New64a()
	io.WriteString(h, name)
	return h.Sum64()
}
