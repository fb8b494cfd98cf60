// A preload library that forgets frees.
//
// It stands before the tracer's own preload library (or before libc, under
// Valgrind). In MODE_COUNT it counts frees per call path; in MODE_DROP it
// swallows a share of the frees of the paths that the control file names, so
// that the block is never given back and the tracer never hears of a free.
// Each swallowed free leaves a marker in the trace: an allocation of a size
// that nobody asks for, freed at once. The marker's size carries the number of
// the drop, so the two records can be matched even when the tracer missed one.
// Under memcheck, which writes a report and no trace, there are no markers:
// memcheck is asked to describe the block in its log instead.
//
// Rules that shaped it:
//   - malloc is not wrapped, so no stack of an allocation shows this library;
//     realloc is, for realloc(p, 0), and leaves by a tail call.
//   - Nothing here allocates but the marker: the walk over the stack is
//     libgcc's, linked in, because backtrace(3) loads it with dlopen.
//   - Frees of the tracer itself are left alone, and recognised before the lock
//     is taken: the tracer may hold its own lock while it frees.
//   - A forked child is not traced and must not write: the page behind `alive`
//     is wiped in it by the kernel.
#define _GNU_SOURCE
#include "forget.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <unwind.h>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_MONITOR_COMMAND(command) ((void)(command))
#endif

#define EXPORT __attribute__((visibility("default")))
#define CONTROL "LEAKFORMER_FORGET" // environment: path of the control file

static void (*next_free)(void *);
static void *(*next_realloc)(void *, size_t);
static int (*next_unlink)(const char *);
static int (*next_remove)(const char *);
static uint64_t *header;
static struct path *paths;
static struct drop *drops;
static volatile int *alive; // 1 in the traced process, 0 in its forked children
static uint64_t phase; // enum forget_phase, the last one recorded
static uintptr_t own_low, own_high, tracer_low, tracer_high;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static __thread int busy __attribute__((tls_model("initial-exec")));

// ---------------------------------------------------------------- start-up

static int find_modules(struct dl_phdr_info *m, size_t size, void *unused)
{
	(void)size, (void)unused;
	uintptr_t low = UINTPTR_MAX, high = 0;
	for (int i = 0; i < m->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &m->dlpi_phdr[i];
		if (h->p_type != PT_LOAD)
			continue;
		uintptr_t start = m->dlpi_addr + h->p_vaddr;
		low = start < low ? start : low;
		high = start + h->p_memsz > high ? start + h->p_memsz : high;
	}
	uintptr_t here = (uintptr_t)&find_modules;
	if (low <= here && here < high)
		own_low = low, own_high = high;
	else if (m->dlpi_name && strstr(m->dlpi_name, "/libheaptrack_"))
		tracer_low = low, tracer_high = high;
	return 0;
}

