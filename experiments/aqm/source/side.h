/* What a load asks of a queue discipline, the relay's or the kernel's. Times are ns, packets of one size. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKET_NS 600000 /* to send a packet: 1500 bytes at 20 Mbit/s */
#define TUPDATE_NS 20000000 /* PIE's: 15 ms are four ticks of a kernel of 250 Hz, and its timer takes one more */
#define FLOWS 65536 /* fq_codel's: none of the load's flows shares one */

enum kind { FIFO_CODEL, FAIR_CODEL, ONLY_PIE, DUAL_PI2 };
enum { NOT_ECT, ECT1, ECT0, CE };

struct item {
    struct item *next;
    uint32_t flow;
    int64_t number, sent_ns;
    uint8_t ecn;
    bool marked;
};

/* Takes back an item that the discipline does not deliver. */
void dropped(struct item *item);

struct side {
    void *(*make)(enum kind kind, bool ecn, uint32_t limit_packets, uint64_t seed);
    void (*offer)(void *queue, struct item *item, int64_t now_ns, bool sending);
    struct item *(*take)(void *queue, int64_t now_ns);
    int64_t (*timer)(void *queue, int64_t now_ns); /* does what is due; returns when to be called again */
};

extern const struct side relay, kernel;
