/* SPDX-License-Identifier: GPL-2.0 */
/* A ring buffer that a reader of BPF's ring buffer maps and reads as it is (kernel/bpf/ringbuf.c). One writer at a time;
 * a record never wraps, since records of one size fill the ring. */
#pragma once

#include <linux/bpf.h>
#include <linux/poll.h>
#include <linux/wait.h>

struct ring {
	u64 *consumed; /* by the reader, bytes since the beginning; whatever the reader writes there */
	u64 *produced;
	u8 *data;
	u64 bytes; /* a power of two; zero: no ring */
	wait_queue_head_t readers;
};

struct ring_header {
	u32 length; /* of the record; with BPF_RINGBUF_BUSY_BIT until it is whole */
	u32 page_offset; /* the kernel's own */
};

static inline u64 ring_available(const struct ring *ring)
{
	return ring->bytes ? *ring->produced - smp_load_acquire(ring->consumed) : 0;
}

static inline u64 ring_query(const struct ring *ring, u64 what)
{
	return what == BPF_RB_RING_SIZE ? ring->bytes : ring_available(ring);
}

/* A record of that many bytes, or NULL while the ring is full. */
static inline void *ring_reserve(struct ring *ring, u32 bytes)
{
	u32 whole = sizeof(struct ring_header) + bytes;
	struct ring_header *header;

	if (!ring->bytes || ring_available(ring) + whole >= ring->bytes)
		return NULL;
	header = (struct ring_header *)(ring->data + (*ring->produced & (ring->bytes - 1)));
	header->length = bytes | BPF_RINGBUF_BUSY_BIT;
	header->page_offset = 0;
	smp_store_release(ring->produced, *ring->produced + whole);
	return header + 1;
}

/* Hands the record to the reader, and wakes one that has caught up, or as the flags say. */
static inline void ring_commit(struct ring *ring, void *record, u32 bits, u64 flags)
{
	struct ring_header *header = (struct ring_header *)record - 1;
	u64 at = (u8 *)header - ring->data;

	smp_store_release(&header->length, (header->length & ~BPF_RINGBUF_BUSY_BIT) | bits);
	if (flags & BPF_RB_FORCE_WAKEUP ||
	    (!(flags & BPF_RB_NO_WAKEUP) && (smp_load_acquire(ring->consumed) & (ring->bytes - 1)) == at))
		wake_up_interruptible_poll(&ring->readers, EPOLLIN | EPOLLRDNORM);
}
