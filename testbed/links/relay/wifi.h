/* A Wi-Fi hop behind the queue: packets wait for access to the medium and are sent in aggregates, in order.
 *
 * The access delay is that of draft-huitema-ccwg-c4-test, "Handling of High Jitter Environments": N1 slots of 1 ms for
 * deferrals, N1 Poisson with mean 1, less a uniform part of one slot; and, for a share x of the accesses, N2 slots of
 * 7.5 ms for retransmissions, N2 Poisson with mean 12. x makes the mean the one that is asked for. There a delay is drawn for
 * each packet, here for each aggregate: what has left the queue when an access begins goes along, up to 64 packets (the
 * window of a block acknowledgement), and the next access begins when this one has ended. */
#pragma once

#include <stdint.h>

#include "random.h"

#define WIFI_MAX_PACKETS 64

struct wifi {
    int64_t average_ns; /* 0: none */
    struct rng rng;
    int64_t begins_ns, ends_ns; /* the last access; what leaves the queue before it begins can go along */
    unsigned packets;
};

#define EXP_MINUS_1 0x1.78b56362cef38p-2
#define EXP_MINUS_12 0x1.9c54c3b43bc8bp-18

/* Knuth's method, given e to the minus mean: for means up to a few dozen. */
static inline unsigned wifi_poisson(struct rng *rng, double exp_minus_mean)
{
    unsigned count = 0;
    for (double product = rng_uniform(rng); product > exp_minus_mean; product *= rng_uniform(rng))
        count++;
    return count;
}

static inline int64_t wifi_access_ns(struct wifi *wifi)
{
    const double deferral_ns = 1e6, retry_ns = 7.5e6, retries = 12;
    double share = ((double)wifi->average_ns - deferral_ns) / (retries * retry_ns);
    double slots = wifi_poisson(&wifi->rng, EXP_MINUS_1);
    double part = rng_uniform(&wifi->rng);
    double delay_ns = slots * deferral_ns - (slots >= 1 ? part * deferral_ns : 0);
    if (rng_uniform(&wifi->rng) < share)
        delay_ns += wifi_poisson(&wifi->rng, EXP_MINUS_12) * retry_ns;
    return (int64_t)delay_ns;
}

/* How much later than at due_ns, when it left the queue, a packet leaves the hop. Calls come in order of time. */
static inline int64_t wifi_delay_ns(struct wifi *wifi, int64_t due_ns)
{
    if (!wifi->average_ns)
        return 0;
    if (due_ns > wifi->begins_ns || wifi->packets == WIFI_MAX_PACKETS) {
        wifi->begins_ns = due_ns > wifi->ends_ns ? due_ns : wifi->ends_ns;
        wifi->ends_ns = wifi->begins_ns + wifi_access_ns(wifi);
        wifi->packets = 0;
    }
    wifi->packets++;
    return wifi->ends_ns - due_ns;
}
