package torch

// #include <malloc.h>
// #include <stdint.h>
// #include <stdlib.h>
// #include <sys/mman.h>
// #include <unistd.h>
//
// #ifdef __GLIBC__
//
// // Threads choose their arena when they first allocate: it has to be said before
// // there are any.
// __attribute__((constructor)) static void share_arena(void) { mallopt(M_ARENA_MAX, 1); }
//
// enum { first = 96 << 20, huge = 2 << 20 };
//
// static void keep_memory(void) {
//   mallopt(M_TOP_PAD, first);
//   mallopt(M_MMAP_THRESHOLD, 32 << 20); // the most that it takes
//   mallopt(M_TRIM_THRESHOLD, 1 << 30);
//   char *block = malloc(huge); // the arena grows by the padding
//   if (!block) return;
//   free(block);
//   uintptr_t from = ((uintptr_t)block + huge - 1) & -huge, to = (uintptr_t)sbrk(0) & -huge;
//   if (from < to) madvise((void *)from, to - from, MADV_HUGEPAGE);
//   mallopt(M_TOP_PAD, 16 << 20);
// }
//
// #else
// static void keep_memory(void) {}
// #endif
import "C"

import "sync"

// keepMemory makes the C allocator keep what is freed for the next tensors, which are
// of the same sizes, and take what it needs first in huge pages.
//
// Left alone it gives large blocks back to the system, which clears them for us again:
// a fifth of the time of a step. It does so whatever it is told with memory of threads
// other than the first, which it also gets from the system page by page, 9,000 times
// while libtorch is loaded: all share the first's. And in small pages the memory that
// loading and the first batch take is 19,000 of them, a sixth of the time of a short run.
var keepMemory = sync.OnceFunc(func() { C.keep_memory() })
