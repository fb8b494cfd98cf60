// A program with an error path of its own: it serves requests from its input, a
// line each. What fails ("bad" requests) has blocks of 1000 bytes and more.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The paths must differ within the innermost return addresses.
__attribute__((noinline)) static void serve(char *body)
{
	memset(body, 1, 16);
	free(body);
	__asm__ volatile("");
}

__attribute__((noinline)) static void refuse(char *body, char *message)
{
	memset(message, 2, 16);
	free(message);
	free(body);
	__asm__ volatile("");
}

int main(void)
{
	char line[64];
	int n = 0;
	while (fgets(line, sizeof line, stdin)) {
		n++;
		if (strncmp(line, "bad", 3) == 0)
			refuse(malloc(1000 + n % 500), malloc(2000 + n % 500));
		else
			serve(malloc(16 + n % 500));
	}
	printf("%d\n", n);
	return 0;
}
