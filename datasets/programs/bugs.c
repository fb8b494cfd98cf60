// Small programs with one bug each, the kinds that reviews find in C:
//
//	bugs --bug=NAME [--rounds=N] [--seed=N] [--leak=RATE]
//
// RATE (0 to 1) is how often the bug strikes; with 0 the program is right and
// frees everything. Each bug marks the blocks it leaks, at the moment the last
// way to free them is gone. The last line says how many there were.
#include "leak.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 1;
static double leak_rate;

static uint32_t draw(uint32_t below)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(state >> 33) % below;
}

static int strikes(void) { return draw(1000000) < leak_rate * 1000000; }

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

// --- early-return: a check in the middle returns without the clean-up.

static int load_config(void)
{
	char *name = words(2), *value = words(1 + draw(20));
	if (draw(10) == 0) { // malformed: the caller is told
		if (strikes())
			leak_mark(value, LEAK_LOST);
		else
			free(value);
		free(name);
		return -1;
	}
	char *joined = must(malloc(strlen(name) + strlen(value) + 2));
	sprintf(joined, "%s=%s", name, value);
	free(joined);
	free(value);
	free(name);
	return 0;
}

static void early_return(void) { load_config(); }

// --- overwritten-pointer: a second assignment buries the first block.

struct record { char *title, *body; };

static void overwritten_pointer(void)
{
	struct record r = { words(2), words(10) };
	if (draw(4) == 0) { // the title is corrected
		if (strikes())
			leak_mark(r.title, LEAK_LOST);
		else
			free(r.title);
		r.title = words(3);
	}
	free(r.body);
	free(r.title);
}

// --- reference-count: one path takes a reference and does not give it back.

struct shared { int references; char *data; };

static struct shared *published[32];

static void shared_release(struct shared *s)
{
	if (--s->references == 0) {
		free(s->data);
		free(s);
	}
}

static void reference_count(void)
{
	uint32_t slot = draw(32);
	struct shared *old = published[slot], *s = must(malloc(sizeof *s));
	*s = (struct shared){ .references = 1, .data = words(1 + draw(6)) };
	published[slot] = s;
	if (!old)
		return;
	if (draw(8) == 0) { // a reader borrows it meanwhile
		old->references++;
		if (strikes()) { // and leaves by the way out that keeps the reference
			shared_release(old);
			leak_mark(old->data, LEAK_LOST);
			leak_mark(old, LEAK_LOST);
			return;
		}
		shared_release(old);
	}
	shared_release(old);
}

// --- list-node: unlinking forgets the node, or its payload.

struct node { struct node *next; char *payload; };

static struct node *queue;
static int queued;

static void list_node(void)
{
	struct node *n = must(malloc(sizeof *n));
	*n = (struct node){ .next = queue, .payload = words(1 + draw(4)) };
	queue = n;
	if (++queued < 60)
		return;
	struct node **at = &queue; // drop one from the middle
	for (uint32_t i = draw(50); i; i--)
		at = &(*at)->next;
	struct node *gone = *at;
	*at = gone->next;
	queued--;
	free(gone->payload);
	if (strikes())
		leak_mark(gone, LEAK_LOST);
	else
		free(gone);
}

// --- callback-twice: registering again replaces the only pointer to the context.

struct callback { void (*call)(void *); void *context; };

static struct callback handlers[64];

static void callback_twice(void)
{
	struct callback *h = &handlers[draw(64)];
	if (h->context) {
		if (draw(3) == 0 && strikes())
			leak_mark(h->context, LEAK_LOST);
		else
			free(h->context);
	}
	h->call = free;
	h->context = words(1 + draw(8));
}

// --- realloc-misuse: the old block is lost when growing is refused.

static void realloc_misuse(void)
{
	size_t size = 16;
	char *buffer = must(malloc(size));
	for (int i = 0; i < 6; i++) {
		size_t wanted = size * 2;
		// A quota stands for the failing realloc: buffer = realloc(buffer, n)
		// without a second pointer loses the block then.
		if (draw(12) == 0) {
			if (strikes())
				leak_mark(buffer, LEAK_LOST);
			else
				free(buffer);
			return;
		}
		buffer = must(realloc(buffer, wanted));
		size = wanted;
	}
	free(buffer);
}

// --- never-emptied: a log of errors that only grows. Reachable to the end.

static char **failures;
static size_t failure_count, failure_room;

static void never_emptied(void)
{
	char *request = words(1 + draw(9));
	if (draw(20) != 0) {
		free(request);
		return;
	}
	if (failure_count == 50 && !strikes()) { // full: the oldest goes
		free(failures[0]);
		memmove(failures, failures + 1, --failure_count * sizeof *failures);
	}
	if (failure_count == failure_room) {
		failure_room = failure_room ? failure_room * 2 : 64;
		failures = must(realloc(failures, failure_room * sizeof *failures));
	}
	if (failure_count >= 50) // one more than it may hold: it will stay
		leak_mark(request, LEAK_GROWTH);
	failures[failure_count++] = request;
}

static const struct { const char *name; void (*round)(void); } bugs[] = {
	{ "early-return", early_return }, { "overwritten-pointer", overwritten_pointer },
	{ "reference-count", reference_count }, { "list-node", list_node },
	{ "callback-twice", callback_twice }, { "realloc-misuse", realloc_misuse },
	{ "never-emptied", never_emptied },
};

static void free_everything(void)
{
	for (int i = 0; i < 32; i++)
		if (published[i])
			shared_release(published[i]);
	while (queue) {
		struct node *n = queue;
		queue = n->next;
		free(n->payload);
		free(n);
	}
	for (int i = 0; i < 64; i++)
		free(handlers[i].context);
}

int main(int argc, char **argv)
{
	char bug[40] = "";
	int rounds = 20000;
	for (int i = 1; i < argc; i++) {
		unsigned long n;
		if (sscanf(argv[i], "--bug=%39s", bug) == 1 || sscanf(argv[i], "--rounds=%d", &rounds) == 1 ||
		    sscanf(argv[i], "--leak=%lf", &leak_rate) == 1)
			continue;
		if (sscanf(argv[i], "--seed=%lu", &n) == 1)
			state = n;
	}
	for (size_t i = 0; i < sizeof bugs / sizeof *bugs; i++) {
		if (strcmp(bugs[i].name, bug) != 0)
			continue;
		for (int r = 0; r < rounds; r++) {
			char *request = words(1 + draw(12)); // what every round does
			bugs[i].round();
			free(request);
		}
		free_everything();
		printf("leaked %zu blocks\n", leak_count);
		return 0;
	}
	fputs("usage: bugs --bug=NAME [--rounds=N] [--seed=N] [--leak=RATE]\n", stderr);
	return 2;
}
