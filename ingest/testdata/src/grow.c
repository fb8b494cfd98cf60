/* Grows a cache for ever at one call site, and frees at another what it made. */
#include <stdlib.h>
#include <string.h>

struct entry {
	struct entry *next;
	char *text;
};

static struct entry *cache;

__attribute__((noinline)) static void keep(const char *text)
{
	struct entry *e = malloc(sizeof *e);
	e->text = strdup(text);
	e->next = cache;
	cache = e;
}

__attribute__((noinline)) static void work(int n)
{
	char *buffer = malloc(4096);
	memset(buffer, n, 4096);
	free(buffer);
}

int main(int argc, char **argv)
{
	char text[] = "request 000000";
	int i, n = argc > 1 ? atoi(argv[1]) : 2000;
	char *table = calloc(64, 64);

	for (i = 0; i < n; i++) {
		work(i);
		if (i % 4 == 0)
			keep(text);
	}
	table[0] = 1;
	return cache == NULL;
}
