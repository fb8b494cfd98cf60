/*
 * Loses memory of the kernel and its own, step by step: each of STEPS steps forgets
 * 400 pipes and 1 MiB. What it loses shows in /proc/slabinfo and
 * /proc/PID/smaps_rollup.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct rlimit many = { 65536, 65536 };
	int fds[2];

	setrlimit(RLIMIT_NOFILE, &many);
	for (int step = argc > 1 ? atoi(argv[1]) : 4; step > 0; step--) {
		for (int i = 0; i < 400; i++)
			if (pipe(fds))
				return 1;
		memset(malloc(1 << 20), 1, 1 << 20);
		sleep(1);
	}
	return 0;
}
