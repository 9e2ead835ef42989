/* SPDX-License-Identifier: GPL-2.0 */
/* The datapath as a module of a kernel without a JIT for eBPF: the C of the eBPF objects, unchanged, over helpers that are
 * the kernel's own functions. Included once, by the file of each flavour, which defines before
 *   FLAVOUR_<FLAVOUR>, FLAVOUR   what to compile, and its name for people
 *   BASE                         the kernel's algorithm underneath; none where its functions are exported
 */
#include <linux/module.h>
#include <linux/version.h>
#include <net/tcp.h>

#define TBTEST_TYPES_H /* the kernel's own types are at hand */
#if !IS_ENABLED(CONFIG_IPV6)
#define WITHOUT_IPV6
#endif
/* A context is an array of arguments here too. */
#define CONTEXT_ARGUMENT(target, ctx, offset) ((target) = (typeof(target))(ctx)[(offset) / 8])

#include "tbtest_cc.bpf.c"

int LINUX_KERNEL_VERSION = LINUX_VERSION_CODE;

#include "base.h"
#include "callbacks.h"
#include "device.h"

#define NAME_OF(flavour) "tbtest-cc-" flavour

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = NAME_OF(FLAVOUR),
	.mode = 0600,
	.fops = &device_operations,
};

/* It is never unloaded: sockets may point at its controllers. */
static int __init datapath_load(void)
{
	int error = base_find();

	return error ?: misc_register(&device);
}

module_init(datapath_load);
MODULE_DESCRIPTION("The datapath of tbtest over " FLAVOUR);
MODULE_LICENSE("GPL");
