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

char _license[] SEC("license") = "GPL";

extern int LINUX_KERNEL_VERSION __kconfig;

struct state {
	u64 open_ns;
	u64 next_close_ns;
	u64 delivered_bytes;
	u64 lost_bytes;
	u64 pacing_rate_Bps; /* last command taken; zero: none yet */
	u32 cwnd_packets;
	u32 slot;
	u32 generation; /* zero: no slot */
	u32 delivered_packets;
	u32 lost_packets;
	u32 dropped_records;
	u8 commanded;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct state);
} states SEC(".maps");

/* The loader sets the sizes of these, and fills the queue of slots when it creates it. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1);
	__type(value, u32);
} free_slots SEC(".maps");

#define MMAPABLE_ARRAY(name, entry)                \
	struct {                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);          \
		__uint(map_flags, BPF_F_MMAPABLE);         \
		__uint(max_entries, 1);                    \
		__type(key, u32);                          \
		__type(value, entry);                      \
	} name SEC(".maps")

MMAPABLE_ARRAY(flows, struct flow);
MMAPABLE_ARRAY(commands, struct command);
MMAPABLE_ARRAY(control, struct control);
MMAPABLE_ARRAY(counters, struct counters);

static __always_inline struct control *control_word(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&control, &zero);
}

static __always_inline struct counters *counter_words(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&counters, &zero);
}

static __always_inline u32 packets_in_flight(const struct tcp_sock *tp)
{
	return tp->packets_out - (tp->sacked_out + tp->lost_out) + tp->retrans_out;
}

static __always_inline u8 ca_state(struct sock *sk)
{
	return BPF_CORE_READ_BITFIELD((struct inet_connection_sock *)sk, icsk_ca_state);
}

static __always_inline struct record *reserve(struct state *st, u8 kind)
{
	struct counters *count = counter_words();
	struct record *r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);

	if (!count) /* never: tells the verifier so */
		goto discard;
	if (!r) {
		st->dropped_records++;
		__sync_fetch_and_add(&count->dropped, 1);
		return 0;
	}
	__sync_fetch_and_add(&count->records, 1);
	r->slot = st->slot;
	r->generation = st->generation;
	r->kind = kind;
	r->flags = st->commanded ? FLAG_COMMANDED : 0;
	__builtin_memset(r->reserved, 0, sizeof(r->reserved));
	return r;
discard:
	if (r)
		bpf_ringbuf_discard(r, BPF_RB_NO_WAKEUP);
	return 0;
}

/* A timed reader need not be woken, unless the ring would overrun before it comes. */
static __always_inline void submit(struct record *r, _Bool wake)
{
	u64 flags = BPF_RB_NO_WAKEUP;

	if (wake || bpf_ringbuf_query(&records, BPF_RB_AVAIL_DATA) > bpf_ringbuf_query(&records, BPF_RB_RING_SIZE) / 4)
		flags = BPF_RB_FORCE_WAKEUP;
	bpf_ringbuf_submit(r, flags);
}

static __always_inline void identify(struct sock *sk, struct identity *id)
{
	struct sock_common *common = &sk->__sk_common;

	__builtin_memset(id, 0, sizeof(*id));
	id->netns_cookie = common->skc_net.net->net_cookie;
	id->family = common->skc_family;
	id->local_port = common->skc_num;
	id->remote_port = __builtin_bswap16(common->skc_dport);
	if (id->family == AF_INET6) {
		u32 *local = (u32 *)id->local_address, *remote = (u32 *)id->remote_address;

#pragma unroll
		for (int i = 0; i < 4; i++) {
			local[i] = common->skc_v6_rcv_saddr.in6_u.u6_addr32[i];
			remote[i] = common->skc_v6_daddr.in6_u.u6_addr32[i];
		}
	} else {
		*(u32 *)id->local_address = common->skc_rcv_saddr;
		*(u32 *)id->remote_address = common->skc_daddr;
	}
}

/* Gives the flow a slot and announces it. Called again for the same socket, it keeps the slot unless that was taken
 * away (the agent reclaims the slots of flows that it believes dead). */
