// SPDX-License-Identifier: GPL-2.0
#define FLAVOUR_CUBIC
#define FLAVOUR "cubic"
#define BASE "cubic"
#include "module.h"

void cubictcp_init(struct sock *sk)
{
	base->init(sk);
}

u32 cubictcp_recalc_ssthresh(struct sock *sk)
{
	return base->ssthresh(sk);
}

void cubictcp_cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	base->cong_avoid(sk, ack, acked);
}

void cubictcp_state(struct sock *sk, u8 new_state)
{
	base->set_state(sk, new_state);
}

void cubictcp_cwnd_event(struct sock *sk, enum tcp_ca_event event)
{
	base_cwnd_event(sk, event);
}

void cubictcp_acked(struct sock *sk, const struct ack_sample *sample)
{
	base->pkts_acked(sk, sample);
}
