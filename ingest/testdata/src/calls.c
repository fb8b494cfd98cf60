/* Every way to allocate in C, with a leak, a cache and a growing buffer:
   ./calls [f][e][t][x][o]: fork, fork and exec, threads, errors, output without
   newlines between the calls */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *cache[8];

__attribute__((noinline)) static void remember(int i)
{
	free(cache[i % 8]);
	cache[i % 8] = malloc(24 + i);
}

__attribute__((noinline)) static void lose(int i) { memset(malloc(10 + i), 0, 10); }

__attribute__((noinline)) static char *grow(char *p, size_t n) { return realloc(p, n); }

static void *thread(void *arg)
{
	for (int i = 0; i < 20; i++) {
		void *p = calloc(i + 1, 8);
		if (i == 7)
			lose(i);
		free(p);
	}
	return arg;
}

static void variants(void)
{
	void *p = NULL;
	free(NULL);
	free(memalign(64, 100));
	free(aligned_alloc(32, 96));
	if (posix_memalign(&p, 128, 200) == 0)
		free(p);
	free(valloc(30));
	free(strdup("a string"));
	p = reallocarray(NULL, 3, 7);
	p = reallocarray(p, 30, 7);
	p = realloc(p, 0); /* frees */
	free(calloc(0, 5));
	free(malloc(0));
	(void)p;
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	char *buffer = NULL;
	for (int i = 0; i < 12; i++) {
		remember(i);
		buffer = grow(buffer, 100 * (i + 1));
		if (i % 4 == 0)
			lose(i);
		if (strchr(how, 'o')) {
			printf("step %d ", i);
			fflush(stdout);
		}
	}
	variants();
	if (strchr(how, 'x')) {
		volatile size_t huge = (size_t)-1;
		void *volatile p = malloc(huge);
		p = calloc(huge, 2);
		malloc_usable_size(p);
		p = malloc(8);
		void *volatile q = p;
		free(p);
		free(q);
	}
	if (strchr(how, 't')) {
		pthread_t t[2];
		for (int i = 0; i < 2; i++)
			pthread_create(&t[i], NULL, thread, NULL);
		for (int i = 0; i < 2; i++)
			pthread_join(t[i], NULL);
	}
	if (strchr(how, 'f') && fork() == 0) {
		remember(3); /* frees what the parent allocated */
		lose(1);
		buffer = grow(buffer, 5000);
		free(buffer);
		return 0;
	}
	if (strchr(how, 'e') && fork() == 0) {
		remember(5);
		execl("./objects", "./objects", NULL);
		_exit(1);
	}
	while (wait(NULL) > 0)
		;
	free(buffer);
	return 0;
}
