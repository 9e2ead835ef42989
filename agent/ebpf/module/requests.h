/* SPDX-License-Identifier: GPL-2.0 */
/* What an agent asks of the module, /dev/tbtest-cc-<flavour>; agent/ebpf/module.py asks it. */
#pragma once

#include <linux/ioctl.h>
#include <linux/types.h>

struct datapath_request {
	char cc_name[16];
	__u64 ring_bytes; /* a power of two, at least a page */
	__u32 slots;
	__u32 adopted; /* answered: a dead agent had the name, and its sizes are those now */
};

#define DATAPATH_TAKE _IOWR('c', 0, struct datapath_request) /* registers the controller, or takes it over */
#define DATAPATH_ADMIT _IOW('c', 1, __u64) /* flows of the namespace with this cookie get slots */
#define DATAPATH_FREE_SLOT _IOW('c', 2, __u32)
#define DATAPATH_REMOVE _IOW('c', 3, char[16]) /* unregisters the controller, unless another living agent has it */
