// SPDX-License-Identifier: GPL-2.0
/* A TCP congestion controller (BPF struct_ops) that reports every ACK through a ring buffer and takes pacing rate and
 * cwnd from a map that user space writes. When user space falls silent, an algorithm of the kernel's takes over.
 *
 * Flavours, one object each (see the Makefile):
 *   AIMD   fallback from tcp_reno_cong_avoid; Linux 6.1 and later
 *   BBR    fallback is the kernel's BBR, run in the shadow on every ACK; Linux 6.10 and later
 *   CUBIC  observes the kernel's CUBIC and never commands: no cong_control, so the kernel's own recovery (PRR) works
 */
#include <linux/bpf.h>

#include "shared.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "report.h"

char _license[] SEC("license") = "GPL";

SEC("struct_ops/tb_release")
void BPF_PROG(tb_release, struct sock *sk)
{
	struct state *st = bpf_sk_storage_get(&states, sk, 0, 0);
	struct flow *flow;
	u32 slot;

	if (!st || !st->generation)
		return;
	slot = st->slot;
	flow = bpf_map_lookup_elem(&flows, &slot);
	if (flow && flow->generation == st->generation && flow->live) {
		report(sk, st, RECORD_CLOSE, ca_state(sk));
		flow->live = 0;
		bpf_map_push_elem(&free_slots, &slot, 0);
	}
	st->generation = 0;
}

#ifdef FLAVOUR_CUBIC
#include "observe_cubic.h"
#else
#include "command.h"
#endif
