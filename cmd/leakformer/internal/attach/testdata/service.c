// A program to attach to: it waits for a line, works, and waits for another. What it
// allocates while it works is known exactly: what use() does, as often as its argument
// says, and LEAKS blocks more. It tells how long that took of a processor's time.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LEAKS = 400 };

static void *kept[LEAKS];

__attribute__((noinline)) static void leak(int i) { kept[i] = malloc(100 + i % 8); }

__attribute__((noinline)) static void use(int i) {
	char *p = malloc(32 + i % 64);
	p = realloc(p, 200);
	memset(p, 1, 200);
	free(p);
	void *q = NULL;
	if (posix_memalign(&q, 64, 300) == 0)
		free(q);
	free(calloc(3, 50));
	free(aligned_alloc(64, 128));
	free(NULL);
}

// Not main, whose callers have no frame pointers.
__attribute__((noinline)) static void work(int uses) {
	for (int i = 0; i < uses; i++)
		use(i);
	for (int i = 0; i < LEAKS; i++)
		leak(i);
}

static void wait(void) {
	char c;
	while (read(0, &c, 1) == 1 && c != '\n')
		;
}

int main(int argc, char **argv) {
	free(malloc(1)); // the allocator is at work before anybody attaches
	write(1, "ready\n", 6);
	wait();
	struct timespec from, t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	work(argc > 1 ? atoi(argv[1]) : 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	char done[64]; // on the stack, unlike what printf writes into
	write(1, done, snprintf(done, sizeof done, "%lld\n", (t.tv_sec - from.tv_sec) * 1000000000LL + t.tv_nsec - from.tv_nsec));
	wait();
	return kept[0] == NULL;
}
