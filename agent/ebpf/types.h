/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel types the datapath reads, cut down to the members it uses. libbpf finds each member by name in the
 * running kernel's BTF (CO-RE), so neither order nor size matters here. */
#ifndef TBTEST_TYPES_H
#define TBTEST_TYPES_H

#include <linux/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct net {
	u64 net_cookie;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct in6_addr {
	union {
		u32 u6_addr32[4];
	} in6_u;
};

struct sock_common {
	u32 skc_daddr;
	u32 skc_rcv_saddr;
	__be16 skc_dport;
	u16 skc_num;
	u16 skc_family;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

struct sock {
	struct sock_common __sk_common;
	unsigned long sk_pacing_rate;
	unsigned long sk_max_pacing_rate;
	u32 sk_pacing_status;
};

struct inet_connection_sock {
	u8 icsk_ca_state : 5;
	u8 icsk_ca_initialized : 1;
};

struct minmax_sample {
	u32 t;
	u32 v;
};

struct minmax {
	struct minmax_sample s[3];
};

struct tcp_sock {
	u32 mss_cache;
	u32 srtt_us; /* eight times the smoothed RTT */
	struct minmax rtt_min;
	u32 snd_cwnd;
	u32 snd_cwnd_clamp;
	u32 snd_ssthresh;
	u32 packets_out;
	u32 sacked_out;
	u32 lost_out;
	u32 retrans_out;
	u32 delivered;
	u32 delivered_ce;
	u32 lost;
	u32 app_limited;
	u32 rate_delivered;
	u32 rate_interval_us;
	u64 bytes_acked;
	u64 bytes_sent;
	u64 bytes_retrans;
};

struct rate_sample {
	s32 delivered;
	long interval_us;
	long rtt_us;
	u32 losses;
	u32 acked_sacked;
	_Bool is_app_limited;
};

struct ack_sample {
	u32 pkts_acked;
	s32 rtt_us;
	u32 in_flight;
};

enum tcp_ca_event {
	CA_EVENT_TX_START,
};

/* A wire format between this object and libbpf: only the callbacks that some flavour implements. */
struct tcp_congestion_ops {
	u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
	void (*set_state)(struct sock *sk, u8 new_state);
	void (*cwnd_event)(struct sock *sk, enum tcp_ca_event event);
	u32 (*undo_cwnd)(struct sock *sk);
	void (*pkts_acked)(struct sock *sk, const struct ack_sample *sample);
	void (*cong_control)(struct sock *sk, u32 ack, int flag, const struct rate_sample *rs);
	void (*init)(struct sock *sk);
	void (*release)(struct sock *sk);
	char name[16];
	u32 flags;
};

#pragma clang attribute pop

enum {
	AF_INET = 2,
	AF_INET6 = 10,
	TCP_CA_CWR = 2,
	TCP_CA_Recovery = 3,
	TCP_CA_Loss = 4,
	SK_PACING_NONE = 0,
	SK_PACING_NEEDED = 1,
	TCP_CONG_NON_RESTRICTED = 1,
};

#endif
