/* A policer in front of the queue: a token bucket that drops what finds too few tokens, and never delays. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct policer {
    double rate_bps; /* 0: none */
    double burst_bytes;
    double tokens_bytes;
    int64_t filled_ns; /* when the tokens were counted */
};

/* A single-rate policer (RFC 2697 with one colour): whether a packet that arrives at now_ns conforms. It takes its tokens then. */
static inline bool policer_admits(struct policer *policer, uint32_t bytes, int64_t now_ns)
{
    if (policer->rate_bps <= 0)
        return true;
    policer->tokens_bytes += (double)(now_ns - policer->filled_ns) * policer->rate_bps / 8e9;
    if (policer->tokens_bytes > policer->burst_bytes)
        policer->tokens_bytes = policer->burst_bytes;
    policer->filled_ns = now_ns;
    if (policer->tokens_bytes < bytes)
        return false;
    policer->tokens_bytes -= bytes;
    return true;
}