static __always_inline struct state *open_flow(struct sock *sk)
{
	struct state *st = bpf_sk_storage_get(&states, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	struct counters *count = counter_words();
	struct control *ctl = control_word();
	struct flow *flow;
	struct record *r;
	u32 slot;

	if (!st || !ctl || !count)
		return 0;
	if (bpf_map_pop_elem(&free_slots, &slot)) {
		st->generation = 0;
		__sync_fetch_and_add(&count->refused_flows, 1);
		return 0;
	}
	flow = bpf_map_lookup_elem(&flows, &slot);
	if (!flow)
		return 0;
	st->slot = slot;
	st->generation = flow->generation + 1 ?: 1;
	st->open_ns = bpf_ktime_get_ns();
	st->next_close_ns = st->open_ns + ctl->window_ns;
	st->pacing_rate_Bps = 0;
	st->commanded = 0;
	identify(sk, &flow->identity);
	flow->open_ns = st->open_ns;
	flow->generation = st->generation;
	flow->live = 1;
	r = reserve(st, RECORD_OPEN);
	if (r) {
		r->at_ns = st->open_ns;
		r->ca_state = 0;
		__builtin_memset(&r->measurement, 0, sizeof(r->measurement));
		r->identity = flow->identity;
		submit(r, 1);
	}
	return st;
}

/* The flow's state, or NULL while it has no slot. Heals what a skipped callback or a reclaimed slot left behind. */
static __always_inline struct state *find_flow(struct sock *sk)
{
	struct state *st = bpf_sk_storage_get(&states, sk, 0, 0);
	struct flow *flow;
	u32 slot;

	if (!st) {
		/* cong_control runs once before init(): that ACK belongs to no flow yet. */
		if (!BPF_CORE_READ_BITFIELD((struct inet_connection_sock *)sk, icsk_ca_initialized))
			return 0;
		return open_flow(sk);
	}
	if (!st->generation)
		return 0;
	slot = st->slot;
	flow = bpf_map_lookup_elem(&flows, &slot);
	if (!flow)
		return 0;
	if (flow->generation != st->generation || !flow->live)
		return open_flow(sk);
	return st;
}

static __always_inline void measure(struct sock *sk, struct state *st, struct measurement *m)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	u32 mss = tp->mss_cache, delivered = tp->delivered, lost = tp->lost;

	st->delivered_bytes += (u64)(delivered - st->delivered_packets) * mss;
	st->lost_bytes += (u64)(lost - st->lost_packets) * mss;
	st->delivered_packets = delivered;
	st->lost_packets = lost;
	m->srtt_us = tp->srtt_us >> 3;
	m->min_rtt_us = tp->rtt_min.s[0].v;
	m->mss_bytes = mss;
	m->cwnd_packets = tp->snd_cwnd;
	m->inflight_packets = packets_in_flight(tp);
	m->pacing_rate_Bps = sk->sk_pacing_rate;
	m->acked_bytes = tp->bytes_acked;
	m->delivered_bytes = st->delivered_bytes;
	m->lost_bytes = st->lost_bytes;
	m->sent_bytes = tp->bytes_sent;
	m->retransmitted_bytes = tp->bytes_retrans;
	m->delivered_packets = delivered;
	m->delivered_ce_packets = tp->delivered_ce;
	m->dropped_records = st->dropped_records;
	m->ssthresh_packets = tp->snd_ssthresh;
}

static __always_inline void report_ack(struct sock *sk, struct state *st, s32 rtt_us, u32 delivered, u32 interval_us,
				       _Bool app_limited)
{
	struct counters *count = counter_words();
	struct control *ctl = control_word();
	u64 now = bpf_ktime_get_ns(), window_ns;
	_Bool closes = now >= st->next_close_ns;
	struct record *r;

	if (!ctl || !count)
		return;
	window_ns = ctl->window_ns ?: 1;
	if (closes) {
		st->next_close_ns = st->open_ns + ((now - st->open_ns) / window_ns + 1) * window_ns;
		__sync_fetch_and_add(&count->windows_closed, 1);
	}
	r = reserve(st, RECORD_ACK);
	if (!r)
		return;
	r->at_ns = now;
	r->flags |= (app_limited ? FLAG_APP_LIMITED : 0) | (closes ? FLAG_CLOSES_WINDOW : 0);
	r->ca_state = ca_state(sk);
	measure(sk, st, &r->measurement);
	r->measurement.rtt_us = rtt_us;
	r->measurement.sample_delivered_packets = delivered;
	r->measurement.sample_interval_us = interval_us;
	if (ctl->wake == WAKE_ACK && !closes)
		bpf_ringbuf_submit(r, 0); /* the ring wakes a reader that has caught up */
	else
		submit(r, closes);
}

static __always_inline void report(struct sock *sk, struct state *st, u8 kind, u8 state)
{
	struct record *r = reserve(st, kind);

	if (!r)
		return;
	r->at_ns = bpf_ktime_get_ns();
	r->ca_state = state;
	measure(sk, st, &r->measurement);
	r->measurement.rtt_us = -1;
	r->measurement.sample_delivered_packets = 0;
	r->measurement.sample_interval_us = 0;
	submit(r, 1);
}

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

