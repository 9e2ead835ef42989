/* Time is int64_t nanoseconds of CLOCK_MONOTONIC, shared by all namespaces of the host. */
#pragma once

#include <stdint.h>
#include <time.h>

#define NS_PER_S 1000000000LL
#define NEVER INT64_MAX

/* In virtual time computing takes none, and reading the clock is what costs: one reading serves until the next sleep. 0: it
 * has yet to be read; NEVER: not in virtual time. */
extern int64_t clock_still_ns;

static inline int64_t clock_read_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static inline int64_t clock_ns(void)
{
    if (clock_still_ns == NEVER)
        return clock_read_ns();
    if (!clock_still_ns)
        clock_still_ns = clock_read_ns();
    return clock_still_ns;
}

/* After a sleep. */
static inline void clock_goes_on(void)
{
    if (clock_still_ns != NEVER)
        clock_still_ns = 0;
}
