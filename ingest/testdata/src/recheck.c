/* Asks for leak checks itself: a second report has the leaks of the first and more. */
#include <sanitizer/lsan_interface.h>
#include <stdlib.h>

__attribute__((noinline)) static void lose(size_t n) { ((volatile char *)malloc(n))[0] = 1; }

int main(void)
{
	for (int i = 0; i < 3; i++)
		lose(40);
	__lsan_do_recoverable_leak_check();
	lose(50);
	__lsan_do_recoverable_leak_check();
}
