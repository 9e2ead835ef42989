/* SPDX-License-Identifier: GPL-2.0 */
/* The agents, each with a controller of its own name and the memory that it shares with the datapath. */
#pragma once

#include <linux/list.h>
#include <linux/mm.h>
#include <linux/vmalloc.h>
#include <net/tcp.h>

#include "ring.h"

#define MAX_NAMESPACES 1024
#define MAX_SLOTS 65536
#define MAX_RING_BYTES (1UL << 30)

/* What an agent shares with the datapath. Of mapped pages the file shows, in this order: the reader's position, the
 * writer's, the ring's data twice, flows, commands, control, counters. */
struct memory {
	u8 *mapped;
	unsigned long mapped_pages, ring_pages;
	u32 slots; /* zero: the agent is gone, and no lookup finds anything */
	struct flow *flows;
	struct command *commands;
	struct control *control;
	struct counters *counters;
	struct ring ring;
	u32 *free_slots; /* a queue: `free` of them, from `first_free` on */
	u32 first_free, free;
	u64 namespaces[MAX_NAMESPACES]; /* cookies, ANY_NETNS among them: all */
	u32 namespace_count;
};

/* Sockets that chose the controller point at it for as long as they live, with no word to us, so it stays when its agent
 * goes, and only its memory is freed. */
struct agent {
	struct tcp_congestion_ops ops;
	struct list_head others;
	struct memory *memory;
	struct file *holder; /* NULL: the agent died, and another may take its place */
};

static struct memory nobody; /* of agents that are gone */
static struct memory *here; /* of the agent to whose socket the datapath attends now */

static inline u32 *admitted(struct memory *memory, u64 cookie)
{
	static u32 yes = 1;

	for (u32 i = 0; i < memory->namespace_count; i++)
		if (memory->namespaces[i] == cookie)
			return &yes;
	return NULL;
}

static inline int admit(struct memory *memory, u64 cookie)
{
	if (admitted(memory, cookie))
		return 0;
	if (memory->namespace_count == MAX_NAMESPACES)
		return -ENOSPC;
	memory->namespaces[memory->namespace_count++] = cookie;
	return 0;
}

static inline long push_slot(struct memory *memory, u32 slot)
{
	if (slot >= memory->slots || memory->free == memory->slots)
		return -E2BIG;
	memory->free_slots[(memory->first_free + memory->free++) % memory->slots] = slot;
	return 0;
}

static inline long pop_slot(struct memory *memory, u32 *slot)
{
	if (!memory->free)
		return -ENOENT;
	*slot = memory->free_slots[memory->first_free];
	memory->first_free = (memory->first_free + 1) % memory->slots;
	memory->free--;
	return 0;
}

static inline void memory_free(struct memory *memory)
{
	vfree(memory->mapped); /* pages that are mapped stay until they no longer are */
	kvfree(memory->free_slots);
	kfree(memory);
}

/* Memory for that many flows at once and a ring of that many bytes, every slot free; NULL: there is not enough. */
static inline struct memory *memory_new(u32 slots, u64 ring_bytes)
{
	unsigned long flows = PAGE_ALIGN(slots * sizeof(struct flow));
	unsigned long commands = PAGE_ALIGN(slots * sizeof(struct command));
	struct memory *memory = kzalloc(sizeof(*memory), GFP_KERNEL);
	u8 *at;

	if (!memory)
		return NULL;
	memory->ring_pages = ring_bytes >> PAGE_SHIFT;
	memory->mapped_pages = ((flows + commands) >> PAGE_SHIFT) + memory->ring_pages + 4;
	memory->free_slots = kvmalloc_array(slots, sizeof(u32), GFP_KERNEL);
	memory->mapped = at = vmalloc_user(memory->mapped_pages << PAGE_SHIFT);
	if (!memory->free_slots || !at) {
		memory_free(memory);
		return NULL;
	}
	memory->ring.consumed = (u64 *)at;
	memory->ring.produced = (u64 *)(at += PAGE_SIZE);
	memory->ring.data = at += PAGE_SIZE;
	memory->ring.bytes = ring_bytes;
	memory->flows = (struct flow *)(at += ring_bytes);
	memory->commands = (struct command *)(at += flows);
	memory->control = (struct control *)(at += commands);
	memory->counters = (struct counters *)(at + PAGE_SIZE);
	init_waitqueue_head(&memory->ring.readers);
	memory->slots = slots;
	for (u32 slot = 0; slot < slots; slot++)
		push_slot(memory, slot);
	return memory;
}
