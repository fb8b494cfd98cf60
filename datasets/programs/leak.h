// What programs that know their own leaks use to say so.
#ifndef LEAK_H
#define LEAK_H

#include <stddef.h>

// Exported by the collector's preload library; absent in any other run.
#ifdef __cplusplus
extern "C"
#endif
void leakformer_mark(void *block, int kind) __attribute__((weak));

enum { LEAK_LOST = 1, LEAK_GROWTH = 2 };

static size_t leak_count; // blocks marked so far

// leak_mark says that nothing will free the block from now on.
static inline void leak_mark(void *block, int kind)
{
	__atomic_fetch_add(&leak_count, 1, __ATOMIC_RELAXED);
	if (leakformer_mark)
		leakformer_mark(block, kind);
}

#endif
