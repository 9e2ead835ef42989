#include "direction.h"

#include "log.h"

void direction_init(struct direction *direction, uint64_t seed)
{
    direction->loss.rng = rng_stream(seed, 1);
    direction->trace_loss_rng = rng_stream(seed, 2);
    direction->jitter_rng = rng_stream(seed, 3);
    direction->reorder_rng = rng_stream(seed, 5);
    direction->duplicate_rng = rng_stream(seed, 6);
    direction->wifi.rng = rng_stream(seed, 7);
    direction->policer.tokens_bytes = direction->policer.burst_bytes;
    if (direction->queue.discipline == PIE)
        direction->queue.pie.rng = rng_stream(seed, 4);
    if (direction->queue.discipline == DUALPI2) {
        direction->queue.dual.rng = rng_stream(seed, 8);
        dualpi2_rest(&direction->queue.dual);
    }
    playback_init(&direction->playback);
}

static uint32_t sending_bytes(const struct direction *direction)
{
    return direction->sending ? direction->sending->size_bytes : 0;
}

static void count_backlog(struct direction *direction)
{
    counter_set(&direction->counters->backlog_bytes, direction->queue.bytes + sending_bytes(direction));
}

static void drop(struct direction *direction, struct packet *packet, enum verdict verdict)
{
    int64_t dequeue_ns = packet->due_ns == NEVER ? -1 : packet->due_ns;
    counter_add(&direction->counters->dropped_packets, 1);
    counter_add(&direction->counters->dropped_bytes, packet->size_bytes);
    log_packet(packet, direction->id, verdict, dequeue_ns, -1);
    packet_free(packet);
}

static void drop_all(struct direction *direction, struct fifo *packets, enum verdict verdict)
{
    for (struct packet *packet; (packet = fifo_pop(packets));)
        drop(direction, packet, verdict);
}

/* Nobody in a line overtakes. */
static void send_off(struct fifo *line, int64_t *last_ns, struct packet *packet)
{
    if (packet->deliver_at_ns < *last_ns)
        packet->deliver_at_ns = *last_ns;
    *last_ns = packet->deliver_at_ns;
    fifo_push(line, packet);
}

/* A copy arrives right behind the packet, or with the next one if the packet is held back. Without memory there is none. */
static void duplicate(struct direction *direction, const struct packet *packet)
{
    struct packet *copy = packet_new();
    if (!copy)
        return;
    *copy = *packet;
    copy->copy = true;
    send_off(&direction->line, &direction->last_deliver_ns, copy);
}

/* The packet has left the queue at its due_ns: it is lost or enters the delay line. */
static void depart(struct direction *direction, struct packet *packet)
{
    const struct step *step = playback_step(&direction->playback);
    int64_t delay_ns = direction->delay_ns;
    bool lost = loss_draw(&direction->loss);

    if (step) {
        delay_ns += step->delay_ns;
        if (step->loss > 0)
            lost |= rng_uniform(&direction->trace_loss_rng) < step->loss;
    }
    if (lost) {
        drop(direction, packet, RANDOM_LOSS);
        return;
    }
    delay_ns += wifi_delay_ns(&direction->wifi, packet->due_ns);
    if (direction->jitter_ns)
        delay_ns += (int64_t)(rng_uniform(&direction->jitter_rng) * (double)(direction->jitter_ns + 1));
    packet->deliver_at_ns = packet->due_ns + delay_ns;
    if (direction->reorder > 0 && rng_uniform(&direction->reorder_rng) < direction->reorder) {
        packet->deliver_at_ns += direction->reorder_ns;
        send_off(&direction->late, &direction->last_late_ns, packet);
    } else {
        send_off(&direction->line, &direction->last_deliver_ns, packet);
    }
    if (direction->duplicate > 0 && rng_uniform(&direction->duplicate_rng) < direction->duplicate)
        duplicate(direction, packet);
}

static int64_t ready_ns(struct direction *direction)
{
    int64_t since_ns = direction->queue.since_ns;
    return playback_ready(&direction->playback, since_ns > direction->free_ns ? since_ns : direction->free_ns);
}

