/* SPDX-License-Identifier: GPL-2.0 */
/* What TCP calls: the datapath's functions, one at a time, on the memory of the socket's agent. */
#pragma once

#include <linux/spinlock.h>

static DEFINE_SPINLOCK(one_at_a_time);

static void enter(const struct sock *sk)
{
	const struct agent *agent = container_of(inet_csk(sk)->icsk_ca_ops, struct agent, ops);

	spin_lock_bh(&one_at_a_time);
	here = agent->memory;
}

static void leave(void)
{
	spin_unlock_bh(&one_at_a_time);
}

static void on_init(struct sock *sk)
{
	enter(sk);
	tbtest.init(sk);
	leave();
}

static void on_release(struct sock *sk)
{
	enter(sk);
	tbtest.release(sk);
	storage_drop(sk);
	leave();
}

static u32 on_ssthresh(struct sock *sk)
{
	u32 packets;

	enter(sk);
	packets = tbtest.ssthresh(sk);
	leave();
	return packets;
}

static u32 on_undo_cwnd(struct sock *sk)
{
	u32 packets;

	enter(sk);
	packets = tbtest.undo_cwnd(sk);
	leave();
	return packets;
}

static void on_set_state(struct sock *sk, u8 new_state)
{
	enter(sk);
	tbtest.set_state(sk, new_state);
	leave();
}

static void on_cwnd_event(struct sock *sk, enum tcp_ca_event event)
{
	enter(sk);
	tbtest.cwnd_event(sk, event);
	leave();
}

#ifdef TX_START_APART
static void on_tx_start(struct sock *sk)
{
	on_cwnd_event(sk, CA_EVENT_TX_START);
}
#endif

#ifdef FLAVOUR_CUBIC
static void on_cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	enter(sk);
	tbtest.cong_avoid(sk, ack, acked);
	leave();
}

static void on_pkts_acked(struct sock *sk, const struct ack_sample *sample)
{
	enter(sk);
	tbtest.pkts_acked(sk, sample);
	leave();
}
#else
static void on_cong_control(struct sock *sk, u32 ack, int flag, const struct rate_sample *rs)
{
	u64 context[] = { (u64)sk, ack, (u32)flag, (u64)rs };

	enter(sk);
	tb_cong_control(context);
	leave();
}
#endif

static const struct tcp_congestion_ops callbacks = {
	.init = on_init,
	.release = on_release,
	.ssthresh = on_ssthresh,
	.undo_cwnd = on_undo_cwnd,
	.set_state = on_set_state,
	.cwnd_event = on_cwnd_event,
#ifdef TX_START_APART
	.cwnd_event_tx_start = on_tx_start,
#endif
#ifdef FLAVOUR_CUBIC
	.cong_avoid = on_cong_avoid,
	.pkts_acked = on_pkts_acked,
#else
	.cong_control = on_cong_control,
#endif
	.flags = TCP_CONG_NON_RESTRICTED,
	.owner = THIS_MODULE,
};
