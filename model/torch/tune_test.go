package torch

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const (
	avx2   = "fpu sse avx fma avx2"
	avx512 = avx2 + " avx512f avx512dq avx512cd avx512bw avx512vl"
)

func TestBetterKernels(t *testing.T) {
	for _, test := range []struct{ current, features, want string }{
		{"Prescott", avx512, "SKYLAKEX"},
		{"Prescott", avx2, "HASWELL"},
		{"Prescott", "fpu sse avx", ""},
		{"Prescott", "", ""},
		{"Sandybridge", avx2, "HASWELL"},
		{"Nehalem", avx2 + " avx512f", "HASWELL"}, // Knights Landing
		{"Haswell", avx512, ""},
		{"Cooperlake", avx512, ""},
		{"Zen", avx2, ""},
		{"armv8", "fp asimd", ""},
	} {
		if got := betterKernels(test.current, processors{features: strings.Fields(test.features)}); got != test.want {
			t.Errorf("%s with %q: %q, want %q", test.current, test.features, got, test.want)
		}
	}
}

func TestParseProcessors(t *testing.T) {
	const two = `processor	: 0
physical id	: 0
core id		: 0
flags		: fpu sse avx2

processor	: 1
physical id	: 0
core id		: 0
flags		: fpu sse avx2

processor	: 2
physical id	: 1
core id		: 0
flags		: fpu sse avx2
`
	p := parseProcessors(strings.NewReader(two))
	if p.cores != 2 || strings.Join(p.features, " ") != "fpu sse avx2" {
		t.Errorf("%+v, want 2 cores that can fpu, sse and avx2", p)
	}
	if p := parseProcessors(strings.NewReader("processor\t: 0\nBogoMIPS\t: 50\n")); p.cores != 0 {
		t.Errorf("%d cores where nothing tells", p.cores)
	}
}

// TestTune runs this test again with the kernels of an old processor, chosen by
// the user, and with what Tune asks for.
func TestTune(t *testing.T) {
	if os.Getenv("TUNE_CHILD") != "" {
		tuning := Tune()
		os.Stdout.WriteString("kernels=" + tuning.Kernels + " restart=" + tuning.Restart + "\n")
		return
	}
	first := Tune()
	if first.Threads < 1 {
		t.Errorf("%d threads", first.Threads)
	}
	if first.Kernels == "" {
		t.Skip("this libtorch does not use OpenBLAS")
	}
	child := func(variable string) string {
		cmd := exec.Command(os.Args[0], "-test.run=^TestTune$")
		cmd.Env = append(os.Environ(), "TUNE_CHILD=1", variable)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	want := first.Restart
	if want == "" {
		want = coreVariable + "=" + first.Kernels
	}
	if out := child(want); !strings.Contains(out, "restart=\n") {
		t.Errorf("with %s: %s", want, out)
	}
	if !slices.Contains(readProcessors("/proc/cpuinfo").features, "avx2") {
		t.Skip("no processor with AVX2")
	}
	if out := child(coreVariable + "=NEHALEM"); !strings.Contains(out, "kernels=Nehalem restart=\n") {
		t.Errorf("the user's choice of kernels is not respected: %s", out)
	}
}
