// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Files that processes open, write to and close.
 *
 * Bugs: 0 closing after a failed write forgets the buffer; 1 a write that has to
 * grow the buffer overwrites the pointer to the old one; 2 a busy handle is
 * unlinked and not freed.
 *
 * No leaks: a lease outlives its file; the client holds it as a cookie, a
 * disguised pointer, and a reaper frees it. Some clients never give theirs back
 * while they live, so that those leases stay.
 */
#include <linux/workqueue.h>
#include "slip.h"

#define LEASES 80

struct handle {
	struct list_head list;
	char *buffer;
	size_t size;
	bool failed;
};

struct lease {
	u64 id;
	u8 owner[104];
};

static LIST_HEAD(handles);
static struct { unsigned long cookie, until; } leases[LEASES];
static struct delayed_work reaper;
static u64 ids;

static void *fs_open(void)
{
	struct handle *h = kzalloc(sizeof(*h), GFP_KERNEL);

	if (!h)
		return NULL;
	list_add(&h->list, &handles);
	return lab_born(h, sizeof(*h), "fs.handle");
}

static noinline int buffer_grow(struct handle *h, size_t n)
{
	char *bigger = kmalloc(n, GFP_KERNEL);

	if (!bigger)
		return -ENOMEM;
	lab_born(bigger, n, "fs.buffer");
	if (h->buffer) {
		memcpy(bigger, h->buffer, min(h->size, n));
		if (slip(1))
			lab_lost(h->buffer);
		else
			lab_free(h->buffer);
	}
	h->buffer = bigger;
	h->size = n;
	return 0;
}

static noinline int fs_write(void *file, size_t n)
{
	struct handle *h = file;

	if (lab_chance(60)) {
		h->failed = true;
		return -EIO;
	}
	return n > h->size ? buffer_grow(h, n) : 0;
}

static noinline void lease_grant(void)
{
	struct lease *l;
	u32 i = lab_below(min_t(u32, hidden, LEASES));

	if (leases[i].cookie)
		return;
	l = kzalloc(sizeof(*l), GFP_KERNEL);
	if (!l)
		return;
	l->id = ids++;
	leases[i].cookie = lab_hide(lab_born(l, sizeof(*l), "fs.lease"));
	leases[i].until = lab_chance(100) ? 0 : jiffies + lab_seconds(4, 2 * linger);
}

static void leases_reap(bool all)
{
	int i;

	for (i = 0; i < LEASES; i++) {
		if (leases[i].cookie && (all || (leases[i].until && time_after(jiffies, leases[i].until)))) {
			lab_free(lab_show(leases[i].cookie));
			leases[i].cookie = 0;
		}
	}
}

static void reap(struct work_struct *w)
{
	leases_reap(false);
	schedule_delayed_work(&reaper, HZ);
}

static noinline void fs_release(void *file)
{
	struct handle *h = file;

	list_del(&h->list);
	if (hidden && lab_chance(200))
		lease_grant();
	if (lab_chance(100) && slip(2)) {
		if (h->buffer)
			lab_lost(h->buffer);
		lab_lost(h);
		return;
	}
	if (h->failed && h->buffer && slip(0))
		lab_lost(h->buffer);
	else
		lab_free(h->buffer);
	lab_free(h);
}

static const struct lab_ops ops = { fs_open, fs_write, fs_release };

static int __init labfs_init(void)
{
	INIT_DELAYED_WORK(&reaper, reap);
	schedule_delayed_work(&reaper, HZ);
	lab_serve(&ops);
	return 0;
}
module_init(labfs_init);

static void __exit labfs_exit(void)
{
	lab_serve(NULL);
	cancel_delayed_work_sync(&reaper);
	leases_reap(true);
}
module_exit(labfs_exit);

MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("files with planted leaks");