// map_control returns the mapped control file, or NULL when there is none, it
// is not one of ours, or another process has taken it.
static uint64_t *map_control(const char *name)
{
	int fd = open(name, O_RDWR | O_CLOEXEC);
	struct stat st;
	if (fd < 0)
		return NULL;
	uint64_t *w = MAP_FAILED;
	if (fstat(fd, &st) == 0 && (size_t)st.st_size >= FORGET_HEADER * sizeof *w)
		w = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (w == MAP_FAILED)
		return NULL;
	uint64_t n = w[W_PATHS], free_slot = 0;
	int fits = w[W_MAGIC] == FORGET_MAGIC && n && (n & (n - 1)) == 0 && n < 1u << 24 && w[W_DROPS] < 1u << 28 &&
		w[W_DEPTH] >= 1 && w[W_DEPTH] <= FORGET_DEPTH &&
		(uint64_t)st.st_size >= FORGET_HEADER * sizeof *w + n * sizeof(struct path) + w[W_DROPS] * sizeof(struct drop);
	if (fits && __atomic_compare_exchange_n(&w[W_OWNER], &free_slot, (uint64_t)getpid(), 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return w;
	munmap(w, st.st_size);
	return NULL;
}

static void set_up(void)
{
	next_realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
	next_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
	next_unlink = (int (*)(const char *))dlsym(RTLD_NEXT, "unlink");
	next_remove = (int (*)(const char *))dlsym(RTLD_NEXT, "remove");
	const char *name = getenv(CONTROL);
	if (!name)
		return;
	uint64_t *w = map_control(name);
	unsetenv(CONTROL); // children and programs that copy their environment see nothing of us
	if (!w)
		return;
	int *page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED || madvise(page, sizeof *page, MADV_WIPEONFORK) != 0)
		return;
	dl_iterate_phdr(find_modules, NULL);
	*page = 1;
	paths = (struct path *)(w + FORGET_HEADER);
	drops = (struct drop *)(paths + w[W_PATHS]);
	alive = page;
	__atomic_store_n(&header, w, __ATOMIC_RELEASE);
}

__attribute__((constructor)) static void start(void)
{
	busy++;
	pthread_once(&once, set_up);
	busy--;
}

// ------------------------------------------------------------------- paths

struct walk {
	uint64_t frames[FORGET_DEPTH];
	unsigned depth, want;
	int tracer;
};

static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *arg)
{
	struct walk *w = arg;
	uintptr_t ip = _Unwind_GetIP(context);
	if (own_low <= ip && ip < own_high)
		return w->depth ? _URC_END_OF_STACK : _URC_NO_REASON;
	if (tracer_low <= ip && ip < tracer_high)
		w->tracer = 1;
	w->frames[w->depth++] = ip;
	return w->depth < w->want ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 30, x *= 0xbf58476d1ce4e5b9ULL;
	x ^= x >> 27, x *= 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

// find_path returns the slot of the path, taken for it if new, or NULL when
// the table is three quarters full.
static struct path *find_path(const struct walk *w)
{
	uint64_t hash = w->depth;
	for (unsigned i = 0; i < w->depth; i++)
		hash = mix(hash + w->frames[i]);
	hash |= 1; // 0 stands for a free slot
	for (uint64_t i = hash;; i++) {
		struct path *p = &paths[i & (header[W_PATHS] - 1)];
		if (p->hash == hash)
			return p;
		if (p->hash)
			continue;
		if (header[W_USED] >= header[W_PATHS] / 4 * 3)
			return NULL;
		header[W_USED]++;
		p->hash = hash;
		p->first = header[W_TOTAL];
		memcpy(p->frames, w->frames, w->depth * sizeof p->frames[0]);
		return p;
	}
}

// chosen says whether the free that the path has just counted is to be dropped.
static int chosen(const struct path *p)
{
	if (header[W_MODE] != MODE_DROP || !p->share || p->frees < p->from || header[W_TOTAL] <= p->after)
		return 0;
	if (p->until && p->frees > p->until)
		return 0;
	return mix(header[W_SEED] + mix(p->hash + p->frees)) >> 32 < p->share;
}

// note marks the place in the trace, or has memcheck say where the block is from.
static void note(uint64_t number, const void *block)
{
	if (header[W_MARKER]) {
		void *volatile marker = malloc(header[W_MARKER] + number % FORGET_MARKERS);
		next_free(marker);
		return;
	}
	char command[64];
	snprintf(command, sizeof command, "v.info location %p", block);
	VALGRIND_MONITOR_COMMAND(command);
}

// record notes that the block is leaked from here on, or that a phase begins.
// The lock is held, so that records and markers have one order.
static int record(const void *block, uint64_t usable, uint64_t path, uint64_t kind)
{
	uint64_t n = header[W_DROPPED];
	if (n >= header[W_DROPS]) {
		header[W_REFUSED]++;
		return 0;
	}
	drops[n] = (struct drop){ FORGET_HIDE(block), usable, path, kind };
	header[W_DROPPED] = n + 1;
	note(n, block);
	return 1;
}

// follow_phase records a phase that was set since. The lock is held.
static void follow_phase(void)
{
	uint64_t now = __atomic_load_n(&header[W_PHASE], __ATOMIC_ACQUIRE);
	if (now != phase)
		record(NULL, 0, phase = now, KIND_PHASE);
}

// forget says whether the free of the block is to be dropped.
static int forget(void *block)
{
	if (busy)
		return 0;
	if (!next_free)
		start();
	if (!__atomic_load_n(&header, __ATOMIC_ACQUIRE) || !*alive)
		return 0;
	busy = 1;
	int saved = errno, dropped = 0;
	struct walk w = { .want = header[W_DEPTH] };
	_Unwind_Backtrace(step, &w);
	if (!w.tracer && w.depth) {
		pthread_mutex_lock(&lock);
		follow_phase();
		header[W_TOTAL]++;
		struct path *p = find_path(&w);
		if (!p)
			header[W_UNSEEN]++;
		else if (p->frees++, chosen(p))
			p->dropped += dropped = record(block, malloc_usable_size(block), p - paths, KIND_FORGOTTEN);
		pthread_mutex_unlock(&lock);
	}
	errno = saved;
	busy = 0;
	return dropped;
}

// ------------------------------------------------- what the program calls

EXPORT void free(void *block)
{
	if (block && forget(block))
		return;
	// Without next_free we are inside dlsym: losing that block is harmless.
	if (next_free)
		next_free(block);
}

EXPORT void *realloc(void *block, size_t size)
{
	if (block && !size && forget(block))
		return NULL;
	if (!next_realloc)
		start();
	return next_realloc(block, size);
}

// The operators delete end in free. They are wrapped because Valgrind replaces
// them where they stand, in libstdc++, and free would never be reached.
#define DELETE(symbol)                                                        \
	EXPORT void symbol(void *block, uintptr_t a, uintptr_t b)             \
	{                                                                     \
		static void (*next)(void *, uintptr_t, uintptr_t);            \
		if (block && forget(block))                                   \
			return;                                               \
		if (!next)                                                    \
			next = (void (*)(void *, uintptr_t, uintptr_t))       \
				dlsym(RTLD_NEXT, #symbol);                    \
		busy++;                                                       \
		next(block, a, b);                                            \
		busy--;                                                       \
	}
DELETE(_ZdlPv)
DELETE(_ZdaPv)
DELETE(_ZdlPvm)
DELETE(_ZdaPvm)
DELETE(_ZdlPvRKSt9nothrow_t)
DELETE(_ZdaPvRKSt9nothrow_t)
DELETE(_ZdlPvSt11align_val_t)
DELETE(_ZdaPvSt11align_val_t)
DELETE(_ZdlPvmSt11align_val_t)
DELETE(_ZdaPvmSt11align_val_t)
DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t)
DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t)

