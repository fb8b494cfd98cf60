// A program whose allocations every tool has to tell alike: C and C++, inlining,
// templates, a clone by the compiler, recursion, realloc. All that lives at its end
// is lost. The numbers are those of crosstool_test.go.
#include <cstdlib>
#include <cstring>

namespace app {

// use keeps the compiler from taking an allocation out.
template <typename T> inline T *use(T *p)
{
	asm volatile("" : "+r"(p) : : "memory");
	return p;
}

struct Node {
	Node *next;
	char data[24];
};
static Node *list;

__attribute__((noinline)) void remember() { list = use(new Node{list, {}}); }

__attribute__((noinline)) void forget()
{
	Node *n = list;
	list = n->next;
	delete use(n);
}

__attribute__((always_inline)) inline void *wrap(size_t n) { return use(malloc(n)); }

__attribute__((noinline)) void lose(int n) { memset(wrap(n), 1, n); }

template <typename T> __attribute__((noinline)) T *make(int n) { return use(new T[n]); }

__attribute__((noinline)) static char *grow(char *p, size_t n) { return use((char *)realloc(p, n)); }

// All callers give the same second argument: the compiler makes a clone of it.
__attribute__((noinline)) static void *cloned(int n, int size) { return use(calloc(n * use(&n)[0], size)); }

__attribute__((noinline)) char *copy(const char *s) { return use(strdup(s)); }

__attribute__((noinline)) int dive(int depth)
{
	if (depth > 0)
		return dive(depth - 1) + *use(&depth);
	use(malloc(48));
	return *use(&depth);
}

__attribute__((noinline)) void *aligned(size_t n)
{
	void *p = aligned_alloc(64, n);
	return use(p);
}

__attribute__((noinline)) void work()
{
	for (int i = 0; i < 10; i++)
		remember();
	for (int i = 0; i < 3; i++)
		forget();
	for (int i = 0; i < 5; i++)
		lose(10 + i);
	delete[] make<int>(3);
	make<int>(3);
	make<double>(4);
	char *p = nullptr;
	for (int i = 1; i <= 4; i *= 2)
		p = grow(p, 100 * i);
	use(p);
	for (int i = 1; i < 5; i++)
		cloned(i, 3);
	free(copy("sixteen letters."));
	copy("sixteen letters.");
	dive(3);
	aligned(128);
	free(aligned(256));
}

// scrub wipes what work has left on the stack.
__attribute__((noinline)) void scrub()
{
	char waste[4096];
	memset(use(waste), 0, sizeof waste);
}

} // namespace app

int main()
{
	app::work();
	app::list = nullptr;
	app::scrub();
	return 0;
}
