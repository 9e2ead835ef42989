/* SPDX-License-Identifier: GPL-2.0 */
/* What the datapath keeps of a socket: a socket's own room (icsk_ca_priv) belongs to the kernel's algorithm. */
#pragma once

#include <linux/hashtable.h>
#include <linux/slab.h>

struct stored {
	struct hlist_node others;
	const struct sock *sk;
	u64 value[];
};

static DEFINE_HASHTABLE(stored_by_socket, 8);

static inline struct stored *storage_find(const struct sock *sk)
{
	struct stored *found;

	hash_for_each_possible(stored_by_socket, found, others, (unsigned long)sk)
		if (found->sk == sk)
			return found;
	return NULL;
}

/* The socket's value, zero at first; NULL if it has none and none is to be made or there is no memory. */
static inline void *storage_get(const struct sock *sk, size_t bytes, bool create)
{
	struct stored *found = storage_find(sk);

	if (!found && create) {
		found = kzalloc(sizeof(*found) + bytes, GFP_ATOMIC);
		if (found) {
			found->sk = sk;
			hash_add(stored_by_socket, &found->others, (unsigned long)sk);
		}
	}
	return found ? found->value : NULL;
}

static inline void storage_drop(const struct sock *sk)
{
	struct stored *found = storage_find(sk);

	if (found) {
		hash_del(&found->others);
		kfree(found);
	}
}
