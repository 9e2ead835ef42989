/* A packet on its way through the relay, and the pool that packets come from. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKET_MAX_BYTES 1536 /* the interfaces' MTU is 1500 */

enum verdict { DELIVERED, TAIL_DROP, AQM_DROP, RANDOM_LOSS, IN_QUEUE, DUPLICATE, POLICED };

struct packet {
    struct packet *next;
    int64_t enqueue_ns;
    int64_t due_ns;      /* leaves the queue; NEVER until known */
    int64_t deliver_at_ns; /* due_ns plus propagation delay and jitter */
    uint32_t size_bytes;
    uint32_t queue_bytes; /* backlog found on arrival */
    bool marked;          /* this link set CE */
    bool copy;            /* this link made it of another one */
    uint8_t data[PACKET_MAX_BYTES];
};

struct fifo {
    struct packet *head, *tail;
};

static inline void fifo_push(struct fifo *fifo, struct packet *packet)
{
    packet->next = NULL;
    if (fifo->head)
        fifo->tail->next = packet;
    else
        fifo->head = packet;
    fifo->tail = packet;
}

static inline struct packet *fifo_pop(struct fifo *fifo)
{
    struct packet *packet = fifo->head;
    if (packet)
        fifo->head = packet->next;
    return packet;
}

/* Last in, first out, so that the memory in use stays small and warm. NULL once POOL_MAX_PACKETS are out. */
#define POOL_MAX_PACKETS (1 << 17)
struct packet *packet_new(void);
/* Before the first packet: touches the memory of as many as are usually out at once, which a machine short of memory would take
 * its time to find later. */
void packet_prepare(void);
void packet_free(struct packet *packet);

struct headers {
    uint32_t source, destination; /* IPv4 addresses, or the last four bytes of IPv6 ones; host byte order */
    uint16_t source_port, destination_port; /* 0: neither TCP nor UDP, or not the first fragment */
    uint16_t payload_bytes;                 /* behind the TCP or UDP header; of others, behind the IP header */
    uint8_t protocol;                       /* IANA's number; of IPv6 the first next header */
    uint8_t ecn;                            /* the ECN codepoint (RFC 3168) */
};
/* Sets CE (RFC 3168) and the IPv4 checksum, and notes it in the packet. False: its sender knows no ECN. */
bool packet_mark(struct packet *packet);

/* All zero if the packet is no IP packet or is cut off. */
struct headers packet_headers(const struct packet *packet);
