/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's BBR. It sees every ACK also while commands are in force, so that its model of the path is warm when it
 * has to take over. bbr_main() takes these arguments from Linux 6.10 on. */

void bbr_init(struct sock *sk) __ksym;
void bbr_main(struct sock *sk, u32 ack, int flag, const struct rate_sample *rs) __ksym;
u32 bbr_ssthresh(struct sock *sk) __ksym;
u32 bbr_undo_cwnd(struct sock *sk) __ksym;
void bbr_set_state(struct sock *sk, u8 new_state) __ksym;
void bbr_cwnd_event(struct sock *sk, enum tcp_ca_event event) __ksym;

static __always_inline void fallback_init(struct sock *sk)
{
	bbr_init(sk);
}

static __always_inline u32 fallback_ssthresh(struct sock *sk)
{
	return bbr_ssthresh(sk);
}

static __always_inline u32 fallback_undo_cwnd(struct sock *sk)
{
	return bbr_undo_cwnd(sk);
}

static __always_inline void fallback_set_state(struct sock *sk, u8 new_state)
{
	bbr_set_state(sk, new_state);
}

static __always_inline void fallback_cwnd_event(struct sock *sk, enum tcp_ca_event event)
{
	bbr_cwnd_event(sk, event);
}

static __always_inline void fallback_main(struct sock *sk, u32 ack, u32 flag, const struct rate_sample *rs)
{
	bbr_main(sk, ack, flag, rs);
}

static __always_inline void fallback_shadow(struct sock *sk, u32 ack, u32 flag, const struct rate_sample *rs)
{
	bbr_main(sk, ack, flag, rs);
}

static __always_inline void fallback_resume(struct sock *sk)
{
}
