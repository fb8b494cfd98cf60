/* All four kinds of loss, inlined calls, recursion, a thread, a fork and leak
   checks on request: ./leak [t][f][c][i][q] */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <valgrind/memcheck.h>

struct node { struct node *next; char payload[40]; };

static struct node *kept;   /* still reachable */
static char *interior;      /* possibly lost */

static inline __attribute__((always_inline)) void *grab(size_t n) { return malloc(n); }
static inline __attribute__((always_inline)) void *twice(size_t n) { return grab(2 * n); }

__attribute__((noinline)) static void lose(size_t n) { memset(twice(n), 1, n); }

__attribute__((noinline)) static void lose_list(int length)
{
	struct node *head = NULL;
	for (int i = 0; i < length; i++) {
		struct node *n = malloc(sizeof *n);
		n->next = head;
		head = n;
	}
}

__attribute__((noinline)) static int deep(int n)
{
	if (n == 0) {
		lose(8);
		return 0;
	}
	return deep(n - 1) + 1;
}

static void *thread(void *arg) { lose(100); return arg; }

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	kept = malloc(sizeof *kept);
	kept->next = malloc(sizeof *kept);
	interior = (char *)malloc(64) + 16;
	for (int i = 0; i < 3; i++)
		lose(50);
	lose_list(4);
	deep(3);
	if (strchr(what, 't')) {
		pthread_t t[2];
		for (int i = 0; i < 2; i++)
			pthread_create(&t[i], NULL, thread, NULL);
		for (int i = 0; i < 2; i++)
			pthread_join(t[i], NULL);
	}
	if (strchr(what, 'c')) {
		VALGRIND_DO_LEAK_CHECK;
		lose(70);
		VALGRIND_DO_LEAK_CHECK;
	}
	if (strchr(what, 'i')) {
		VALGRIND_DO_LEAK_CHECK;
		lose(70);
		VALGRIND_DO_ADDED_LEAK_CHECK;
		lose(70);
		VALGRIND_DO_CHANGED_LEAK_CHECK;
	}
	if (strchr(what, 'n')) {
		printf("output without a newline");
		fflush(stdout);
	}
	if (strchr(what, 'x')) {
		volatile char *p = malloc(8);
		free((void *)p);
		if (p[3])
			free((void *)p);
	}
	if (strchr(what, 'f')) {
		if (fork() == 0) {
			lose(33);
			exit(0);
		}
		wait(NULL);
	}
	if (strchr(what, 'q'))
		abort();
	return 0;
}
