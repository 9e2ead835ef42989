/* SPDX-License-Identifier: GPL-2.0 */
/* Flows and their slots, and the records about them. */

struct state {
	u64 open_ns;
	u64 next_close_ns;
	u64 delivered_bytes;
	u64 lost_bytes;
	u64 pacing_rate_Bps; /* last command taken; zero: none yet */
	u32 cwnd_packets;
	u32 loss_cwnd_packets; /* since a retransmission timeout: slow start (RFC 5681, 3.1) up to the command; zero: none */
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

/* Cookies of the network namespaces whose flows get slots; ANY_NETNS among them: every flow does. A controller's name
 * is the whole host's, and without this any local user could take all slots. The loader fills the map. */
#define ANY_NETNS 0
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u64);
	__type(value, u32);
} namespaces SEC(".maps");

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

/* The last eighth of the ring is kept from ACK records: while the agent hangs, it must still learn afterwards who came,
 * who went, and when the kernel took over. */
static __always_inline _Bool has_room(u8 kind)
{
	u64 size = bpf_ringbuf_query(&records, BPF_RB_RING_SIZE);

	return kind != RECORD_ACK || bpf_ringbuf_query(&records, BPF_RB_AVAIL_DATA) < size - size / 8;
}

static __always_inline struct record *reserve(struct state *st, u8 kind)
{
	struct counters *count = counter_words();
	struct record *r = 0;

	if (has_room(kind))
		r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);
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
#ifndef WITHOUT_IPV6
	if (id->family == AF_INET6) {
		u32 *local = (u32 *)id->local_address, *remote = (u32 *)id->remote_address;

#pragma unroll
		for (int i = 0; i < 4; i++) {
			local[i] = common->skc_v6_rcv_saddr.in6_u.u6_addr32[i];
			remote[i] = common->skc_v6_daddr.in6_u.u6_addr32[i];
		}
		return;
	}
#endif
	*(u32 *)id->local_address = common->skc_rcv_saddr;
	*(u32 *)id->remote_address = common->skc_daddr;
}

static __always_inline _Bool is_ours(struct sock *sk)
{
	u64 cookie = sk->__sk_common.skc_net.net->net_cookie, any = ANY_NETNS;

	return bpf_map_lookup_elem(&namespaces, &cookie) || bpf_map_lookup_elem(&namespaces, &any);
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
	if (!is_ours(sk)) {
		st->generation = 0;
		return 0;
	}
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
	st->loss_cwnd_packets = 0;
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
