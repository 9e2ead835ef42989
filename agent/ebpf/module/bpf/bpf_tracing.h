/* SPDX-License-Identifier: GPL-2.0 */
/* In place of libbpf's: the kernel calls the functions with their arguments instead of a context. */
#pragma once

#define BPF_PROG(name, args...) name(args)
