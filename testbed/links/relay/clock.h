/* Time is int64_t nanoseconds of CLOCK_MONOTONIC, shared by all namespaces of the host. */
#pragma once

#include <stdint.h>
#include <time.h>

#define NS_PER_S 1000000000LL
#define NEVER INT64_MAX

static inline int64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}