void cubictcp_init(struct sock *sk) __ksym;
u32 cubictcp_recalc_ssthresh(struct sock *sk) __ksym;
void cubictcp_cong_avoid(struct sock *sk, u32 ack, u32 acked) __ksym;
void cubictcp_state(struct sock *sk, u8 new_state) __ksym;
void cubictcp_cwnd_event(struct sock *sk, enum tcp_ca_event event) __ksym;
void cubictcp_acked(struct sock *sk, const struct ack_sample *sample) __ksym;
u32 tcp_reno_undo_cwnd(struct sock *sk) __ksym;

SEC("struct_ops/tb_init")
void BPF_PROG(tb_init, struct sock *sk)
{
	cubictcp_init(sk);
	open_flow(sk);
}

SEC("struct_ops/tb_ssthresh")
u32 BPF_PROG(tb_ssthresh, struct sock *sk)
{
	return cubictcp_recalc_ssthresh(sk);
}

SEC("struct_ops/tb_cong_avoid")
void BPF_PROG(tb_cong_avoid, struct sock *sk, u32 ack, u32 acked)
{
	cubictcp_cong_avoid(sk, ack, acked);
}

SEC("struct_ops/tb_set_state")
void BPF_PROG(tb_set_state, struct sock *sk, u8 new_state)
{
	struct state *st = find_flow(sk);

	cubictcp_state(sk, new_state);
	if (st)
		report(sk, st, RECORD_STATE, new_state);
}

SEC("struct_ops/tb_cwnd_event")
void BPF_PROG(tb_cwnd_event, struct sock *sk, enum tcp_ca_event event)
{
	cubictcp_cwnd_event(sk, event);
}

SEC("struct_ops/tb_undo_cwnd")
u32 BPF_PROG(tb_undo_cwnd, struct sock *sk)
{
	return tcp_reno_undo_cwnd(sk);
}

/* Without cong_control no rate sample is passed: the delivery rate is the one the kernel keeps, of the ACK before. */
SEC("struct_ops/tb_pkts_acked")
void BPF_PROG(tb_pkts_acked, struct sock *sk, const struct ack_sample *sample)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	struct state *st = find_flow(sk);

	cubictcp_acked(sk, sample);
	if (st)
		report_ack(sk, st, sample->rtt_us, tp->rate_delivered, tp->rate_interval_us, tp->app_limited != 0);
}

SEC(".struct_ops")
struct tcp_congestion_ops tbtest = {
	.init = (void *)tb_init,
	.release = (void *)tb_release,
	.ssthresh = (void *)tb_ssthresh,
	.cong_avoid = (void *)tb_cong_avoid,
	.set_state = (void *)tb_set_state,
	.cwnd_event = (void *)tb_cwnd_event,
	.undo_cwnd = (void *)tb_undo_cwnd,
	.pkts_acked = (void *)tb_pkts_acked,
	.flags = TCP_CONG_NON_RESTRICTED,
	.name = "@tbtest-name@",
};

#else /* commanded flavours */

#ifdef FLAVOUR_BBR
#include "fallback_bbr.h"
#else
#include "fallback_aimd.h"
#endif

/* Takes the newest command whole: the agent voids the generation, writes rate and cwnd, then the generation. */
static __always_inline void take_command(struct state *st)
{
	u32 slot = st->slot;
	volatile struct command *command = bpf_map_lookup_elem(&commands, &slot);
	u64 rate;
	u32 cwnd;

	if (!command || command->generation != st->generation)
		return;
	rate = command->pacing_rate_Bps;
	cwnd = command->cwnd_packets;
	if (command->generation != st->generation)
		return;
	st->pacing_rate_Bps = rate;
	st->cwnd_packets = cwnd;
}

/* Puts the command over what the fallback chose; returns whether one is in force. */
static __always_inline _Bool apply_command(struct sock *sk, struct state *st)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	struct control *ctl = control_word();
	u64 rate, heartbeat_ns;
	u32 cwnd;

	if (!ctl || ctl->mode != MODE_COMMANDED)
		return 0;
	heartbeat_ns = ctl->heartbeat_ns;
	if (bpf_ktime_get_ns() > heartbeat_ns + ctl->stale_ns) {
		st->pacing_rate_Bps = 0; /* a new agent must give a new command */
		return 0;
	}
	take_command(st);
	if (!st->pacing_rate_Bps)
		return 0;
	rate = st->pacing_rate_Bps;
	cwnd = st->cwnd_packets;
	if (rate < ctl->min_pacing_rate_Bps)
		rate = ctl->min_pacing_rate_Bps;
	if (rate > ctl->max_pacing_rate_Bps)
		rate = ctl->max_pacing_rate_Bps;
	if (rate > sk->sk_max_pacing_rate)
		rate = sk->sk_max_pacing_rate;
	if (cwnd < ctl->min_cwnd_packets)
		cwnd = ctl->min_cwnd_packets;
	if (cwnd > ctl->max_cwnd_packets)
		cwnd = ctl->max_cwnd_packets;
	if (cwnd > tp->snd_cwnd_clamp)
		cwnd = tp->snd_cwnd_clamp;
	sk->sk_pacing_rate = rate;
	tp->snd_cwnd = cwnd;
	return 1;
}

