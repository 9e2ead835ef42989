/* SPDX-License-Identifier: GPL-2.0 */
/* What the datapath shares with the agent: agent/layout.py declares the same structures for NumPy, and a test
 * compares the two through the object's BTF. */
#ifndef TBTEST_SHARED_H
#define TBTEST_SHARED_H

#include "types.h"

enum record_kind {
	RECORD_OPEN = 1,
	RECORD_ACK = 2,
	RECORD_STATE = 3, /* congestion state or the controller in force changed */
	RECORD_CLOSE = 4,
};

enum record_flag {
	FLAG_APP_LIMITED = 1,
	FLAG_COMMANDED = 2, /* the agent's command is in force, not the kernel's own algorithm */
	FLAG_CLOSES_WINDOW = 4, /* first ACK at or past a window boundary */
};

/* Counters are cumulative over the flow's life, so a missing record costs resolution and no bytes. */
struct measurement {
	s32 rtt_us; /* of this ACK; negative: it gave no sample */
	u32 srtt_us;
	u32 min_rtt_us;
	u32 mss_bytes;
	u32 cwnd_packets;
	u32 inflight_packets;
	u64 pacing_rate_Bps;
	u32 sample_delivered_packets; /* the kernel's delivery rate sample: packets over */
	u32 sample_interval_us; /* this interval; zero: no sample */
	u64 acked_bytes;
	u64 delivered_bytes;
	u64 lost_bytes;
	u64 sent_bytes; /* retransmissions included */
	u64 retransmitted_bytes;
	u32 delivered_packets;
	u32 delivered_ce_packets;
	u32 dropped_records; /* of this flow, by a full ring buffer */
	u32 ssthresh_packets;
};

struct identity {
	u64 netns_cookie;
	u16 family;
	u16 local_port;
	u16 remote_port;
	u16 reserved;
	u8 local_address[16];
	u8 remote_address[16];
};

struct record {
	u64 at_ns;
	u32 slot;
	u32 generation;
	u8 kind;
	u8 flags;
	u8 ca_state;
	u8 reserved[5];
	union {
		struct measurement measurement; /* ACK, STATE, CLOSE */
		struct identity identity; /* OPEN */
	};
};

_Static_assert(sizeof(struct record) == 120, "a record and its ring header fill two cache lines");

/* One per slot; written by the kernel. A restarted agent learns the live flows from it. */
struct flow {
	u32 generation;
	u32 live;
	u64 open_ns;
	struct identity identity;
};

/* One per slot; written by the agent. Not this flow's generation: no command. The sequence is odd while the agent
 * writes, and another one after every command. */
struct command {
	u64 pacing_rate_Bps;
	u32 cwnd_packets;
	u32 generation;
	u32 sequence;
	u32 reserved;
};

enum mode {
	MODE_COMMANDED = 0,
	MODE_OBSERVE = 1, /* the kernel's own algorithm stays in control */
};

enum wake {
	WAKE_WINDOW = 0, /* on the ACK that closes a window, on OPEN and when the ring fills up */
	WAKE_ACK = 1, /* on every ACK that finds the reader caught up */
};

/* One; written by the agent. */
struct control {
	u64 heartbeat_ns;
	u64 stale_ns; /* commands are void this long after the last heartbeat */
	u64 window_ns;
	u64 min_pacing_rate_Bps;
	u64 max_pacing_rate_Bps;
	u32 min_cwnd_packets;
	u32 max_cwnd_packets;
	u32 mode;
	u32 wake;
	char cc_name[16];
};

/* One; written by the kernel. */
struct counters {
	u64 records;
	u64 dropped;
	u64 windows_closed;
	u64 refused_flows; /* opened while every slot was taken */
};

#endif
