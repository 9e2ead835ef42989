/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's algorithm underneath. Its functions are static, so they are taken from a socket that has chosen it. */
#pragma once

#ifdef BASE
#include <linux/net.h>
#include <net/inet_connection_sock.h>

static const struct tcp_congestion_ops *base;

static int base_find(void)
{
	static struct socket *chooser; /* stays open, for the algorithm stays with it */
	int error = sock_create_kern(&init_net, AF_INET, SOCK_STREAM, IPPROTO_TCP, &chooser);

	if (error)
		return error;
	error = chooser->ops->setsockopt(chooser, SOL_TCP, TCP_CONGESTION, KERNEL_SOCKPTR(BASE), sizeof(BASE) - 1);
	if (error)
		sock_release(chooser);
	else
		base = inet_csk(chooser->sk)->icsk_ca_ops;
	return error;
}

static void base_cwnd_event(struct sock *sk, enum tcp_ca_event event)
{
#ifdef TX_START_APART
	if (event == CA_EVENT_TX_START) {
		if (base->cwnd_event_tx_start)
			base->cwnd_event_tx_start(sk);
		return;
	}
#endif
	if (base->cwnd_event)
		base->cwnd_event(sk, event);
}
#else
static int base_find(void)
{
	return 0;
}
#endif
