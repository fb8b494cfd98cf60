package torch

import (
	"bufio"
	"cmp"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
)

// vectorKernels are OpenBLAS's names of kernels with AVX2 or more. What it chooses
// among them is right: on an AMD EPYC 9004 (Zen 4) it takes Cooperlake's, and
// neither Haswell's, Zen's nor SkylakeX's are measurably faster.
var vectorKernels = []string{"Haswell", "Zen", "Excavator", "SkylakeX", "Cooperlake", "SapphireRapids"}

// betterKernels names the kernels that processors can do and current falls
// short of; "" if none.
func betterKernels(current string, p processors) string {
	if slices.ContainsFunc(vectorKernels, func(k string) bool { return strings.EqualFold(k, current) }) {
		return ""
	}
	has := func(features ...string) bool {
		return !slices.ContainsFunc(features, func(f string) bool { return !slices.Contains(p.features, f) })
	}
	switch {
	case has("avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"):
		return "SKYLAKEX"
	case has("avx2", "fma"):
		return "HASWELL"
	}
	return ""
}

// processors are what /proc/cpuinfo tells about them.
type processors struct {
	features []string // of the first, in Linux's words
	cores    int      // physical ones; 0 if it does not tell
}

func readProcessors(path string) processors {
	f, err := os.Open(path)
	if err != nil {
		return processors{} // not Linux: nothing is known
	}
	defer f.Close()
	return parseProcessors(f)
}

func parseProcessors(r io.Reader) processors {
	var p processors
	cores := map[[2]string]bool{}
	var core [2]string // package and core
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(name) {
		case "flags":
			if p.features == nil {
				p.features = strings.Fields(value)
			}
		case "physical id":
			core[0] = value
		case "core id":
			core[1] = value
			cores[core] = true
		}
	}
	p.cores = len(cores)
	return p
}

// Cores returns how many threads can compute at full speed: the physical cores,
// or fewer if the process may not use as many.
func Cores() int {
	allowed := runtime.GOMAXPROCS(0) // knows affinity and container limits
	return min(allowed, cmp.Or(readProcessors("/proc/cpuinfo").cores, allowed))
}