SEC("struct_ops/tb_init")
void BPF_PROG(tb_init, struct sock *sk)
{
	fallback_init(sk);
	if (sk->sk_pacing_status == SK_PACING_NONE)
		sk->sk_pacing_status = SK_PACING_NEEDED;
	open_flow(sk);
}

SEC("struct_ops/tb_ssthresh")
u32 BPF_PROG(tb_ssthresh, struct sock *sk)
{
	return fallback_ssthresh(sk);
}

SEC("struct_ops/tb_undo_cwnd")
u32 BPF_PROG(tb_undo_cwnd, struct sock *sk)
{
	return fallback_undo_cwnd(sk);
}

SEC("struct_ops/tb_set_state")
void BPF_PROG(tb_set_state, struct sock *sk, u8 new_state)
{
	struct state *st = find_flow(sk);

	fallback_set_state(sk, new_state);
	if (!st)
		return;
	apply_command(sk, st);
	report(sk, st, RECORD_STATE, new_state);
}

SEC("struct_ops/tb_cwnd_event")
void BPF_PROG(tb_cwnd_event, struct sock *sk, enum tcp_ca_event event)
{
	struct state *st;

	fallback_cwnd_event(sk, event);
	if (event != CA_EVENT_TX_START)
		return;
	st = find_flow(sk);
	if (st)
		apply_command(sk, st);
}

/* The context of cong_control is (sk, ack, flag, rs) from Linux 6.10 on and (sk, rs) before. The loads are assembly
 * because the compiler would merge the two branches into one load at a computed offset, which the verifier rejects. */
#define CONTEXT_ARGUMENT(target, ctx, offset) asm volatile("%0 = *(u64 *)(%1 + " #offset ")" : "=r"(target) : "r"(ctx))

SEC("struct_ops/tb_cong_control")
int tb_cong_control(u64 *ctx)
{
	const struct rate_sample *rs;
	long rtt_us, interval_us;
	struct state *st;
	struct sock *sk;
	u32 ack = 0, flag = 0;
	s32 delivered;
	_Bool commanded;

	CONTEXT_ARGUMENT(sk, ctx, 0);
	if (LINUX_KERNEL_VERSION >= KERNEL_VERSION(6, 10, 0)) {
		CONTEXT_ARGUMENT(ack, ctx, 8);
		CONTEXT_ARGUMENT(flag, ctx, 16);
		CONTEXT_ARGUMENT(rs, ctx, 24);
	} else {
		CONTEXT_ARGUMENT(rs, ctx, 8);
	}
	st = find_flow(sk);
	if (st && st->commanded)
		fallback_shadow(sk, ack, flag, rs);
	else
		fallback_main(sk, ack, flag, rs);
	if (!st)
		return 0;
	commanded = apply_command(sk, st);
	if (commanded != st->commanded) {
		st->commanded = commanded;
		if (!commanded)
			fallback_resume(sk);
		report(sk, st, RECORD_STATE, ca_state(sk));
	}
	rtt_us = rs->rtt_us;
	interval_us = rs->interval_us;
	delivered = rs->delivered;
	if (delivered <= 0 || interval_us <= 0)
		delivered = interval_us = 0;
	report_ack(sk, st, (s32)rtt_us, delivered, (u32)interval_us, rs->is_app_limited);
	return 0;
}

SEC(".struct_ops")
struct tcp_congestion_ops tbtest = {
	.init = (void *)tb_init,
	.release = (void *)tb_release,
	.ssthresh = (void *)tb_ssthresh,
	.undo_cwnd = (void *)tb_undo_cwnd,
	.set_state = (void *)tb_set_state,
	.cwnd_event = (void *)tb_cwnd_event,
	.cong_control = (void *)tb_cong_control,
	.flags = TCP_CONG_NON_RESTRICTED,
	.name = "@tbtest-name@",
};

#endif
