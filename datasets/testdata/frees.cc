// What the preload library has to get right, in one program:
//	frees ROUNDS THREADS
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

// A compiler that sees through malloc would leave nothing to test.
#define KEEP __attribute__((noinline, noclone))
static void *volatile sink;

KEEP static void plain(int i)
{
	void *p = malloc(10 + i % 90);
	sink = p;
	free(p);
}

KEEP static void grow(int i)
{
	char *p = (char *)malloc(8);
	for (int n = 16; n <= 16 << (i % 8); n *= 2)
		p = (char *)realloc(p, n); // moves now and then, in place now and then
	sink = p;
	free(p);
}

KEEP static void shrink_to_nothing()
{
	void *p = malloc(40);
	sink = realloc(p, 0); // a free by another name
}

KEEP static void array()
{
	void *p = reallocarray(nullptr, 7, 9);
	sink = p;
	free(p);
	free(nullptr);
}

struct alignas(64) Wide { char room[192]; };

KEEP static void objects()
{
	int *one = new int(1);
	Wide *wide = new Wide[2];
	sink = one, sink = wide;
	delete one;
	delete[] wide;
}

static void work(int rounds)
{
	for (int i = 0; i < rounds; i++) {
		plain(i);
		grow(i);
		if (i % 5 == 0)
			shrink_to_nothing();
		array();
		objects();
	}
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 100, threads = argc > 2 ? atoi(argv[2]) : 0;
	if (getenv("LEAKFORMER_FORGET")) {
		fputs("the control file's name reached the program\n", stderr);
		return 1;
	}
	pid_t child = fork();
	if (child == 0) { // is not traced, and must not count
		work(50);
		_exit(0);
	}
	int status;
	if (waitpid(child, &status, 0) < 0 || status != 0)
		return 1;
	std::vector<std::thread> all;
	for (int i = 0; i < threads; i++)
		all.emplace_back(work, rounds);
	for (auto &t : all)
		t.join();
	if (!threads)
		work(rounds);
	return 0;
}
