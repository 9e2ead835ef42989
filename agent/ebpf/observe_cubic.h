/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's CUBIC in control, with a record of every ACK. */

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
