package torch

// #cgo LDFLAGS: -ldl
// #define _GNU_SOURCE
// #include <dlfcn.h>
//
// static const char *core_name(void *library) {
//   char *(*core)(void) = (char *(*)(void))dlsym(library, "openblas_get_corename");
//   return core ? core() : 0;
// }
//
// static const char *openblas_core(void) { return core_name(RTLD_DEFAULT); }
//
// static void openblas_threads(int n) {
//   void (*set)(int) = (void (*)(int))dlsym(RTLD_DEFAULT, "openblas_set_num_threads");
//   if (set) set(n);
// }
//
// static void *open_openblas(void) { return dlopen("libopenblas.so.0", RTLD_LAZY); }
import "C"

import (
	"fmt"
	"os"
	"sync"

	"github.com/sugarme/gotch/libtch"
)

// coreVariable is how OpenBLAS is told which kernels to use. It looks once, when
// it is loaded.
const coreVariable = "OPENBLAS_CORETYPE"

// load loads libtorch, which takes a while, when a network is first made: no other
// part of the program needs it.
var load = sync.OnceValue(func() error {
	keepMemory()
	if _, chosen := os.LookupEnv(coreVariable); !chosen {
		chooseKernels(func(core string) string { return betterKernels(core, readProcessors("/proc/cpuinfo")) })
	}
	if err := libtch.Load(); err != nil {
		return fmt.Errorf("torch: %w", err)
	}
	return nil
})

// Preload has libtorch loaded in the background, for a caller that is going to make a
// network and has something else to do first. When it fails, making the network does.
func Preload() { go load() }

// chooseKernels asks better for better kernels than those of the core that OpenBLAS
// takes the processor for; "" if there are none. A version older than the processor may
// take it for one of 2004 and be five times slower than need be (OpenBLAS 0.3.21 of
// Debian 12 on recent Xeons). It has to be loaded to tell, and then once more.
func chooseKernels(better func(core string) string) {
	library := C.open_openblas()
	if library == nil {
		return // MKL in the official archives chooses well
	}
	if core := better(C.GoString(C.core_name(library))); core != "" {
		os.Setenv(coreVariable, core)
		C.dlclose(library)
	}
}

// Kernels is the processor whose kernels OpenBLAS uses, in OpenBLAS's words, for
// example "Haswell". It is "" with another matrix library, and without libtorch.
func Kernels() string {
	if load() != nil {
		return ""
	}
	return C.GoString(C.openblas_core())
}

// oneBLASThread makes BLAS compute each product on the thread that asks for it.
func oneBLASThread() { C.openblas_threads(1) }
