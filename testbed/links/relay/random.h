/* SplitMix64 (Steele, Lea, Flood 2014): the same draws on every machine for the same seed. */
#pragma once

#include <stdint.h>

struct rng {
    uint64_t state;
};

static inline uint64_t rng_next(struct rng *rng)
{
    uint64_t z = rng->state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

/* An independent stream for each purpose, so that turning jitter on does not change the losses. */
static inline struct rng rng_stream(uint64_t seed, uint64_t purpose)
{
    struct rng rng = {seed ^ (purpose << 56)};
    rng.state = rng_next(&rng);
    return rng;
}

/* Uniform in [0, 1). */
static inline double rng_uniform(struct rng *rng)
{
    return (double)(rng_next(rng) >> 11) * 0x1p-53;
}
