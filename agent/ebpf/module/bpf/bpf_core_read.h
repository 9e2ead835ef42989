/* SPDX-License-Identifier: GPL-2.0 */
/* In place of libbpf's: a module is compiled for its kernel, so nothing is relocated. */
#pragma once

#define BPF_CORE_READ_BITFIELD(structure, member) ((structure)->member)
