/* SPDX-License-Identifier: GPL-2.0 */
/* A congestion controller in the kernel: Reno that stops growing while its packets queue for more than 10 ms.
 *
 *     sudo tbtest run --cc bpf:examples/my_controller.bpf.c,cubic --rate 20mbit --flow bulk
 */
#include <tbtest_bpf.h>

#define TARGET_US 10000

char _license[] SEC("license") = "GPL";

u32 tcp_reno_ssthresh(struct sock *sk) __ksym;
u32 tcp_reno_undo_cwnd(struct sock *sk) __ksym;
void tcp_reno_cong_avoid(struct sock *sk, u32 ack, u32 acked) __ksym;

SEC("struct_ops/my_ssthresh")
u32 BPF_PROG(my_ssthresh, struct sock *sk)
{
	return tcp_reno_ssthresh(sk);
}

SEC("struct_ops/my_undo_cwnd")
u32 BPF_PROG(my_undo_cwnd, struct sock *sk)
{
	return tcp_reno_undo_cwnd(sk);
}

/* On every ACK outside of recovery. */
SEC("struct_ops/my_cong_avoid")
void BPF_PROG(my_cong_avoid, struct sock *sk, u32 ack, u32 acked)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	u32 srtt_us = tp->srtt_us >> 3;
	u32 min_rtt_us = tp->rtt_min.s[0].v;

	if (srtt_us > min_rtt_us + TARGET_US) {
		tp->snd_ssthresh = tp->snd_cwnd; /* slow start ends */
		return;
	}
	tcp_reno_cong_avoid(sk, ack, acked);
}

SEC(".struct_ops")
struct tcp_congestion_ops my_controller = {
	.ssthresh = (void *)my_ssthresh,
	.undo_cwnd = (void *)my_undo_cwnd,
	.cong_avoid = (void *)my_cong_avoid,
	.name = "my_controller",
};
