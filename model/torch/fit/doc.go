// Fit makes the gotch module compile against the libtorch of this machine.
//
// gotch v0.9.1 is written for libtorch 2.1.0 with CUDA and names its libraries
// by hand, so unmodified it builds neither on Debian (libtorch 1.13.1 or 2.6,
// CPU only) nor against most official archives. Fit leaves the module alone and
// adapts a copy:
//
//  1. copy gotch's libtch package from the module cache to .gotch/;
//  2. compile its C++ wrapper against the libtorch found: LIBTORCH if set (an
//     unpacked official archive, CPU or CUDA, or the torch folder of a Python
//     installation), else the system's; and replace the body of every function that
//     this libtorch has no counterpart for by one that reports so, until it compiles;
//  3. make a shared object of it, and write libtch/lib.go, which brings it along and
//     loads it and libtorch when asked to: programs that use libtch are not linked
//     with libtorch, which takes a good part of a second to load. Libraries that a
//     distribution linked libtorch with, and of which it uses nothing, are not loaded;
//  4. write go.work, which replaces gotch by that copy.
//
// Both .gotch/ and go.work are ignored by git. Afterwards plain go build and go
// test work without environment variables. Running it again does nothing unless
// gotch, libtorch, the compiler or fit itself changed.
//
// Usage, from anywhere inside the project (GOWORK=off because an old go.work
// may name a copy that is gone):
//
//	GOWORK=off go run ./model/torch/fit [-v]
//
// Fit needs the standard library alone, so that it runs before gotch compiles.
package main
