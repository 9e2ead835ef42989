/* SPDX-License-Identifier: GPL-2.0 */
/* For a congestion controller of one's own (`--cc bpf:mine.bpf.c`): the kernel's types, cut down to the members that
 * controllers read, and libbpf's macros. A source that needs more members includes its own vmlinux.h instead. */
#ifndef TBTEST_BPF_H
#define TBTEST_BPF_H

#include <linux/bpf.h>

#include "types.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#endif