// leakformer_mark is for programs that know their own leaks: it says that the
// block is leaked from this moment on. Programs refer to it weakly.
EXPORT void leakformer_mark(void *block, int kind)
{
	if (busy || !block || !__atomic_load_n(&header, __ATOMIC_ACQUIRE) || !*alive)
		return;
	busy = 1;
	pthread_mutex_lock(&lock);
	record(block, malloc_usable_size(block), 0, kind == KIND_GROWTH ? KIND_GROWTH : KIND_LOST);
	pthread_mutex_unlock(&lock);
	busy = 0;
}

// set_phase says whether the file name stands for a phase, and sets it.
static int set_phase(const char *file)
{
	size_t n = strlen(FORGET_PHASE_FILE);
	if (busy || !file || strncmp(file, FORGET_PHASE_FILE, n) != 0 || !__atomic_load_n(&header, __ATOMIC_ACQUIRE) || !*alive)
		return 0;
	busy = 1;
	pthread_mutex_lock(&lock);
	__atomic_store_n(&header[W_PHASE], strtoul(file + n, NULL, 10), __ATOMIC_RELEASE);
	follow_phase();
	pthread_mutex_unlock(&lock);
	busy = 0;
	return 1;
}

// Any language can delete a file; not every one can call a library.
EXPORT int unlink(const char *file)
{
	if (set_phase(file))
		return 0;
	if (!next_unlink)
		start();
	return next_unlink(file);
}

EXPORT int remove(const char *file)
{
	if (set_phase(file))
		return 0;
	if (!next_remove)
		start();
	return next_remove(file);
}