void direction_advance(struct direction *direction, int64_t now_ns)
{
    for (;;) {
        if (!direction->sending) {
            if (!direction->queue.bytes)
                break;
            int64_t start_ns = ready_ns(direction);
            if (start_ns > now_ns)
                break;
            struct fifo dropped = {0};
            struct packet *packet = queue_take(&direction->queue, start_ns, &dropped);
            drop_all(direction, &dropped, AQM_DROP);
            if (!packet)
                break;
            packet->due_ns = playback_carry(&direction->playback, start_ns, packet->size_bytes);
            direction->sending = packet;
        }
        if (direction->sending->due_ns > now_ns)
            break;
        struct packet *packet = direction->sending;
        direction->sending = NULL;
        direction->free_ns = packet->due_ns;
        depart(direction, packet);
    }
    count_backlog(direction);
}

void direction_arrive(struct direction *direction, struct packet *packet, int64_t now_ns)
{
    direction_advance(direction, now_ns);
    packet->enqueue_ns = now_ns;
    packet->due_ns = NEVER;
    packet->marked = packet->copy = false;
    packet->queue_bytes = direction->queue.bytes + sending_bytes(direction);
    counter_add(&direction->counters->offered_packets, 1);
    counter_add(&direction->counters->offered_bytes, packet->size_bytes);
    if (!policer_admits(&direction->policer, packet->size_bytes, now_ns)) {
        drop(direction, packet, POLICED);
        return;
    }
    struct fifo displaced = {0};
    enum verdict verdict = queue_offer(&direction->queue, packet, sending_bytes(direction), &displaced);
    drop_all(direction, &displaced, TAIL_DROP);
    if (verdict == DELIVERED)
        direction_advance(direction, now_ns);
    else
        drop(direction, packet, verdict);
}

/* The line whose head is due first. */
static struct fifo *first_line(struct direction *direction)
{
    const struct packet *line = direction->line.head, *late = direction->late.head;
    return late && (!line || late->deliver_at_ns < line->deliver_at_ns) ? &direction->late : &direction->line;
}

struct packet *direction_due(struct direction *direction, int64_t now_ns)
{
    struct fifo *line = first_line(direction);
    if (!line->head || line->head->deliver_at_ns > now_ns)
        return NULL;
    return fifo_pop(line);
}

void direction_delivered(struct direction *direction, const struct packet *packet, int64_t now_ns)
{
    counter_add(&direction->counters->delivered_packets, 1);
    counter_add(&direction->counters->delivered_bytes, packet->size_bytes);
    /* All error of the timer is shown as late departure, so that deliver - dequeue is the delay asked for. */
    log_packet(packet, direction->id, packet->copy ? DUPLICATE : DELIVERED, now_ns - (packet->deliver_at_ns - packet->due_ns),
               now_ns);
}

int64_t direction_next_ns(struct direction *direction)
{
    int64_t late_ns = direction->late.head ? direction->late.head->deliver_at_ns : NEVER;
    int64_t next_ns = NEVER;
    /* The line is in order, so nothing that is still queued can be due before its head. */
    if (direction->line.head)
        next_ns = direction->line.head->deliver_at_ns;
    else if (direction->sending)
        next_ns = direction->sending->due_ns;
    else if (direction->queue.bytes)
        next_ns = ready_ns(direction);
    return late_ns < next_ns ? late_ns : next_ns;
}

static void log_left(struct direction *direction, struct packet *packet)
{
    log_packet(packet, direction->id, IN_QUEUE, packet == direction->sending || packet->due_ns == NEVER ? -1 : packet->due_ns, -1);
    packet_free(packet);
}

void direction_end(struct direction *direction)
{
    struct packet *packet;
    while ((packet = fifo_pop(first_line(direction))))
        log_left(direction, packet);
    if (direction->sending)
        log_left(direction, direction->sending);
    direction->sending = NULL;
    while ((packet = queue_empty(&direction->queue)))
        log_left(direction, packet);
}
