/* A seeded getrandom(2), preloaded into the guest's kernel, which takes all its entropy there: the same seed gives the same
 * port numbers, sequence numbers, hash seeds and address layouts inside. For emulation only. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

static uint64_t state;

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next(void)
{
    uint64_t z = state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

__attribute__((constructor)) static void seed(void)
{
    const char *text = getenv("TBTEST_GUEST_SEED");
    state = text ? strtoull(text, NULL, 10) : 0;
}

ssize_t getrandom(void *buffer, size_t length, unsigned flags)
{
    unsigned char *out = buffer;
    (void)flags;
    for (size_t i = 0; i < length; i++)
        out[i] = (unsigned char)next();
    return (ssize_t)length;
}
