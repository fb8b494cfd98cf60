/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What the modules of the kernel lab share: labcore keeps the truth about their
 * objects, runs their requests, and draws their random numbers.
 *
 * A module takes each object through lab_born, then either lab_freed right before
 * it frees it, or lab_lost once nothing can free it any more. The truth is never
 * a reference: labcore keeps addresses in disguise.
 */
#ifndef LAB_H
#define LAB_H

#include <linux/module.h>
#include <linux/slab.h>
#include <linux/jiffies.h>

/* Notes an object of a place, a name without blanks that says what it is; returns p. */
void *lab_born(void *p, size_t size, const char *place);
/* The last way to free the object is gone. */
void lab_lost(const void *p);
/* The object is about to be freed. */
void lab_freed(const void *p);

/* A random number below n (n > 0). */
u32 lab_below(u32 n);

/* What a module does when a process opens, writes to and closes lab/request. */
struct lab_ops {
	void *(*open)(void);
	int (*write)(void *file, size_t n);
	void (*release)(void *file);
};
/* Sets the operations; NULL takes them away. */
void lab_serve(const struct lab_ops *ops);

static inline bool lab_chance(u32 permille)
{
	return lab_below(1000) < permille;
}

static inline unsigned long lab_seconds(u32 from, u32 to)
{
	return (from + lab_below(to - from + 1)) * HZ;
}

/* Frees an object that was born. */
static inline void lab_free(void *p)
{
	if (p)
		lab_freed(p);
	kfree(p);
}

/*
 * Pointers as the scanner does not see them: real drivers do this with XOR lists,
 * tagged or compressed handles, bus addresses.
 */
static inline unsigned long lab_hide(const void *p)
{
	return p ? (unsigned long)p ^ 0x5a5a5a5a00000000UL : 0;
}

static inline void *lab_show(unsigned long h)
{
	return h ? (void *)(h ^ 0x5a5a5a5a00000000UL) : NULL;
}

#endif
