/* Linked to a program, has glibc trace its allocations from the start. */
#include <mcheck.h>

__attribute__((constructor)) static void start(void) { mtrace(); }
