/* SPDX-License-Identifier: GPL-2.0 */
/* Commands from user space over a fallback that takes control when they stop. */

extern int LINUX_KERNEL_VERSION __kconfig;

#ifdef FLAVOUR_BBR
#include "fallback_bbr.h"
#else
#include "fallback_aimd.h"
#endif

/* Takes the newest command whole, or none: a sequence lock. */
static __always_inline void take_command(struct state *st)
{
	u32 slot = st->slot;
	volatile struct command *command = bpf_map_lookup_elem(&commands, &slot);
	u32 cwnd, generation, sequence;
	u64 rate;

	if (!command)
		return;
	sequence = command->sequence;
	generation = command->generation;
	rate = command->pacing_rate_Bps;
	cwnd = command->cwnd_packets;
	if (sequence & 1 || command->sequence != sequence || generation != st->generation)
		return;
	st->pacing_rate_Bps = rate;
	st->cwnd_packets = cwnd;
}

/* Puts the command over what the fallback chose; returns whether one is in force. */
static __always_inline _Bool apply_command(struct sock *sk, struct state *st)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	struct control *ctl = control_word();
	u64 rate, heartbeat_ns;
	u32 cwnd;

	if (!ctl || ctl->mode != MODE_COMMANDED)
		return 0;
	heartbeat_ns = ctl->heartbeat_ns;
	if (bpf_ktime_get_ns() > heartbeat_ns + ctl->stale_ns) {
		st->pacing_rate_Bps = 0; /* a new agent must give a new command */
		return 0;
	}
	take_command(st);
	if (!st->pacing_rate_Bps)
		return 0;
	rate = st->pacing_rate_Bps;
	cwnd = st->cwnd_packets;
	if (rate < ctl->min_pacing_rate_Bps)
		rate = ctl->min_pacing_rate_Bps;
	if (rate > ctl->max_pacing_rate_Bps)
		rate = ctl->max_pacing_rate_Bps;
	if (rate > sk->sk_max_pacing_rate)
		rate = sk->sk_max_pacing_rate;
	if (cwnd < ctl->min_cwnd_packets)
		cwnd = ctl->min_cwnd_packets;
	if (cwnd > ctl->max_cwnd_packets)
		cwnd = ctl->max_cwnd_packets;
	if (cwnd > tp->snd_cwnd_clamp)
		cwnd = tp->snd_cwnd_clamp;
	if (st->loss_cwnd_packets && cwnd > st->loss_cwnd_packets)
		cwnd = st->loss_cwnd_packets;
	sk->sk_pacing_rate = rate;
	tp->snd_cwnd = cwnd;
	return 1;
}

SEC("struct_ops/tb_init")
void BPF_PROG(tb_init, struct sock *sk)
{
	fallback_init(sk);
	if (sk->sk_pacing_status == SK_PACING_NONE)
		sk->sk_pacing_status = SK_PACING_NEEDED;
	open_flow(sk);
}

SEC("struct_ops/tb_ssthresh")
u32 BPF_PROG(tb_ssthresh, struct sock *sk)
{
	return fallback_ssthresh(sk);
}

SEC("struct_ops/tb_undo_cwnd")
u32 BPF_PROG(tb_undo_cwnd, struct sock *sk)
{
	return fallback_undo_cwnd(sk);
}

SEC("struct_ops/tb_set_state")
void BPF_PROG(tb_set_state, struct sock *sk, u8 new_state)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	struct state *st = find_flow(sk);
	u32 cwnd = tp->snd_cwnd;

	fallback_set_state(sk, new_state);
	if (!st)
		return;
	/* The kernel calls this at every retransmission timeout, after it has set cwnd to what is in flight and one. */
	st->loss_cwnd_packets = new_state == TCP_CA_Loss ? cwnd : 0;
	apply_command(sk, st);
	report(sk, st, RECORD_STATE, new_state);
}

SEC("struct_ops/tb_cwnd_event")
void BPF_PROG(tb_cwnd_event, struct sock *sk, enum tcp_ca_event event)
{
	struct state *st;

	fallback_cwnd_event(sk, event);
	if (event != CA_EVENT_TX_START)
		return;
	st = find_flow(sk);
	if (st)
		apply_command(sk, st);
}

/* The context of cong_control is (sk, ack, flag, rs) from Linux 6.10 on and (sk, rs) before. The loads are assembly
 * because the compiler would merge the two branches into one load at a computed offset, which the verifier rejects. */
#ifndef CONTEXT_ARGUMENT
#define CONTEXT_ARGUMENT(target, ctx, offset) asm volatile("%0 = *(u64 *)(%1 + " #offset ")" : "=r"(target) : "r"(ctx))
#endif

SEC("struct_ops/tb_cong_control")
int tb_cong_control(u64 *ctx)
{
	const struct rate_sample *rs;
	long rtt_us, interval_us;
	struct state *st;
	struct sock *sk;
	u32 ack = 0, flag = 0;
	s32 delivered;
	_Bool commanded;

	CONTEXT_ARGUMENT(sk, ctx, 0);
	if (LINUX_KERNEL_VERSION >= KERNEL_VERSION(6, 10, 0)) {
		CONTEXT_ARGUMENT(ack, ctx, 8);
		CONTEXT_ARGUMENT(flag, ctx, 16);
		CONTEXT_ARGUMENT(rs, ctx, 24);
	} else {
		CONTEXT_ARGUMENT(rs, ctx, 8);
	}
	st = find_flow(sk);
	if (st && st->commanded)
		fallback_shadow(sk, ack, flag, rs);
	else
		fallback_main(sk, ack, flag, rs);
	if (!st)
		return 0;
	if (st->loss_cwnd_packets)
		st->loss_cwnd_packets += rs->acked_sacked;
	commanded = apply_command(sk, st);
	if (commanded != st->commanded) {
		st->commanded = commanded;
		if (!commanded)
			fallback_resume(sk);
		report(sk, st, RECORD_STATE, ca_state(sk));
	}
	rtt_us = rs->rtt_us;
	interval_us = rs->interval_us;
	delivered = rs->delivered;
	if (delivered <= 0 || interval_us <= 0)
		delivered = interval_us = 0;
	report_ack(sk, st, (s32)rtt_us, delivered, (u32)interval_us, rs->is_app_limited);
	return 0;
}

SEC(".struct_ops")
struct tcp_congestion_ops tbtest = {
	.init = (void *)tb_init,
	.release = (void *)tb_release,
	.ssthresh = (void *)tb_ssthresh,
	.undo_cwnd = (void *)tb_undo_cwnd,
	.set_state = (void *)tb_set_state,
	.cwnd_event = (void *)tb_cwnd_event,
	.cong_control = (void *)tb_cong_control,
	.flags = TCP_CONG_NON_RESTRICTED,
	.name = "@tbtest-name@",
};
