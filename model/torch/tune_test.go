package torch

import (
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
