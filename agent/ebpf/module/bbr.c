// SPDX-License-Identifier: GPL-2.0
#define FLAVOUR_BBR
#define FLAVOUR "bbr"
#define BASE "bbr"
#include "module.h"

void bbr_init(struct sock *sk)
{
	base->init(sk);
}

void bbr_main(struct sock *sk, u32 ack, int flag, const struct rate_sample *rs)
{
	base->cong_control(sk, ack, flag, rs);
}

u32 bbr_ssthresh(struct sock *sk)
{
	return base->ssthresh(sk);
}

u32 bbr_undo_cwnd(struct sock *sk)
{
	return base->undo_cwnd(sk);
}

void bbr_set_state(struct sock *sk, u8 new_state)
{
	base->set_state(sk, new_state);
}

void bbr_cwnd_event(struct sock *sk, enum tcp_ca_event event)
{
	base_cwnd_event(sk, event);
}
