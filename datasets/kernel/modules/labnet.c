// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * A packet server. Packets come in from a timer and are taken apart by a work
 * item; processes send requests.
 *
 * Bugs: 0 the error path of a packet with a bad checksum forgets the packet;
 * 1 a session that renegotiates is unlinked and not freed; 2 a request that times
 * out returns early and keeps its context.
 *
 * No leaks: buffers of the receive ring are known to the device only, by their bus
 * address in the ring's pages; fragments wait for the rest in a table of
 * disguised pointers, some of them for good.
 */
#include <linux/skbuff.h>
#include <linux/timer.h>
#include <linux/workqueue.h>
#include <linux/gfp.h>
#include "slip.h"

#define BUCKETS 32
#define RING 64
#define FRAGMENTS 64

struct session {
	struct hlist_node node;
	u32 id;
	unsigned long expires;
	u8 key[40];
};

struct context {
	u32 id;
	void *body;
	u8 header[72];
};

struct fragment {
	unsigned long hidden;
	unsigned long until;	/* 0: for good */
};

static struct hlist_head sessions[BUCKETS];
static struct sk_buff_head received;
static struct timer_list rx_timer;
static struct work_struct rx_work;
static struct delayed_work housekeeping;
static struct page *ring;	/* RING bus addresses */
static struct fragment fragments[FRAGMENTS];
static u32 ids;

static struct sk_buff *packet_new(u32 n)
{
	struct sk_buff *skb = alloc_skb(n, GFP_ATOMIC);

	if (!skb)
		return NULL;
	skb_put(skb, n);
	lab_born(skb, sizeof(*skb), "net.packet");
	lab_born(skb->head, skb_end_offset(skb), "net.packet-data");
	return skb;
}

static void packet_free(struct sk_buff *skb)
{
	lab_freed(skb->head);
	lab_freed(skb);
	kfree_skb(skb);
}

static noinline bool packet_check(struct sk_buff *skb)
{
	return !lab_chance(40);
}

static noinline void packet_receive(struct sk_buff *skb)
{
	if (!packet_check(skb)) {
		if (slip(0)) {
			lab_lost(skb->head);
			lab_lost(skb);
			return;
		}
		packet_free(skb);
		return;
	}
	skb_queue_tail(&received, skb);
	schedule_work(&rx_work);
}

/* Replaces the buffer of one slot of the ring. */
static noinline void ring_refill(u32 slot)
{
	unsigned long *bus = page_address(ring);

	lab_free((void *)bus[slot]);
	bus[slot] = (unsigned long)lab_born(kmalloc(1536, GFP_ATOMIC), 1536, "net.ring");
}

static void rx_tick(struct timer_list *t)
{
	u32 n = 1 + lab_below(3);

	while (n--) {
		struct sk_buff *skb = packet_new(64 + lab_below(1400));

		if (skb)
			packet_receive(skb);
	}
	if (hidden && lab_chance(30 * 1000 / (linger * 5 + 1)))
		ring_refill(lab_below(min_t(u32, hidden, RING)));
	mod_timer(&rx_timer, jiffies + HZ / 5);
}

static noinline struct session *session_new(u32 id)
{
	struct session *s = kzalloc(sizeof(*s), GFP_KERNEL);

	if (!s)
		return NULL;
	lab_born(s, sizeof(*s), "net.session");
	s->id = id;
	s->expires = jiffies + lab_seconds(3, 40);
	hlist_add_head(&s->node, &sessions[id % BUCKETS]);
	return s;
}

static noinline void session_renegotiate(struct session *s)
{
	hlist_del(&s->node);
	if (slip(1)) {
		lab_lost(s);
		return;
	}
	lab_free(s);
}

static struct session *session_find(u32 id)
{
	struct session *s;

	hlist_for_each_entry(s, &sessions[id % BUCKETS], node)
		if (s->id == id)
			return s;
	return session_new(id);
}

/* Keeps a packet's payload until the rest of it comes. */
static noinline void fragment_keep(void)
{
	struct fragment *f = &fragments[lab_below(clamp_t(u32, hidden, 1, FRAGMENTS))];

	if (!hidden || f->hidden)
		return;
	f->hidden = lab_hide(lab_born(kmalloc(256, GFP_KERNEL), 256, "net.fragment"));
	f->until = lab_chance(150) ? 0 : jiffies + lab_seconds(2, linger);
}

static void rx_process(struct work_struct *w)
{
	struct sk_buff *skb;

	while ((skb = skb_dequeue(&received))) {
		struct session *s = session_find(lab_below(100));

		if (s && lab_chance(60))
			session_renegotiate(s);
		if (lab_chance(50))
			fragment_keep();
		packet_free(skb);
	}
}

static void sessions_expire(bool all)
{
	struct hlist_node *next;
	struct session *s;
	int i;

	for (i = 0; i < BUCKETS; i++) {
		hlist_for_each_entry_safe(s, next, &sessions[i], node) {
			if (all || time_after(jiffies, s->expires)) {
				hlist_del(&s->node);
				lab_free(s);
			}
		}
	}
}

static void fragments_drop(bool all)
{
	int i;

	for (i = 0; i < FRAGMENTS; i++) {
		struct fragment *f = &fragments[i];

		if (f->hidden && (all || (f->until && time_after(jiffies, f->until)))) {
			lab_free(lab_show(f->hidden));
			f->hidden = 0;
		}
	}
}

static void housekeep(struct work_struct *w)
{
	sessions_expire(false);
	fragments_drop(false);
	schedule_delayed_work(&housekeeping, HZ);
}

static void *net_open(void)
{
	struct context *c = kzalloc(sizeof(*c), GFP_KERNEL);

	if (c)
		c->id = ids++;
	return lab_born(c, sizeof(*c), "net.context");
}

static noinline int net_write(void *file, size_t n)
{
	struct context *c = file;

	lab_free(c->body);
	c->body = lab_born(kmalloc(n, GFP_KERNEL), n, "net.body");
	return c->body ? 0 : -ENOMEM;
}

static noinline void net_release(void *file)
{
	struct context *c = file;

	if (lab_chance(100) && slip(2)) {
		if (c->body)
			lab_lost(c->body);
		lab_lost(c);
		return;
	}
	lab_free(c->body);
	lab_free(c);
}

static const struct lab_ops ops = { net_open, net_write, net_release };

static int __init labnet_init(void)
{
	ring = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!ring)
		return -ENOMEM;
	skb_queue_head_init(&received);
	INIT_WORK(&rx_work, rx_process);
	INIT_DELAYED_WORK(&housekeeping, housekeep);
	timer_setup(&rx_timer, rx_tick, 0);
	mod_timer(&rx_timer, jiffies + HZ);
	schedule_delayed_work(&housekeeping, HZ);
	lab_serve(&ops);
	return 0;
}
module_init(labnet_init);

static void __exit labnet_exit(void)
{
	unsigned long *bus = page_address(ring);
	struct sk_buff *skb;
	int i;

	lab_serve(NULL);
	del_timer_sync(&rx_timer);
	cancel_delayed_work_sync(&housekeeping);
	cancel_work_sync(&rx_work);
	while ((skb = skb_dequeue(&received)))
		packet_free(skb);
	sessions_expire(true);
	fragments_drop(true);
	for (i = 0; i < RING; i++)
		lab_free((void *)bus[i]);
	__free_page(ring);
}
module_exit(labnet_exit);

MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("a packet server with planted leaks");
