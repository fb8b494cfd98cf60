package datasets

import (
	"bufio"
	"bytes"
	"context"
	"embed"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A Program can be run with workloads that differ by seed.
type Program struct {
	Name     string
	Kind     string   // what sort of program: interpreter, parser, compiler, database, server, document, tool, demo
	Packages []string // Debian packages that it needs
	Binary   string   // path, or name to be looked up in PATH; of a compiler's inner program: "gcc cc1"

	// Source is a file of ours in the folder programs that is compiled first.
	// Binary is then the compiler, gcc or g++.
	Source string

	// Natural says that in leaky runs the program itself leaks and marks what
	// it leaks; nothing is forgotten for it.
	Natural bool

	// Errors says that its workloads heed [Work].Errors.
	Errors bool

	// Jemalloc says that the program is linked to jemalloc.
	Jemalloc bool

	// Grows says that the program has a container that is bounded in clean runs
	// and grows in leaky ones. It ends its work with the phases of
	// forget/forget.h: the log ends at the first, and in a leaky run what the
	// program frees in the second is labelled. Nothing is forgotten for it.
	Grows bool

	// Prepare writes the input files of one run and returns how to call the
	// program. Everything that varies is drawn from w.Rand.
	Prepare func(w *Work) (Command, error)
}

// Command is one call of a program.
type Command struct {
	Args  []string
	Stdin string   // file in the work folder; empty: no input
	Env   []string // beside the fixed environment
	Exits []int    // accepted exit statuses beside 0

	// Drive, if not nil, runs beside the program: it loads a server and then
	// shuts it down, or serves what a client asks for. The context ends when
	// the program has ended.
	Drive func(ctx context.Context, program *os.Process) error
}

//go:embed programs
var programSources embed.FS

// locate finds the executable, or compiles it into the folder.
func (p *Program) locate(ctx context.Context, dir string) (string, error) {
	compiler, inner, _ := strings.Cut(p.Binary, " ")
	path, err := exec.LookPath(compiler)
	if err != nil {
		return "", fmt.Errorf("%s is not installed: apt-get install %s", p.Binary, strings.Join(p.Packages, " "))
	}
	switch {
	case p.Source != "":
		return p.build(ctx, dir)
	case inner != "":
		out, err := exec.CommandContext(ctx, path, "-print-prog-name="+inner).Output()
		if name := strings.TrimSpace(string(out)); err == nil && filepath.IsAbs(name) {
			return name, nil
		}
		return "", fmt.Errorf("%s has no %s: apt-get install %s", compiler, inner, strings.Join(p.Packages, " "))
	}
	return path, nil
}

// build compiles a program of ours.
func (p *Program) build(ctx context.Context, dir string) (string, error) {
	entries, err := programSources.ReadDir("programs")
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		data, err := programSources.ReadFile("programs/" + e.Name())
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), data, 0o644); err != nil {
			return "", err
		}
	}
	exe := filepath.Join(dir, p.Name)
	return exe, compile(ctx, p.Binary, "-O1", "-g", "-fno-builtin-malloc", "-o", exe, filepath.Join(dir, p.Source), "-lpthread")
}

// Work is what a workload is made from.
type Work struct {
	Dir   string     // work folder: the program runs in it
	Rand  *rand.Rand // the only source of variation
	Scale float64    // factor on the amount of work
	Leaky bool       // for natural programs: leak

	// Errors says that some of the input fails, see [Work.Fault]. It is true in all
	// runs that are kept, clean and leaky. Without it the workload is the same but
	// for the input that fails.
	Errors bool

	control string     // control file of the preload library
	faults  *rand.Rand // of what fails, apart from Rand: see Fault
	rate    float64    // share of the input that fails
	err     error      // first failure of Write
}

