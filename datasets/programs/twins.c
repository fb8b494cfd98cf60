// The benign twins of the bugs: programs whose memory grows, or stays, and that
// do not leak. Blocks left at the end are all reachable.
//
//	twins --shape=NAME [--rounds=N] [--seed=N] [--size=N]
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 1;
static int size = 100;

static uint32_t draw(uint32_t below)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(state >> 33) % below;
}

static void *must(void *block)
{
	if (!block)
		abort();
	return block;
}

static char *words(uint32_t n)
{
	char *text = must(malloc(n * 6 + 1));
	for (uint32_t i = 0; i < n * 6; i++)
		text[i] = i % 6 == 5 ? ' ' : (char)('a' + draw(26));
	text[n * 6] = 0;
	return text;
}

// --- bounded-cache: full soon, and then one goes for one that comes.

static char **cache;

static void bounded_cache(void)
{
	if (!cache)
		cache = must(calloc(size, sizeof *cache));
	char **slot = &cache[draw(size)];
	free(*slot);
	*slot = words(1 + draw(20));
}

// --- lazy-singleton: made at first use, kept for ever; some first uses are late.

static char *singletons[64];

static void lazy_singleton(void)
{
	uint32_t i = draw(64) * draw(64) / 64;
	if (!singletons[i])
		singletons[i] = words(4 + i);
}

// --- arena: blocks pile up and go all at once.

static char *pile[4096];
static int piled;

static void arena(void)
{
	pile[piled++] = words(1 + draw(9));
	if (piled < size * 20 && piled < 4096)
		return;
	while (piled)
		free(pile[--piled]);
}

// --- interned-strings: every new one stays; new ones get rarer and rarer.

struct name { struct name *next; uint32_t key; char *text; };

static struct name *interned[512];

static void interned_strings(void)
{
	uint32_t key = draw(1 + draw(size * 40));
	struct name **at = &interned[key % 512];
	for (; *at; at = &(*at)->next)
		if ((*at)->key == key)
			return;
	struct name *n = must(malloc(sizeof *n));
	*n = (struct name){ .key = key, .text = words(1 + key % 5) };
	*at = n;
}

// --- plateau: a table that grows by doubling until the load is known.

static char **table;
static int used, room;

static void plateau(void)
{
	if (used >= size * 10)
		return;
	if (used == room) {
		room = room ? room * 2 : 16;
		table = must(realloc(table, room * sizeof *table));
	}
	table[used++] = words(1 + draw(3));
}

// --- pool: objects go back to the pool and not to malloc.

struct object { struct object *next; char body[100]; };

static struct object *idle, *busy[200];

static void pool(void)
{
	uint32_t i = draw(size % 200 + 1);
	if (busy[i]) {
		busy[i]->next = idle;
		idle = busy[i];
		busy[i] = NULL;
		return;
	}
	if (!idle)
		idle = must(calloc(1, sizeof *idle));
	busy[i] = idle;
	idle = idle->next;
}

// --- thread-buffers: each thread has one that grows to the largest need.

static void *use_buffer(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	char *buffer = NULL;
	size_t have = 0;
	for (int i = 0; i < 20; i++) {
		size_t need = 50 + rand_r(&seed) % 3000;
		if (need > have) {
			have = need;
			buffer = must(realloc(buffer, have));
		}
		memset(buffer, i, need);
	}
	free(buffer);
	return NULL;
}

static void thread_buffers(void)
{
	if (draw(20) != 0)
		return;
	pthread_t id[4];
	for (int i = 0; i < 4; i++)
		if (pthread_create(&id[i], NULL, use_buffer, (void *)(uintptr_t)draw(1 << 20)) != 0)
			abort();
	for (int i = 0; i < 4; i++)
		pthread_join(id[i], NULL);
}

static const struct { const char *name; void (*round)(void); } shapes[] = {
	{ "bounded-cache", bounded_cache }, { "lazy-singleton", lazy_singleton }, { "arena", arena },
	{ "interned-strings", interned_strings }, { "plateau", plateau }, { "pool", pool },
	{ "thread-buffers", thread_buffers },
};

int main(int argc, char **argv)
{
	char shape[40] = "";
	int rounds = 20000;
	for (int i = 1; i < argc; i++) {
		unsigned long n;
		if (sscanf(argv[i], "--shape=%39s", shape) == 1 || sscanf(argv[i], "--rounds=%d", &rounds) == 1 ||
		    sscanf(argv[i], "--size=%d", &size) == 1)
			continue;
		if (sscanf(argv[i], "--seed=%lu", &n) == 1)
			state = n;
	}
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
		if (strcmp(shapes[i].name, shape) != 0)
			continue;
		for (int r = 0; r < rounds; r++) {
			char *request = words(1 + draw(12)); // what every round does
			shapes[i].round();
			free(request);
		}
		puts("leaked 0 blocks");
		return 0;
	}
	fputs("usage: twins --shape=NAME [--rounds=N] [--seed=N] [--size=N]\n", stderr);
	return 2;
}
