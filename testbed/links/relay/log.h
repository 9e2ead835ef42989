/* The per-packet log: fixed-size records, written by a thread of its own so that the disk never delays a packet. */
#pragma once

#include "packet.h"

struct record { /* read by testbed/links/relay/log.py; native byte order */
    int64_t enqueue_ns;
    int64_t dequeue_ns; /* -1: never */
    int64_t deliver_ns; /* -1: never */
    int64_t due_ns;     /* -1: never */
    uint32_t source, destination; /* addresses, see struct headers */
    uint32_t queue_bytes;
    uint16_t size_bytes, payload_bytes;
    uint16_t source_port, destination_port;
    uint8_t direction, verdict, protocol;
    uint8_t ecn; /* codepoint on leaving, plus ECN_MARKED if this link set it */
};

#define ECN_MARKED 4

struct record log_record(const struct packet *packet, unsigned direction, enum verdict verdict, int64_t dequeue_ns,
                         int64_t deliver_ns);

/* Creates the file and starts the writer. Ends the program with a message if it cannot. */
void log_open(const char *path);
/* Never blocks; counts the record as lost if the writer is a whole ring behind. */
void log_packet(const struct packet *packet, unsigned direction, enum verdict verdict, int64_t dequeue_ns, int64_t deliver_ns);
/* errno of a failed write, 0 while all is well. */
int log_error(void);
uint64_t log_lost(void);
/* Writes out the rest and closes; returns log_error(). */
int log_close(void);
