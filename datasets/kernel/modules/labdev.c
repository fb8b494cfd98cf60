// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * A bus on which devices come and go.
 *
 * Bugs: 0 a probe that fails late forgets the name; 1 removal forgets the
 * firmware; 2 a user takes a reference and never gives it back, so that the
 * device outlives its removal with all that belongs to it.
 *
 * No leaks: what a device shares with the hardware is known by its bus address,
 * an offset from the pointer; tables made at the start are kept by a disguised
 * pointer, some of them marked as no leak.
 */
#include <linux/kmemleak.h>
#include <linux/kref.h>
#include <linux/kthread.h>
#include <linux/percpu.h>
#include <linux/vmalloc.h>
#include "slip.h"

#define DEVICES 48
#define TABLES 8
#define BUS_OFFSET 0x4000000000UL

struct dev {
	struct list_head list;
	struct kref kref;
	char *name;
	void *firmware;
	unsigned long bus;	/* of memory shared with the hardware */
	u64 __percpu *stats;
	unsigned long gone;	/* when it is unplugged */
};

static LIST_HEAD(devices);
static u32 present, serial;
static struct task_struct *hotplug;
static unsigned long tables[TABLES];

static void *from_bus(unsigned long bus)
{
	return bus ? (void *)(bus - BUS_OFFSET) : NULL;
}

static void dev_lost(struct dev *d)
{
	lab_lost(d->name);
	lab_lost(d->firmware);
	if (d->bus)
		lab_lost(from_bus(d->bus));
	lab_lost(d);
}

static void dev_free(struct kref *kref)
{
	struct dev *d = container_of(kref, struct dev, kref);

	if (d->firmware) {
		lab_freed(d->firmware);
		vfree(d->firmware);
	}
	free_percpu(d->stats);
	lab_free(from_bus(d->bus));
	lab_free(d->name);
	lab_free(d);
}

static noinline int dev_load(struct dev *d)
{
	size_t n = 4096 * (1 + lab_below(3));

	d->firmware = lab_born(vzalloc(n), n, "dev.firmware");
	return d->firmware ? 0 : -ENOMEM;
}

static noinline int dev_map(struct dev *d)
{
	void *shared;

	if (hidden <= lab_below(DEVICES))
		return 0;
	shared = lab_born(kmalloc(320, GFP_KERNEL), 320, "dev.shared");
	if (!shared)
		return -ENOMEM;
	d->bus = (unsigned long)shared + BUS_OFFSET;
	return 0;
}

/* The hardware does not answer now and then. */
static noinline int dev_reset(struct dev *d)
{
	return lab_chance(80) ? -EIO : 0;
}

static noinline int dev_probe(void)
{
	struct dev *d = kzalloc(sizeof(*d), GFP_KERNEL);
	int err = -ENOMEM;

	if (!d)
		return err;
	lab_born(d, sizeof(*d), "dev.dev");
	kref_init(&d->kref);
	d->name = kasprintf(GFP_KERNEL, "labdev-%u", serial++);
	if (!d->name)
		goto free_dev;
	lab_born(d->name, strlen(d->name) + 1, "dev.name");
	d->stats = alloc_percpu(u64);
	if (!d->stats)
		goto free_name;
	err = dev_reset(d);
	if (err)
		goto free_stats;
	err = dev_load(d);
	if (err)
		goto free_stats;
	err = dev_map(d);
	if (err)
		goto free_all;
	d->gone = jiffies + lab_seconds(6, 2 * linger + 10);
	list_add_tail(&d->list, &devices);
	present++;
	return 0;

free_all:
	kref_put(&d->kref, dev_free);
	return err;
free_stats:
	free_percpu(d->stats);
free_name:
	if (slip(0))
		lab_lost(d->name);
	else
		lab_free(d->name);
free_dev:
	lab_free(d);
	return err;
}

static noinline void dev_remove(struct dev *d)
{
	list_del(&d->list);
	present--;
	if (lab_chance(150) && slip(2)) {
		kref_get(&d->kref);
		dev_lost(d);
		kref_put(&d->kref, dev_free);
		return;
	}
	if (slip(1)) {
		lab_lost(d->firmware);
		d->firmware = NULL;
	}
	kref_put(&d->kref, dev_free);
}

static int hotplug_thread(void *unused)
{
	while (!kthread_should_stop()) {
		struct dev *d, *next;

		if (present < DEVICES)
			dev_probe();
		list_for_each_entry_safe(d, next, &devices, list)
			if (time_after(jiffies, d->gone))
				dev_remove(d);
		schedule_timeout_interruptible(HZ / 2 + lab_below(HZ));
	}
	return 0;
}

static int __init labdev_init(void)
{
	int i;

	for (i = 0; i < TABLES; i++) {
		void *t = lab_born(kzalloc(1024, GFP_KERNEL), 1024, i & 1 ? "dev.table" : "dev.marked-table");

		if (!(i & 1))
			kmemleak_not_leak(t);
		tables[i] = lab_hide(t);
	}
	hotplug = kthread_run(hotplug_thread, NULL, "labdev");
	return PTR_ERR_OR_ZERO(hotplug);
}
module_init(labdev_init);

static void __exit labdev_exit(void)
{
	struct dev *d, *next;
	int i;

	kthread_stop(hotplug);
	list_for_each_entry_safe(d, next, &devices, list) {
		list_del(&d->list);
		kref_put(&d->kref, dev_free);
	}
	for (i = 0; i < TABLES; i++)
		lab_free(lab_show(tables[i]));
}
module_exit(labdev_exit);

MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("a bus with planted leaks");
