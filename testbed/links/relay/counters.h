/* Live counters in a page shared with the harness, read by testbed/links/relay/backend.py while the relay runs. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t counter;

struct direction_counters {
    counter offered_bytes, delivered_bytes, dropped_bytes, backlog_bytes;
    counter offered_packets, delivered_packets, dropped_packets;
    counter spare;
};

struct counters {
    struct direction_counters direction[2];
    /* Written at the end. */
    counter cpu_ns;        /* user and system time of the process, the kernel's delivery of its packets included */
    counter lost_records;  /* of the packet log */
    counter refused;       /* packets that found no memory */
    counter write_errors;  /* packets that the far interface refused */
    counter scheduling;    /* enum scheduling */
};

enum scheduling { ORDINARY, REAL_TIME /* SCHED_FIFO was granted */, IN_KERNEL };

/* One writer: no locked instruction needed. */
static inline void counter_add(counter *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void counter_set(counter *c, uint64_t n)
{
    atomic_store_explicit(c, n, memory_order_relaxed);
}
