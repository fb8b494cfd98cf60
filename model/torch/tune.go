package torch

// #cgo LDFLAGS: -ldl
// #define _GNU_SOURCE
// #include <dlfcn.h>
//
// static const char *openblas_core(void) {
//   char *(*core)(void) = (char *(*)(void))dlsym(RTLD_DEFAULT, "openblas_get_corename");
//   return core ? core() : 0;
// }
//
// static void openblas_threads(int n) {
//   void (*set)(int) = (void (*)(int))dlsym(RTLD_DEFAULT, "openblas_set_num_threads");
//   if (set) set(n);
// }
import "C"

import (
	"bufio"
	"cmp"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
)

// coreVariable is how OpenBLAS is told which kernels to use. It looks once, when
// the program starts.
const coreVariable = "OPENBLAS_CORETYPE"

// A Tuning says how the matrix library will compute.
type Tuning struct {
	// Kernels is the processor whose kernels OpenBLAS uses, in OpenBLAS's
	// words, for example "Haswell". It is "" with another library, which is
	// left alone: MKL in the official archives chooses well.
	Kernels string
	// Restart is an environment variable, as NAME=value, with which the
	// program, started again, would compute several times as fast. It is ""
	// if all is well or the user has chosen.
	Restart string
	// Threads is how many threads a Net uses unless told otherwise.
	Threads int
}

// Tune looks at the processor and at what OpenBLAS makes of it. A version older
// than the processor may take it for one of 2004 and be five times slower than
// need be (OpenBLAS 0.3.21 of Debian 12 on recent Xeons). It must know better
// before it is loaded, so the program has to start itself again:
//
//	if t := torch.Tune(); t.Restart != "" {
//		err := syscall.Exec(self, os.Args, append(os.Environ(), t.Restart))
//	}
//
// The second time Restart is empty.
func Tune() Tuning {
	t := Tuning{Kernels: C.GoString(C.openblas_core()), Threads: Cores()}
	if _, chosen := os.LookupEnv(coreVariable); chosen || t.Kernels == "" {
		return t
	}
	if core := betterKernels(t.Kernels, readProcessors("/proc/cpuinfo")); core != "" {
		t.Restart = coreVariable + "=" + core
	}
	return t
}

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

// oneBLASThread makes BLAS compute each product on the thread that asks for it.
func oneBLASThread() { C.openblas_threads(1) }
