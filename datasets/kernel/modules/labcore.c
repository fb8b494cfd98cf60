// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The truth about the objects of the lab's modules: see lab.h. */
#include <linux/debugfs.h>
#include <linux/hash.h>
#include <linux/kmemleak.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include "lab.h"

#define ROWS (1 << 16)
#define BUCKETS_LOG 12

/* One object. Times are jiffies; 0: not happened. */
struct row {
	unsigned long key;	/* the address, hidden */
	unsigned long born, lost, freed;
	u32 size;
	u32 next;		/* row + 1 of an older object of the bucket */
	char place[24];
};

static struct row *rows;
static u32 used, dropped;
static u32 buckets[1 << BUCKETS_LOG];	/* row + 1 */
static DEFINE_SPINLOCK(lock);
static struct dentry *dir;
static const struct lab_ops *served;
static u64 state;

static ulong seed = 1;
module_param(seed, ulong, 0444);

u32 lab_below(u32 n)
{
	unsigned long flags;
	u32 x;

	spin_lock_irqsave(&lock, flags);
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	x = (state * 0x2545f4914f6cdd1dULL) >> 32;
	spin_unlock_irqrestore(&lock, flags);
	return ((u64)x * n) >> 32;
}
EXPORT_SYMBOL_GPL(lab_below);

void *lab_born(void *p, size_t size, const char *place)
{
	unsigned long flags, key = lab_hide(p);
	u32 *bucket = &buckets[hash_long(key, BUCKETS_LOG)];
	struct row *r;

	if (!p)
		return p;
	spin_lock_irqsave(&lock, flags);
	if (used < ROWS) {
		r = &rows[used++];
		r->key = key;
		r->born = jiffies;
		r->size = size;
		strscpy(r->place, place, sizeof(r->place));
		r->next = *bucket;
		*bucket = used;
	} else {
		dropped++;
	}
	spin_unlock_irqrestore(&lock, flags);
	return p;
}
EXPORT_SYMBOL_GPL(lab_born);

/* Writes the time into a field of the object that lives at p. */
static void note(const void *p, size_t field)
{
	unsigned long flags, key = lab_hide(p);
	u32 i;

	spin_lock_irqsave(&lock, flags);
	for (i = buckets[hash_long(key, BUCKETS_LOG)]; i; i = rows[i - 1].next) {
		if (rows[i - 1].key == key) {
			WARN_ON(rows[i - 1].freed || rows[i - 1].lost);
			*(unsigned long *)((char *)&rows[i - 1] + field) = jiffies;
			break;
		}
	}
	WARN_ON(!i && !dropped);
	spin_unlock_irqrestore(&lock, flags);
}

void lab_lost(const void *p)
{
	note(p, offsetof(struct row, lost));
}
EXPORT_SYMBOL_GPL(lab_lost);

void lab_freed(const void *p)
{
	note(p, offsetof(struct row, freed));
}
EXPORT_SYMBOL_GPL(lab_freed);

/* lab/truth: "dropped N", then a line for each object in order of birth. */
static int truth_show(struct seq_file *m, void *v)
{
	u32 i;

	seq_printf(m, "dropped %u\n", dropped);
	for (i = 0; i < used; i++)
		seq_printf(m, "0x%lx %u %s %lu %lu %lu\n", (unsigned long)lab_show(rows[i].key),
			   rows[i].size, rows[i].place, rows[i].born, rows[i].lost, rows[i].freed);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(truth);

/* lab/now: the time in jiffies, and how many of them are a second. */
static int now_show(struct seq_file *m, void *v)
{
	seq_printf(m, "%lu %d\n", jiffies, HZ);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(now);

static int request_open(struct inode *inode, struct file *f)
{
	if (!served)
		return -ENODEV;
	f->private_data = served->open();
	return f->private_data ? 0 : -ENOMEM;
}

static ssize_t request_write(struct file *f, const char __user *buf, size_t n, loff_t *pos)
{
	int err = served->write(f->private_data, n);

	return err ? err : n;
}

static int request_release(struct inode *inode, struct file *f)
{
	served->release(f->private_data);
	return 0;
}

static const struct file_operations request_fops = {
	.owner = THIS_MODULE,
	.open = request_open,
	.write = request_write,
	.release = request_release,
};

void lab_serve(const struct lab_ops *ops)
{
	served = ops;
}
EXPORT_SYMBOL_GPL(lab_serve);

static int __init labcore_init(void)
{
	state = seed * 0x9e3779b97f4a7c15ULL | 1;
	rows = vzalloc(ROWS * sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	kmemleak_no_scan(rows);
	dir = debugfs_create_dir("lab", NULL);
	debugfs_create_file("truth", 0444, dir, NULL, &truth_fops);
	debugfs_create_file("now", 0444, dir, NULL, &now_fops);
	debugfs_create_file("request", 0222, dir, NULL, &request_fops);
	return 0;
}
module_init(labcore_init);

static void __exit labcore_exit(void)
{
	debugfs_remove_recursive(dir);
	vfree(rows);
}
module_exit(labcore_exit);

MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("keeps the truth about planted leaks");
