// A small request-processing service with every habit of memory that looks
// like a leak and is none - a bounded cache, an object pool, tables made once,
// an arena, a table that grows and then stays, buffers of threads - and, behind
// a flag, one real leak on an error path.
//
//	demo [--requests=N] [--seed=N] [--cache=N] [--threads=N] [--leak=RATE]
//
// RATE is the share of failed requests (0 to 1) that lose their header block.
// The last line on standard output tells how many blocks were leaked.
#include "leak.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int requests = 20000, cache_limit = 200, threads = 2;
static uint64_t seed = 1;
static double leak_rate;

// ------------------------------------------------------------ small helpers

struct rng { uint64_t state; };

static uint32_t draw(struct rng *r, uint32_t below)
{
	r->state = r->state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(r->state >> 33) % below;
}

static void *must(void *block)
{
	if (!block) {
		fputs("demo: out of memory\n", stderr);
		exit(1);
	}
	return block;
}

static char *copy_text(const char *text) { return must(strdup(text)); }

// ---------------------------------------------------- tables made once, kept

struct route { char *path; int handler; };

static struct route *routes;
static int route_count;

static void load_routes(void)
{
	route_count = 120;
	routes = must(calloc(route_count, sizeof *routes));
	for (int i = 0; i < route_count; i++) {
		char path[64];
		snprintf(path, sizeof path, "/api/v1/service%d/item", i);
		routes[i].path = copy_text(path);
		routes[i].handler = i % 7;
	}
}

// ------------------------------------ interned names: grow, then stay for ever

struct name { struct name *next; char text[]; };

static struct name *names[256];
static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;

static const char *intern(const char *text)
{
	unsigned h = 5381;
	for (const char *c = text; *c; c++)
		h = h * 33 + (unsigned char)*c;
	pthread_mutex_lock(&names_lock);
	struct name *n = names[h % 256];
	while (n && strcmp(n->text, text) != 0)
		n = n->next;
	if (!n) {
		n = must(malloc(sizeof *n + strlen(text) + 1));
		strcpy(n->text, text);
		n->next = names[h % 256];
		names[h % 256] = n;
	}
	pthread_mutex_unlock(&names_lock);
	return n->text;
}

// ------------------------------------------------------------- bounded cache

struct entry { struct entry *older, *newer; const char *key; char *body; };

static struct entry *newest, *oldest;
static int cached;
static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;

static void cache_drop_oldest(void)
{
	struct entry *e = oldest;
	oldest = e->newer;
	if (oldest)
		oldest->older = NULL;
	else
		newest = NULL;
	cached--;
	free(e->body);
	free(e);
}

static void cache_put(const char *key, const char *body)
{
	struct entry *e = must(malloc(sizeof *e));
	*e = (struct entry){ .key = key, .body = copy_text(body) };
	pthread_mutex_lock(&cache_lock);
	e->older = newest;
	if (newest)
		newest->newer = e;
	else
		oldest = e;
	newest = e;
	if (++cached > cache_limit)
		cache_drop_oldest();
	pthread_mutex_unlock(&cache_lock);
}

// --------------------------------------------- pool: objects are never freed

struct session { struct session *next; char *user; int hits; };

static struct session *idle;
static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;

static struct session *session_get(void)
{
	pthread_mutex_lock(&pool_lock);
	struct session *s = idle;
	if (s)
		idle = s->next;
	pthread_mutex_unlock(&pool_lock);
	return s ? s : must(calloc(1, sizeof *s));
}

static void session_put(struct session *s)
{
	free(s->user);
	s->user = NULL;
	pthread_mutex_lock(&pool_lock);
	s->next = idle;
	idle = s;
	pthread_mutex_unlock(&pool_lock);
}

// ----------------------------------- arena: freed as a whole, once in a while

struct chunk { struct chunk *next; size_t used; char room[4000]; };
struct arena { struct chunk *chunks; };

static char *arena_copy(struct arena *a, const char *text)
{
	size_t n = strlen(text) + 1;
	if (!a->chunks || a->chunks->used + n > sizeof a->chunks->room) {
		struct chunk *c = must(malloc(sizeof *c));
		c->next = a->chunks;
		c->used = 0;
		a->chunks = c;
	}
	char *to = a->chunks->room + a->chunks->used;
	a->chunks->used += n;
	return memcpy(to, text, n);
}

