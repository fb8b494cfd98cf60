/*
 * What memleak of bcc watched for the logs of testdata/bcc-memleak and
 * bcc-memleak-trace, with -p PID and also -a or -t, and once without for the kernel.
 * Each of ROUNDS rounds loses a block, holds another for eight rounds, and works with
 * two more; the first begins after WAIT seconds, in which memleak starts.
 */
#include <stdlib.h>
#include <unistd.h>
#include <stdio.h>

static void *keep[64];

__attribute__((noinline)) static void leak(int i) { void *p = malloc(100 + i); __asm__ volatile("" :: "r"(p)); }
__attribute__((noinline)) static void cache(int i)
{
	free(keep[i % 8]);
	keep[i % 8] = calloc(3, 40);
}
__attribute__((noinline)) static void work(int i)
{
	char *p = malloc(500);
	p = realloc(p, 9000 + i);
	free(p);
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 40;
	sleep(argc > 2 ? atoi(argv[2]) : 4);
	for (int i = 0; i < n; i++) {
		leak(i);
		cache(i);
		work(i);
		usleep(200000);
	}
	return 0;
}
