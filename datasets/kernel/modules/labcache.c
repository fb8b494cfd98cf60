// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * A lookup cache with a bound: a hash table read under RCU, and a far tier for
 * what is looked up rarely.
 *
 * Bugs: 0 an update overwrites the value without freeing the old one; 1 the RCU
 * callback frees the entry and not its value; 2 eviction unlinks the entry and
 * forgets it.
 *
 * No leaks: entries of the far tier are kept by disguised pointers until they
 * are dropped or promoted, when the scan sees them again. The far tier grows and
 * then stays as it is.
 */
#include <linux/kthread.h>
#include <linux/rcupdate.h>
#include "slip.h"

#define BUCKETS 64
#define ENTRIES 160
#define FAR 96
#define KEYS 400

struct entry {
	struct hlist_node node;
	struct rcu_head rcu;
	u32 key;
	unsigned long used;	/* when it was looked up last */
	void *value;
};

struct far {
	unsigned long hidden;
	u32 key;
	unsigned long until;
};

static struct hlist_head table[BUCKETS];
static u32 entries;
static struct far *far;
static struct task_struct *looker;

static noinline void *value_new(void)
{
	size_t n = 32 << lab_below(4);

	return lab_born(kmalloc(n, GFP_KERNEL), n, "cache.value");
}

static noinline struct entry *entry_new(u32 key)
{
	struct entry *e = kzalloc(sizeof(*e), GFP_KERNEL);

	if (!e)
		return NULL;
	lab_born(e, sizeof(*e), "cache.entry");
	e->key = key;
	e->value = value_new();
	return e;
}

static void entry_free(struct entry *e)
{
	lab_free(e->value);
	lab_free(e);
}

static void entry_rcu(struct rcu_head *head)
{
	struct entry *e = container_of(head, struct entry, rcu);

	if (e->value && lab_chance(300) && slip(1)) {
		lab_lost(e->value);
		e->value = NULL;
	}
	entry_free(e);
}

static void entry_insert(struct entry *e)
{
	e->used = jiffies;
	hlist_add_head_rcu(&e->node, &table[e->key % BUCKETS]);
	entries++;
}

/* Moves an entry to the far tier, if there is room. */
static noinline bool entry_demote(struct entry *e)
{
	u32 i;

	for (i = 0; i < min_t(u32, hidden, FAR); i++) {
		if (far[i].hidden)
			continue;
		far[i] = (struct far){ lab_hide(e), e->key, jiffies + lab_seconds(5, 3 * linger) };
		return true;
	}
	return false;
}

static noinline void entry_evict(struct entry *e)
{
	hlist_del_init_rcu(&e->node);
	entries--;
	if (lab_chance(300)) {
		synchronize_rcu();
		if (entry_demote(e))
			return;
	}
	if (lab_chance(200) && slip(2)) {
		if (e->value)
			lab_lost(e->value);
		lab_lost(e);
		return;
	}
	call_rcu(&e->rcu, entry_rcu);
}

static struct entry *entry_promote(u32 key)
{
	u32 i;

	for (i = 0; i < FAR; i++) {
		if (far[i].hidden && far[i].key == key) {
			struct entry *e = lab_show(far[i].hidden);

			far[i].hidden = 0;
			return e;
		}
	}
	return NULL;
}

static void far_drop(bool all)
{
	u32 i;

	for (i = 0; i < FAR; i++) {
		if (far[i].hidden && (all || time_after(jiffies, far[i].until))) {
			entry_free(lab_show(far[i].hidden));
			far[i].hidden = 0;
		}
	}
}

static struct entry *entry_oldest(void)
{
	struct entry *e, *oldest = NULL;
	int i;

	for (i = 0; i < BUCKETS; i++)
		hlist_for_each_entry(e, &table[i], node)
			if (!oldest || time_before(e->used, oldest->used))
				oldest = e;
	return oldest;
}

static noinline void entry_update(struct entry *e)
{
	void *old = e->value;

	e->value = value_new();
	if (!old)
		return;
	if (slip(0))
		lab_lost(old);
	else
		lab_free(old);
}

static noinline void cache_lookup(u32 key)
{
	struct entry *e;

	hlist_for_each_entry(e, &table[key % BUCKETS], node) {
		if (e->key == key) {
			e->used = jiffies;
			if (lab_chance(100))
				entry_update(e);
			return;
		}
	}
	e = entry_promote(key);
	if (!e)
		e = entry_new(key);
	if (!e)
		return;
	if (entries >= ENTRIES)
		entry_evict(entry_oldest());
	entry_insert(e);
}

static int lookup_thread(void *unused)
{
	while (!kthread_should_stop()) {
		u32 n = 1 + lab_below(3);

		while (n--) /* small keys are looked up more often */
			cache_lookup(min(lab_below(KEYS), lab_below(KEYS)));
		far_drop(false);
		schedule_timeout_interruptible(HZ / 4);
	}
	return 0;
}

static int __init labcache_init(void)
{
	far = kcalloc(FAR, sizeof(*far), GFP_KERNEL);
	if (!far)
		return -ENOMEM;
	looker = kthread_run(lookup_thread, NULL, "labcache");
	return PTR_ERR_OR_ZERO(looker);
}
module_init(labcache_init);

static void __exit labcache_exit(void)
{
	struct hlist_node *next;
	struct entry *e;
	int i;

	kthread_stop(looker);
	rcu_barrier();
	for (i = 0; i < BUCKETS; i++) {
		hlist_for_each_entry_safe(e, next, &table[i], node) {
			hlist_del(&e->node);
			entry_free(e);
		}
	}
	far_drop(true);
	kfree(far);
}
module_exit(labcache_exit);

MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("a bounded cache with planted leaks");