static void arena_free(struct arena *a)
{
	while (a->chunks) {
		struct chunk *next = a->chunks->next;
		free(a->chunks);
		a->chunks = next;
	}
}

// ------------------------------------------------------------------ requests

struct header { char *key, *value; struct header *next; };

// buffer is kept by each thread and only ever grows.
static __thread char *buffer;
static __thread size_t buffer_size;

static char *scratch(size_t n)
{
	if (n > buffer_size) {
		buffer_size = n * 2;
		buffer = must(realloc(buffer, buffer_size));
	}
	return buffer;
}

static struct header *parse_headers(struct rng *r)
{
	struct header *list = NULL;
	for (uint32_t n = 2 + draw(r, 6); n; n--) {
		char text[80];
		struct header *h = must(malloc(sizeof *h));
		snprintf(text, sizeof text, "X-Header-%u", draw(r, 40));
		h->key = copy_text(text);
		snprintf(text, sizeof text, "value-%0*u", (int)(5 + draw(r, 40)), draw(r, 1000));
		h->value = copy_text(text);
		h->next = list;
		list = h;
	}
	return list;
}

static void free_headers(struct header *h)
{
	while (h) {
		struct header *next = h->next;
		free(h->key);
		free(h->value);
		free(h);
		h = next;
	}
}

// validate takes ownership of the headers when it fails.
static int validate(struct rng *r, struct header *h)
{
	if (draw(r, 100) >= 4)
		return 1;
	char *message = must(malloc(120));
	snprintf(message, 120, "bad request: %s", h->key);
	if (draw(r, 1000000) < leak_rate * 1000000) {
		// The bug: this way out forgets the first header's value.
		struct header *first = h;
		leak_mark(first->value, LEAK_LOST);
		first->value = NULL;
	}
	free_headers(h);
	free(message);
	return 0;
}

static void handle(struct rng *r, struct arena *a)
{
	struct session *s = session_get();
	char user[40], text[200];
	snprintf(user, sizeof user, "user%u", draw(r, 500));
	s->user = copy_text(user);
	s->hits++;
	struct header *h = parse_headers(r);
	if (validate(r, h)) {
		const char *key = intern(user);
		char *body = scratch(100 + draw(r, 3000));
		snprintf(body, 100, "%s %s %d", routes[draw(r, route_count)].path, h->value, s->hits);
		arena_copy(a, body);
		snprintf(text, sizeof text, "%s:%s", key, h->key);
		if (draw(r, 3) == 0)
			cache_put(key, text);
		free_headers(h);
	}
	session_put(s);
}

static void *work(void *arg)
{
	struct rng r = { .state = seed * 1000003 + (uintptr_t)arg };
	struct arena a = { 0 };
	for (int i = 0; i < requests / threads; i++) {
		handle(&r, &a);
		if (i % 250 == 249)
			arena_free(&a);
	}
	arena_free(&a);
	free(buffer);
	return NULL;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		unsigned long n;
		if (sscanf(argv[i], "--requests=%d", &requests) == 1 || sscanf(argv[i], "--cache=%d", &cache_limit) == 1 ||
		    sscanf(argv[i], "--threads=%d", &threads) == 1 || sscanf(argv[i], "--leak=%lf", &leak_rate) == 1)
			continue;
		if (sscanf(argv[i], "--seed=%lu", &n) != 1) {
			fprintf(stderr, "usage: demo [--requests=N] [--seed=N] [--cache=N] [--threads=N] [--leak=RATE]\n");
			return 2;
		}
		seed = n;
	}
	if (threads < 1 || threads > 64 || cache_limit < 1) {
		fputs("demo: want 1 to 64 threads and a cache of at least 1\n", stderr);
		return 2;
	}
	load_routes();
	pthread_t id[64];
	for (intptr_t i = 0; i < threads; i++)
		if (pthread_create(&id[i], NULL, work, (void *)i) != 0)
			return 1;
	for (int i = 0; i < threads; i++)
		pthread_join(id[i], NULL);
	printf("leaked %zu blocks\n", leak_count);
	return 0;
}
