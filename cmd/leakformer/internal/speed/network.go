package main

import (
	"bufio"
	"cmp"
	_ "embed"
	"encoding/binary"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"

	"leakformer/ingest/columnar"
	"leakformer/model"
	"leakformer/model/torch"
	"leakformer/tokenize"
	"leakformer/train"
)

// The network is compared in processes of their own, ours (see serve) and one of
// Python: both are told what to do on their standard input, and answer each command with
// what it cost, so that neither pays for the other's start or memory.

//go:embed network.py
var networkPy string

// sequences is how many are in a batch.
const sequences = 128

func (m *measurer) network() error {
	base, err := model.Default()
	if err != nil {
		return err
	}
	for _, width := range []int{1, 4} {
		c := base.Manifest.Architecture
		c.Dim, c.FeedForward = width*c.Dim, width*c.FeedForward
		for _, threads := range []int{1, 2} {
			if err := m.sides(c, width, threads); err != nil {
				return err
			}
		}
	}
	return nil
}

// sides measures one architecture.
func (m *measurer) sides(c model.Config, width, threads int) error {
	real, full, err := m.batches(c)
	if err != nil {
		return err
	}
	weights := m.file("weights")
	if err := saveWeights(weights, c); err != nil {
		return err
	}
	ours, err := m.side(os.Args[0], ourSide)
	if err != nil {
		return err
	}
	defer ours.close()
	theirs, err := m.side(m.python, "-c", networkPy)
	if err != nil {
		return err
	}
	defer theirs.close()
	var both both = func(format string, args ...any) (a, b answer, err error) {
		if a, err = ours.do(format, args...); err == nil {
			b, err = theirs.do(format, args...)
		}
		return a, b, err
	}
	if _, _, err := both("start %s %d", weights, threads); err != nil {
		return err
	}
	name := fmt.Sprintf("%d × width, %s", width, count(threads, "thread"))
	batches := []struct {
		name  string
		batch *train.Batch
	}{{"sequences of real logs", real}, {"all of full length", full}}
	for _, b := range batches { // before any training: that has random numbers in it
		if err := m.give(both, b.batch); err != nil {
			return err
		}
		if err := same(both); err != nil {
			return fmt.Errorf("%s, %s: %w", name, b.name, err)
		}
	}
	_, gemm, err := both("gemm 1024")
	if err != nil {
		return err
	}
	for _, b := range batches {
		if err := m.give(both, b.batch); err != nil {
			return err
		}
		for _, t := range []struct {
			name, command string
			passes        float64 // through the network, in work
		}{{"score", "predict", 1}, {"train", "step 1e-5", 3}} {
			our, their, err := m.alternate(ours.task(t.command), theirs.task(t.command))
			if err != nil {
				return err
			}
			rate := func(s cost) float64 { return float64(positions(b.batch)) / s.clock }
			r := compared(t.name+", "+name+", "+b.name, "positions/s", our, their, rate, 1.3)
			r.Note = fmt.Sprintf("%.0f %% of sgemm's %.0f GFLOP/s", 100*t.passes*flops(c, b.batch)/each(our, clock).Median/1e9/gemm.result, gemm.result)
			m.add("network", r)
			if b.batch != real {
				continue
			}
			x, z, err := both("memory")
			if err != nil {
				return err
			}
			m.add("network", row{Task: "peak memory of that", Unit: "MiB", Ours: only(x.result), Theirs: only(z.result), Ratio: only(z.result / x.result), Least: 1})
		}
	}
	return nil
}

// both has both sides carry out a command.
type both func(format string, args ...any) (ours, theirs answer, err error)

// give hands a batch to both sides.
func (m *measurer) give(to both, b *train.Batch) error {
	path := m.file("batch")
	if err := writeBatch(path, b); err != nil {
		return err
	}
	_, _, err := to("batch %s", path)
	return err
}

// count is "1 thread", "2 threads".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// same checks that both sides compute the same.
func same(both both) error {
	a, b, err := both("predict")
	if err == nil && !(math.Abs(a.result-b.result) <= 1e-4*(1+math.Abs(b.result))) {
		err = fmt.Errorf("the mean logit of a site is %g, PyTorch says %g", a.result, b.result)
	}
	return err
}

// flops is what one pass of the batch through the network of c has to multiply and
// add: the matrices of its positions, padding left out, and their attention.
func flops(c model.Config, b *train.Batch) (sum float64) {
	d, ff := float64(c.Dim), float64(c.FeedForward)
	for _, l := range b.Lengths {
		n := float64(l)
		sum += float64(c.Layers) * (2*n*(4*d*d+2*d*ff) + 4*n*n*d)
	}
	return sum
}

func positions(b *train.Batch) (n int) {
	for _, l := range b.Lengths {
		n += int(l)
	}
	return n
}

