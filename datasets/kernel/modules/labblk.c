// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * A request queue as block drivers have it: a thread submits, delayed work
 * completes, a timer watches.
 *
 * Bugs: 0 completion with an error frees the request and forgets its private
 * part; 1 the watchdog overwrites the pointer to its last record; 2 a retry does
 * not free itself after it has run.
 *
 * No leaks: slow requests are known by their tag only, in a page that is not
 * scanned, until they complete: same call stack as all others. The record of
 * the disk hangs on a struct page, which is scanned.
 */
#include <linux/gfp.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/timer.h>
#include <linux/workqueue.h>
#include "slip.h"

#define TAGS 128

struct io {
	struct list_head list;
	u64 sector;
	void *private;
	unsigned long done;
};

struct retry {
	struct delayed_work work;
	u64 sector;
};

struct watch {
	u64 depth;
	u8 sense[88];
};

struct tag {
	struct io *io;
};

static struct kmem_cache *io_cache;
static LIST_HEAD(queue);
static DEFINE_SPINLOCK(queue_lock);
static struct task_struct *submitter;
static struct delayed_work completion;
static struct timer_list watchdog;
static struct watch *last_watch;
static struct page *tags;
static struct page *disk;
static atomic_t retries;
static DECLARE_WAIT_QUEUE_HEAD(no_retries);

static noinline struct io *io_alloc(gfp_t gfp)
{
	struct io *io = kmem_cache_alloc(io_cache, gfp);

	if (!io)
		return NULL;
	lab_born(io, sizeof(*io), "blk.io");
	io->sector = lab_below(1 << 20);
	io->private = lab_born(kmalloc(48 + 32 * lab_below(4), gfp), 48, "blk.private");
	io->done = jiffies + HZ / 10;
	return io;
}

static void io_free(struct io *io)
{
	lab_free(io->private);
	lab_freed(io);
	kmem_cache_free(io_cache, io);
}

static void retry_run(struct work_struct *w)
{
	struct retry *r = container_of(to_delayed_work(w), struct retry, work);

	if (slip(2))
		lab_lost(r);
	else
		lab_free(r);
	if (atomic_dec_and_test(&retries))
		wake_up(&no_retries);
}

static noinline void io_retry(struct io *io)
{
	struct retry *r = kzalloc(sizeof(*r), GFP_KERNEL);

	if (!r)
		return;
	lab_born(r, sizeof(*r), "blk.retry");
	r->sector = io->sector;
	INIT_DELAYED_WORK(&r->work, retry_run);
	atomic_inc(&retries);
	schedule_delayed_work(&r->work, HZ + lab_below(3 * HZ));
}

static noinline void io_error(struct io *io)
{
	if (lab_chance(300))
		io_retry(io);
	if (slip(0)) {
		if (io->private)
			lab_lost(io->private);
		lab_freed(io);
		kmem_cache_free(io_cache, io);
		return;
	}
	io_free(io);
}

static void io_complete(struct io *io)
{
	if (lab_chance(40))
		io_error(io);
	else
		io_free(io);
}

static struct tag *tag_table(void)
{
	return page_address(tags);
}

static void complete_work(struct work_struct *w)
{
	struct io *io, *next;
	LIST_HEAD(done);
	int i;

	spin_lock_bh(&queue_lock);
	list_splice_init(&queue, &done);
	spin_unlock_bh(&queue_lock);
	list_for_each_entry_safe(io, next, &done, list) {
		list_del(&io->list);
		io_complete(io);
	}
	for (i = 0; i < TAGS; i++) {
		io = tag_table()[i].io;
		if (io && time_after(jiffies, io->done)) {
			tag_table()[i].io = NULL;
			io_complete(io);
		}
	}
	schedule_delayed_work(&completion, HZ / 4);
}

/* A slow request: the device holds its tag, nobody a pointer. */
static noinline bool io_tag(struct io *io)
{
	u32 i = lab_below(min_t(u32, hidden, TAGS));

	if (tag_table()[i].io)
		return false;
	io->done = jiffies + lab_seconds(5, linger * 2);
	INIT_LIST_HEAD(&io->list);
	tag_table()[i].io = io;
	return true;
}

static noinline void io_submit(void)
{
	struct io *io = io_alloc(GFP_KERNEL);

	if (!io)
		return;
	if (hidden && lab_chance(30) && io_tag(io))
		return;
	spin_lock_bh(&queue_lock);
	list_add_tail(&io->list, &queue);
	spin_unlock_bh(&queue_lock);
}

static int submit_thread(void *unused)
{
	while (!kthread_should_stop()) {
		u32 n = lab_below(5);

		while (n--)
			io_submit();
		schedule_timeout_interruptible(HZ / 10 + lab_below(HZ / 5));
	}
	return 0;
}

static void watch_tick(struct timer_list *t)
{
	struct watch *w = kzalloc(sizeof(*w), GFP_ATOMIC);

	if (w) {
		lab_born(w, sizeof(*w), "blk.watch");
		if (last_watch && slip(1))
			lab_lost(last_watch);
		else
			lab_free(last_watch);
		last_watch = w;
	}
	mod_timer(&watchdog, jiffies + HZ / 2);
}

static int __init labblk_init(void)
{
	void *record;

	io_cache = kmem_cache_create("labblk_io", sizeof(struct io), 0, 0, NULL);
	tags = alloc_page(GFP_KERNEL | __GFP_ZERO);
	disk = alloc_page(GFP_KERNEL);
	record = kzalloc(512, GFP_KERNEL);
	if (!io_cache || !tags || !disk || !record)
		return -ENOMEM;
	set_page_private(disk, (unsigned long)lab_born(record, 512, "blk.disk"));
	INIT_DELAYED_WORK(&completion, complete_work);
	timer_setup(&watchdog, watch_tick, 0);
	mod_timer(&watchdog, jiffies + HZ);
	schedule_delayed_work(&completion, HZ / 4);
	submitter = kthread_run(submit_thread, NULL, "labblk");
	return PTR_ERR_OR_ZERO(submitter);
}
module_init(labblk_init);

static void __exit labblk_exit(void)
{
	struct io *io, *next;
	int i;

	kthread_stop(submitter);
	del_timer_sync(&watchdog);
	cancel_delayed_work_sync(&completion);
	wait_event(no_retries, !atomic_read(&retries));
	flush_scheduled_work();
	list_for_each_entry_safe(io, next, &queue, list)
		io_free(io);
	for (i = 0; i < TAGS; i++)
		if (tag_table()[i].io)
			io_free(tag_table()[i].io);
	lab_free(last_watch);
	lab_free((void *)page_private(disk));
	set_page_private(disk, 0);
	__free_page(disk);
	__free_page(tags);
	kmem_cache_destroy(io_cache);
}
module_exit(labblk_exit);

MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("a request queue with planted leaks");
