#include "log.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define RING_RECORDS (1u << 17) /* 7 MiB: seconds of a slow disk */

static struct record ring[RING_RECORDS];
static _Atomic uint64_t produced, consumed;
static _Atomic int write_errno;
static _Atomic bool closing;
static uint64_t lost;
static pthread_t writer;
static int fd;

static bool write_all(const char *data, size_t size)
{
    while (size) {
        ssize_t written = write(fd, data, size);
        if (written < 0) {
            if (errno == EINTR)
                continue;
            atomic_store(&write_errno, errno);
            return false;
        }
        data += written;
        size -= (size_t)written;
    }
    return true;
}

static bool drain(void)
{
    uint64_t end = atomic_load_explicit(&produced, memory_order_acquire);
    uint64_t at = atomic_load_explicit(&consumed, memory_order_relaxed);
    while (at < end) {
        uint64_t first = at % RING_RECORDS;
        uint64_t count = end - at < RING_RECORDS - first ? end - at : RING_RECORDS - first;
        if (!write_all((const char *)&ring[first], count * sizeof *ring))
            return false;
        at += count;
        atomic_store_explicit(&consumed, at, memory_order_release);
    }
    return true;
}

static void *write_log(void *unused)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    (void)unused;
    for (;;) {
        bool last = atomic_load(&closing);
        if (!drain() || last)
            return NULL;
        nanosleep(&pause, NULL);
    }
}

void log_open(const char *path)
{
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        err(1, "cannot create the packet log %s", path);
    memset(ring, 1, sizeof ring); /* its memory is there before packets are */
    errno = pthread_create(&writer, NULL, write_log, NULL);
    if (errno)
        err(1, "cannot start the log's thread");
}

void log_packet(const struct packet *packet, unsigned direction, enum verdict verdict, int64_t dequeue_ns, int64_t deliver_ns)
{
    uint64_t at = atomic_load_explicit(&produced, memory_order_relaxed);
    if (at - atomic_load_explicit(&consumed, memory_order_acquire) == RING_RECORDS) {
        lost++;
        return;
    }
    ring[at % RING_RECORDS] = log_record(packet, direction, verdict, dequeue_ns, deliver_ns);
    atomic_store_explicit(&produced, at + 1, memory_order_release);
}

int log_error(void)
{
    return atomic_load(&write_errno);
}

uint64_t log_lost(void)
{
    return lost;
}

int log_close(void)
{
    atomic_store(&closing, true);
    pthread_join(writer, NULL);
    if (close(fd) < 0 && !log_error())
        atomic_store(&write_errno, errno);
    return log_error();
}
