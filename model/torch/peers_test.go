package torch

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"leakformer/model"
	"leakformer/train"
)

// peersVariable names the Python that has PyTorch; without it there is nothing to
// compare with.
const peersVariable = "PEER_PYTHON"

// A peer is a process that runs testdata/peer.py.
type peer struct {
	commands io.Writer
	answers  *bufio.Scanner
}

func newPeer(t *testing.T, python string) *peer {
	t.Helper()
	cmd := exec.Command(python, "testdata/peer.py")
	if k := Kernels(); k != "" { // those that OpenBLAS computes with here
		cmd.Env = append(os.Environ(), coreVariable+"="+k)
	}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	return &peer{in, bufio.NewScanner(out)}
}

// do has the peer carry out a command.
func (p *peer) do(t *testing.T, format string, args ...any) (c cost, result float64) {
	t.Helper()
	fmt.Fprintf(p.commands, format+"\n", args...)
	if !p.answers.Scan() {
		t.Fatalf("the peer ends at "+format, args...)
	}
	if _, err := fmt.Sscan(p.answers.Text(), &c.clock, &c.processor, &result); err != nil {
		t.Fatalf("the peer answers %q: %v", p.answers.Text(), err)
	}
	return c, result
}

// cost is the seconds that something took.
type cost struct{ clock, processor float64 }

// measured is what f costs this process.
func measured(t *testing.T, f func() error) cost {
	t.Helper()
	start, busy := time.Now(), processorTime(t)
	if err := f(); err != nil {
		t.Fatal(err)
	}
	return cost{time.Since(start).Seconds(), (processorTime(t) - busy).Seconds()}
}

// writeBatch writes b as tensors in the layout of weights.
func writeBatch(t *testing.T, path string, b *train.Batch) {
	t.Helper()
	header, data := map[string]stored{}, []byte(nil)
	add := func(name, kind string, values any, shape ...int64) {
		start := uint64(len(data))
		var err error
		if data, err = binary.Append(data, binary.LittleEndian, values); err != nil {
			t.Fatal(err)
		}
		header[name] = stored{kind, shape, [2]uint64{start, uint64(len(data))}}
	}
	n, l := int64(b.B), int64(b.L)
	add("tokens", "I32", b.Tokens, n, l, int64(b.F))
	add("lengths", "I32", b.Lengths, n)
	add("site", "F32", b.Site, n)
	add("site_weight", "F32", b.SiteWeight, n)
	add("block", "F32", b.Block, n, l)
	add("block_weight", "F32", b.BlockWeight, n, l)
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	if err := os.WriteFile(path, append(file, data...), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestPeers compares the network with the same in PyTorch: that both compute the
// same, and how fast. They take turns, so that a busy machine slows both alike.
func TestPeers(t *testing.T) {
	python := os.Getenv(peersVariable)
	if python == "" {
		t.Skipf("%s does not name a Python with PyTorch; make bench-peers does", peersVariable)
	}
	rounds := 5 // each side computes as often
	if text := os.Getenv("PEER_ROUNDS"); text != "" {
		if _, err := fmt.Sscan(text, &rounds); err != nil || rounds < 1 {
			t.Fatalf("PEER_ROUNDS is %q, want a number of at least 1", text)
		}
	}
	checkpoint, err := model.Default()
	if err != nil {
		t.Fatal(err)
	}
	c := checkpoint.Manifest.Architecture
	dir := t.TempDir()
	weights := filepath.Join(dir, "weights")
	if err := os.WriteFile(weights, checkpoint.Weights, 0o644); err != nil {
		t.Fatal(err)
	}
	theirs := newPeer(t, python)
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(os.Stdout, "kernels %s; %d rounds; positions in use a second of the clock: median (lowest to highest)\n", Kernels(), rounds)
	fmt.Fprintln(out, "batch\tthreads\t\tleakformer\tPyTorch\tratio\tratio by processor time\t")
	for _, form := range []string{"full", "mixed"} {
		b := labelled(random(1), c, batchSequences, min(batchLength, c.MaxLen))
		if form == "full" {
			for i := range b.Lengths {
				b.Lengths[i] = int32(b.L)
			}
		}
		batch := filepath.Join(dir, form)
		writeBatch(t, batch, b)
		theirs.do(t, "batch %s", batch)
		for _, threads := range []int{1, 2} {
			n := newNet(t, c, Options{Threads: threads, Clip: 1, WeightDecay: 0.01})
			if err := n.LoadWeights(strings.NewReader(string(checkpoint.Weights))); err != nil {
				t.Fatal(err)
			}
			theirs.do(t, "threads %d", threads)
			theirs.do(t, "weights %s", weights)
			same(t, n, b, theirs)
			for _, do := range []struct {
				name  string
				ours  func() error
				their string
			}{
				{"train", func() error { _, err := n.Step(b, 1e-5); return err }, "step 1e-5"},
				{"score", func() error { _, _, err := n.Predict(b); return err }, "predict"},
			} {
				var our, their []cost
				for i := range rounds + 1 {
					a := measured(t, do.ours)
					z, _ := theirs.do(t, do.their)
					if i > 0 { // the first time memory is got, and more
						our, their = append(our, a), append(their, z)
					}
				}
				row(out, fmt.Sprintf("%s\t%d\t%s", form, threads, do.name), b, our, their)
			}
			n.Close()
		}
	}
	out.Flush()
}

// same checks that both sides compute the same, without dropout.
func same(t *testing.T, n *Net, b *train.Batch, theirs *peer) {
	t.Helper()
	sites, _, err := n.Predict(b)
	if err != nil {
		t.Fatal(err)
	}
	mean := 0.0
	for _, s := range sites {
		mean += float64(s) / float64(len(sites))
	}
	if _, got := theirs.do(t, "predict"); math.Abs(got-mean) > 1e-4*(1+math.Abs(mean)) {
		t.Fatalf("the mean logit of a site is %g, PyTorch says %g", mean, got)
	}
}

func row(out io.Writer, name string, b *train.Batch, ours, theirs []cost) {
	positions := 0.0
	for _, l := range b.Lengths {
		positions += float64(l)
	}
	rates := func(costs []cost, seconds func(cost) float64) (text string, median float64) {
		all := make([]float64, len(costs))
		for i, c := range costs {
			all[i] = positions / seconds(c)
		}
		slices.Sort(all)
		median = (all[(len(all)-1)/2] + all[len(all)/2]) / 2
		return fmt.Sprintf("%.0f (%.0f to %.0f)", median, all[0], all[len(all)-1]), median
	}
	clock := func(c cost) float64 { return c.clock }
	processor := func(c cost) float64 { return c.processor }
	our, a := rates(ours, clock)
	their, z := rates(theirs, clock)
	_, pa := rates(ours, processor)
	_, pz := rates(theirs, processor)
	fmt.Fprintf(out, "%s\t%s\t%s\t%.2f\t%.2f\t\n", name, our, their, a/z, pa/pz)
}
