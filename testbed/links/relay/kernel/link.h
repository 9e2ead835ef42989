/* Both directions of a link, for the module: what module.c, which is compiled against the kernel's headers, sees of the relay's
 * own C, which is compiled against the C library's. All calls of all links come one at a time. */
#pragma once

struct link;
struct packet;

/* `settings`: of so many bytes, see settings.h; `counters`: a struct counters. Both stay the caller's and must outlive the link.
 * NULL: no memory, or the settings are not whole. */
struct link *link_new(void *settings, unsigned long bytes, void *counters);
void link_free(struct link *link);
/* Once, where memory may be waited for. */
void link_prepare(void);

/* Room for a packet of so many bytes, which is filled in at link_data; NULL and counted as refused if there is none. */
struct packet *link_room(struct link *link, unsigned bytes);
unsigned char *link_data(struct packet *packet);
/* The packet arrived at the end from which this direction starts, at this time; the link owns it from now on. */
void link_arrive(struct link *link, unsigned direction, struct packet *packet, long long now_ns);
/* Lets the direction work up to now_ns; the next packet to deliver, or NULL. */
struct packet *link_due(struct link *link, unsigned direction, long long now_ns, unsigned *bytes);
/* After link_due: the packet has been handed over. It is gone then. */
void link_delivered(struct link *link, unsigned direction, struct packet *packet, long long now_ns);
/* When to look for due packets again if nothing arrives; LLONG_MAX: never. */
long long link_next_ns(struct link *link);

void link_start(struct link *link, long long zero_ns);
/* Logs what is still inside. */
void link_end(struct link *link);

/* The log's records that have not been taken: bytes at *at that lie in one piece. */
unsigned long link_records(struct link *link, const void **at);
void link_take_records(struct link *link, unsigned long bytes);
/* Whether enough records wait to be worth a read. */
int link_has_records(const struct link *link);

/* The host's: zeroed memory for so many bytes, and its end. */
void *host_memory(unsigned long bytes);
void host_free(void *memory);
