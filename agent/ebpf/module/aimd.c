// SPDX-License-Identifier: GPL-2.0
#define FLAVOUR_AIMD
#define FLAVOUR "aimd"
#include "module.h"