// newWork returns what the workload of a seed is made from.
func (c *collector) newWork(class Class, seed uint64, faulty bool, controlFile string) *Work {
	name := hashName(c.program.Name)
	w := &Work{Dir: c.work, Scale: c.scale, Leaky: class == Leaky, Errors: faulty, control: controlFile, Rand: rand.New(rand.NewPCG(seed, name))}
	w.faults = rand.New(rand.NewPCG(seed, name+1))
	w.rate = math.Exp(math.Log(0.01) + w.faults.Float64()*math.Log(15)) // 0.01 to 0.15
	return w
}

// FaultRate is the share of the input that is to fail: 0 without errors.
func (w *Work) FaultRate() float64 {
	if !w.Errors {
		return 0
	}
	return w.rate
}

// Fault draws whether some input that fails comes next: nil if not, else a Work
// whose draws leave those of the sound input as they are.
func (w *Work) Fault() *Work {
	if !w.Errors || w.faults.Float64() >= w.rate {
		return nil
	}
	return w.fault()
}

func (w *Work) fault() *Work { return &Work{Dir: w.Dir, Rand: w.faults, Scale: w.Scale} }

// Faults ranges over the input that fails beside n pieces of sound input: at least
// one, unless there are to be no errors.
func (w *Work) Faults(n int) iter.Seq2[int, *Work] {
	return func(yield func(int, *Work) bool) {
		for i := 0; w.Errors && i < max(1, int(w.rate*float64(n))) && yield(i, w.fault()); i++ {
		}
	}
}

// Phase tells the preload library, on behalf of a server, that a phase of
// forget/forget.h has begun. The library sees it at the next free.
func (w *Work) Phase(n int) error {
	f, err := os.OpenFile(w.control, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(n)), 8*wPhase); err != nil {
		return err
	}
	return f.Close()
}

// Between draws a number from low to high, uniform in its logarithm.
func (w *Work) Between(low, high int) int {
	return int(math.Round(float64(low) * math.Pow(float64(high)/float64(low), w.Rand.Float64())))
}

// Amount draws like Between and applies the scale.
func (w *Work) Amount(low, high int) int {
	return max(1, int(float64(w.Between(low, high))*w.Scale))
}

// Write writes an input file. Its failure is reported after Prepare.
func (w *Work) Write(name string, write func(*bufio.Writer)) {
	if w.err != nil {
		return
	}
	path := filepath.Join(w.Dir, name)
	if w.err = os.MkdirAll(filepath.Dir(path), 0o755); w.err != nil {
		return
	}
	var text bytes.Buffer
	b := bufio.NewWriter(&text)
	write(b)
	b.Flush()
	w.err = os.WriteFile(path, text.Bytes(), 0o644)
}

// Text writes a script, its tail filled in as by Printf.
func (w *Work) Text(name, format string, args ...any) {
	w.Write(name, func(b *bufio.Writer) { fmt.Fprintf(b, format, args...) })
}

// Run runs a helper before the program proper, in the work folder.
func (w *Work) Run(name string, args ...string) {
	if w.err != nil {
		return
	}
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = w.Dir, environment(w.Dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.err = fmt.Errorf("%s: %w: %.200s", name, err, out)
	}
}

// Port returns a TCP port of the loopback interface that is free now.
func (w *Work) Port() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.err = err
		return 0
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Word draws a word of low to high letters.
func (w *Work) Word(low, high int) string {
	b := make([]byte, low+w.Rand.IntN(high-low+1))
	for i := range b {
		b[i] = "eeaoitnshrdlucmfwypvbgkjqxz"[min(w.Rand.IntN(27), w.Rand.IntN(27))]
	}
	return string(b)
}

// Words draws n words with blanks between them.
func (w *Work) Words(n int) string {
	words := make([]string, n)
	for i := range words {
		words[i] = w.Word(2, 11)
	}
	return strings.Join(words, " ")
}

// Pick draws one of the choices.
func Pick[T any](w *Work, choices ...T) T { return choices[w.Rand.IntN(len(choices))] }
