#include "packet.h"

#include <netinet/in.h>
#include <stdlib.h>

#define CHUNK_PACKETS 64 /* few page faults at a time */
#define READY_PACKETS 4096

static struct packet *unused;
static unsigned allocated;

static bool grow(size_t packets)
{
    struct packet *chunk = calloc(packets, sizeof *chunk);
    if (!chunk)
        return false;
    allocated += (unsigned)packets;
    for (size_t i = 0; i < packets; i++)
        packet_free(&chunk[i]);
    return true;
}

void packet_prepare(void)
{
    grow(READY_PACKETS);
}

struct packet *packet_new(void)
{
    if (!unused && (allocated >= POOL_MAX_PACKETS || !grow(CHUNK_PACKETS)))
        return NULL;
    struct packet *packet = unused;
    unused = packet->next;
    return packet;
}

void packet_free(struct packet *packet)
{
    packet->next = unused;
    unused = packet;
}

static uint16_t be16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t be32(const uint8_t *at)
{
    return (uint32_t)be16(at) << 16 | be16(at + 2);
}

struct headers packet_headers(const struct packet *packet)
{
    const uint8_t *ip = packet->data;
    struct headers found = {0};
    size_t length; /* of the headers so far */
    bool first = true;

    if (packet->size_bytes >= 20 && ip[0] >> 4 == 4) {
        length = (size_t)(ip[0] & 15) * 4;
        first = !(be16(ip + 6) & 0x1fff); /* fragment offset */
        found.protocol = ip[9];
        found.ecn = ip[1] & 3;
        found.source = be32(ip + 12);
        found.destination = be32(ip + 16);
    } else if (packet->size_bytes >= 40 && ip[0] >> 4 == 6) {
        length = 40;
        found.protocol = ip[6];
        found.ecn = ip[1] >> 4 & 3;
        found.source = be32(ip + 20);
        found.destination = be32(ip + 36);
    } else {
        return found;
    }
    const uint8_t *transport = ip + length;
    bool tcp = found.protocol == IPPROTO_TCP;
    size_t header = tcp ? 20 : found.protocol == IPPROTO_UDP ? 8 : 0;
    if (first && header && packet->size_bytes >= length + header) {
        found.source_port = be16(transport);
        found.destination_port = be16(transport + 2);
        length += tcp ? (size_t)(transport[12] >> 4) * 4 : header;
    }
    if (packet->size_bytes > length)
        found.payload_bytes = (uint16_t)(packet->size_bytes - length);
    return found;
}

bool packet_mark(struct packet *packet)
{
    uint8_t *ip = packet->data;
    uint8_t ecn = packet_headers(packet).ecn;

    if (!ecn)
        return false;
    if (ecn == 3)
        return true;
    packet->marked = true;
    if (ip[0] >> 4 == 6) {
        ip[1] |= 0x30;
        return true;
    }
    /* RFC 1624: the checksum less the bits that are set, in one's complement. */
    uint32_t sum = be16(ip + 10) + (uint32_t)(0xffff - (3 - ecn));
    sum = (sum & 0xffff) + (sum >> 16);
    ip[1] |= 3;
    ip[10] = (uint8_t)(sum >> 8);
    ip[11] = (uint8_t)sum;
    return true;
}
