// Package torch is the network: a Transformer encoder over the token sequences
// of allocation sites, trained and run by libtorch. It is the only package that
// needs libtorch, through gotch; the tool in its folder fit adapts gotch to the
// libtorch at hand.
//
// Of gotch it uses libtch alone, thin bindings to raw C pointers, under a layer
// of its own: a scope owns every tensor made in it and frees them when it ends,
// and remembers the first error.
//
// Note: gotch's package ts is not used. It frees tensors in finalizers without
// keeping them alive during calls, which crashes under the garbage collector,
// and it ends the program on errors.
//
// # Threads
//
// A step cuts its batch into small parts of sequences of like length, computes
// each part's gradient on one thread, several parts at a time, and adds the
// gradients in the order of the parts, so that no operation waits for another
// thread and those that libtorch does on one thread only run side by side too.
// The parts, the random numbers and the order of the
// sums do not depend on the number of threads, so neither does the result: the
// same seed and batches give the same weights to the last bit, on the same
// libtorch, BLAS and kind of processor.
package torch
