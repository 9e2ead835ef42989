/* SPDX-License-Identifier: GPL-2.0 */
/* In place of libbpf's: the helpers that the datapath calls, on the memory of the agent that a socket belongs to. Maps are
 * told apart by the type of their values; their definitions take no memory worth the name. */
#pragma once

#include "../agents.h"
#include "../ring.h"
#include "../storage.h"

#define SEC(name)
#define __ksym
#define __kconfig
#define __uint(name, value) int(*name)[value]
#define __type(name, type) typeof(type) *name

#define ENTRY(array, key) (*(key) < here->slots ? &(array)[*(key)] : NULL)
#define bpf_map_lookup_elem(map, key)                  \
	_Generic((map)->value,                             \
		struct flow *: ENTRY(here->flows, key),        \
		struct command *: ENTRY(here->commands, key),  \
		struct control *: ENTRY(here->control, key),   \
		struct counters *: ENTRY(here->counters, key), \
		u32 *: admitted(here, *(key)))
#define bpf_map_push_elem(map, value, flags) push_slot(here, *(value))
#define bpf_map_pop_elem(map, value) pop_slot(here, value)

#define bpf_sk_storage_get(map, sk, first, flags) \
	((typeof((map)->value))storage_get(sk, sizeof(*(map)->value), (flags) & BPF_SK_STORAGE_GET_F_CREATE))

#define bpf_ringbuf_query(map, what) ring_query(&here->ring, what)
#define bpf_ringbuf_reserve(map, bytes, flags) ring_reserve(&here->ring, bytes)
#define bpf_ringbuf_submit(record, flags) ring_commit(&here->ring, record, 0, flags)
#define bpf_ringbuf_discard(record, flags) ring_commit(&here->ring, record, BPF_RINGBUF_DISCARD_BIT, flags)

#define bpf_ktime_get_ns ktime_get_ns