// batches makes two batches for the network of c: of sequences drawn from those of
// real logs, and of as many positions as there can be, drawn at random.
func (m *measurer) batches(c model.Config) (real, full *train.Batch, err error) {
	random := rand.New(rand.NewPCG(1, 0))
	paths, err := filepath.Glob(filepath.Join(m.corpus, "*", "*.leaky.0.arrow"))
	if err != nil || len(paths) == 0 {
		return nil, nil, cmp.Or(err, fmt.Errorf("no runs in %s", m.corpus))
	}
	var all []*tokenize.Sequence
	for _, path := range paths {
		src, err := columnar.Open(path)
		if err != nil {
			return nil, nil, err
		}
		run, err := tokenize.Load(m.ctx, src)
		src.Close()
		if err != nil {
			return nil, nil, err
		}
		scene := &tokenize.Scene{Run: run, Cut: run.Events}
		scene.Views(func(v *tokenize.View) bool {
			all = append(all, tokenize.Tokenize(v))
			return true
		})
	}
	if len(all) < sequences {
		return nil, nil, fmt.Errorf("only %d sequences in %s", len(all), m.corpus)
	}
	drawn := make([]*tokenize.Sequence, sequences)
	for i, j := range random.Perm(len(all))[:sequences] {
		drawn[i] = all[j]
	}
	full = &train.Batch{B: sequences, L: c.MaxLen, F: c.Fields,
		Tokens:  make([]int32, sequences*c.MaxLen*c.Fields),
		Lengths: slices.Repeat([]int32{int32(c.MaxLen)}, sequences)}
	for i := range full.Tokens {
		full.Tokens[i] = random.Int32N(int32(c.Vocab))
	}
	return aim(random, train.NewBatch(drawn)), aim(random, full), nil
}

// aim gives a batch targets.
func aim(random *rand.Rand, b *train.Batch) *train.Batch {
	b.Weights = train.Objectives{Leaks: 1}
	b.Site, b.SiteWeight = make([]float32, b.B), slices.Repeat([]float32{1}, b.B)
	b.Block, b.BlockWeight = make([]float32, b.B*b.L), make([]float32, b.B*b.L)
	for i, l := range b.Lengths {
		b.Site[i] = float32(random.IntN(2))
		for j := range int(l) {
			b.Block[i*b.L+j], b.BlockWeight[i*b.L+j] = float32(random.IntN(2)), 1
		}
	}
	return b
}

// saveWeights writes random weights for the network of c, and beside them c.
func saveWeights(path string, c model.Config) error {
	n, err := torch.New(c, torch.Options{Seed: 1})
	if err != nil {
		return err
	}
	defer n.Close()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := cmp.Or(n.SaveWeights(f), f.Close()); err != nil {
		return err
	}
	text, err := json.Marshal(n.Config())
	if err != nil {
		return err
	}
	return os.WriteFile(path+".json", text, 0o644)
}

// writeBatch writes b for our side, and as tensors in the layout of weights for the other.
func writeBatch(path string, b *train.Batch) error {
	ours, err := os.Create(path + ".gob")
	if err != nil {
		return err
	}
	if err := cmp.Or(gob.NewEncoder(ours).Encode(b), ours.Close()); err != nil {
		return err
	}
	type tensor struct {
		DType   string    `json:"dtype"`
		Shape   []int     `json:"shape"`
		Offsets [2]uint64 `json:"data_offsets"`
	}
	header, data := map[string]tensor{}, []byte(nil)
	add := func(name, kind string, values any, shape ...int) {
		start := uint64(len(data))
		var failed error
		data, failed = binary.Append(data, binary.LittleEndian, values)
		err = cmp.Or(err, failed)
		header[name] = tensor{kind, shape, [2]uint64{start, uint64(len(data))}}
	}
	add("tokens", "I32", b.Tokens, b.B, b.L, b.F)
	add("lengths", "I32", b.Lengths, b.B)
	add("site", "F32", b.Site, b.B)
	add("site_weight", "F32", b.SiteWeight, b.B)
	add("block", "F32", b.Block, b.B, b.L)
	add("block_weight", "F32", b.BlockWeight, b.B, b.L)
	text, failed := json.Marshal(header)
	if err = cmp.Or(err, failed); err != nil {
		return err
	}
	file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	return os.WriteFile(path, append(file, data...), 0o644)
}

// A side is a process that computes with the network.
type side struct {
	cmd      *exec.Cmd
	commands io.WriteCloser
	answers  *bufio.Scanner
}

// An answer is what a command cost, and its result.
type answer struct {
	cost
	result float64
}

func (m *measurer) side(name string, args ...string) (*side, error) {
	cmd := exec.CommandContext(m.ctx, name, args...)
	// What we tell glibc's allocator helps the other side as well: see model/torch/memory.go.
	cmd.Env = append(os.Environ(), "MALLOC_ARENA_MAX=1", "MALLOC_TOP_PAD_=16777216", "MALLOC_MMAP_THRESHOLD_=33554432", "MALLOC_TRIM_THRESHOLD_=1073741824",
		"GLIBC_TUNABLES=glibc.malloc.hugetlb=1")
	if k := torch.Kernels(); k != "" { // those that OpenBLAS computes with here
		cmd.Env = append(cmd.Env, "OPENBLAS_CORETYPE="+k)
	}
	cmd.Stderr = m.log
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &side{cmd, in, bufio.NewScanner(out)}, cmd.Start()
}

func (s *side) close() {
	s.commands.Close()
	s.cmd.Wait()
}

// do has the side carry out a command.
func (s *side) do(format string, args ...any) (a answer, err error) {
	if _, err := fmt.Fprintf(s.commands, format+"\n", args...); err != nil {
		return a, err
	}
	if !s.answers.Scan() {
		return a, fmt.Errorf("%s ends at "+format, append([]any{s.cmd.Path}, args...)...)
	}
	if _, err := fmt.Sscan(s.answers.Text(), &a.clock, &a.processor, &a.result); err != nil {
		return a, fmt.Errorf("%s answers %q: %w", s.cmd.Path, s.answers.Text(), err)
	}
	return a, nil
}

func (s *side) task(command string) task {
	return func() (cost, error) {
		a, err := s.do("%s", command)
		return a.cost, err
	}
}
