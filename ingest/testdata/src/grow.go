// Grows a cache for ever at one call site, and drops at another what it made. It
// writes a heap profile as text and one in a protocol buffer after each phase.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
)

var cache [][]byte

//go:noinline
func keep(n int) { cache = append(cache, make([]byte, n)) }

//go:noinline
func work(n int) byte { return make([]byte, n)[n/2] }

func main() {
	runtime.MemProfileRate = 32 << 10
	for phase := 1; phase <= 3; phase++ {
		for range 500 {
			keep(1000)
			work(4000)
		}
		runtime.GC()
		for debug, name := range []string{"%s/heap.%03d.pb.gz", "%s/heap.%03d.txt"} {
			f, err := os.Create(fmt.Sprintf(name, os.Args[1], phase))
			if err != nil {
				panic(err)
			}
			if err := pprof.Lookup("heap").WriteTo(f, debug); err != nil {
				panic(err)
			}
			f.Close()
		}
	}
}
