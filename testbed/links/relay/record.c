#include "log.h"

#include "clock.h"

struct record log_record(const struct packet *packet, unsigned direction, enum verdict verdict, int64_t dequeue_ns,
                         int64_t deliver_ns)
{
    struct headers headers = packet_headers(packet);
    return (struct record){
        .enqueue_ns = packet->enqueue_ns,
        .dequeue_ns = dequeue_ns,
        .deliver_ns = deliver_ns,
        .due_ns = packet->due_ns == NEVER ? -1 : packet->due_ns,
        .source = headers.source,
        .destination = headers.destination,
        .queue_bytes = packet->queue_bytes,
        .size_bytes = (uint16_t)packet->size_bytes,
        .payload_bytes = headers.payload_bytes,
        .source_port = headers.source_port,
        .destination_port = headers.destination_port,
        .direction = (uint8_t)direction,
        .verdict = (uint8_t)verdict,
        .protocol = headers.protocol,
        .ecn = (uint8_t)(headers.ecn | (packet->marked ? ECN_MARKED : 0)),
    };
}
