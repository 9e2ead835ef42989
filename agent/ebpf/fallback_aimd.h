/* SPDX-License-Identifier: GPL-2.0 */
/* Additive increase, multiplicative decrease by the kernel's Reno functions: works on every kernel with struct_ops. */

void tcp_reno_cong_avoid(struct sock *sk, u32 ack, u32 acked) __ksym;
u32 tcp_reno_ssthresh(struct sock *sk) __ksym;
u32 tcp_reno_undo_cwnd(struct sock *sk) __ksym;

static __always_inline void fallback_init(struct sock *sk)
{
}

static __always_inline u32 fallback_ssthresh(struct sock *sk)
{
	return tcp_reno_ssthresh(sk);
}

static __always_inline u32 fallback_undo_cwnd(struct sock *sk)
{
	return tcp_reno_undo_cwnd(sk);
}

static __always_inline void fallback_set_state(struct sock *sk, u8 new_state)
{
}

static __always_inline void fallback_cwnd_event(struct sock *sk, enum tcp_ca_event event)
{
}

/* With cong_control the kernel does no proportional rate reduction: recovery holds cwnd at ssthresh. Pacing as in
 * tcp_update_pacing_rate(): 2 cwnd / srtt in slow start, 1.2 cwnd / srtt after. */
static __always_inline void fallback_main(struct sock *sk, u32 ack, u32 flag, const struct rate_sample *rs)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	u32 srtt_us = tp->srtt_us, percent; /* eight times the RTT */
	u8 state = ca_state(sk);

	if (state == TCP_CA_Recovery || state == TCP_CA_CWR) {
		if (tp->snd_cwnd > tp->snd_ssthresh && tp->snd_ssthresh >= 2)
			tp->snd_cwnd = tp->snd_ssthresh;
	} else if (rs->acked_sacked) {
		tcp_reno_cong_avoid(sk, ack, rs->acked_sacked);
	}
	if (!srtt_us)
		return;
	percent = tp->snd_cwnd < tp->snd_ssthresh / 2 ? 200 : 120;
	sk->sk_pacing_rate = (u64)tp->mss_cache * tp->snd_cwnd * percent * 80000 / srtt_us;
}

/* Reno has no model of the path to keep up to date. */
static __always_inline void fallback_shadow(struct sock *sk, u32 ack, u32 flag, const struct rate_sample *rs)
{
}

/* Starts from the commanded cwnd in congestion avoidance: slow start would double it. */
static __always_inline void fallback_resume(struct sock *sk)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;

	tp->snd_ssthresh = tp->snd_cwnd;
}
