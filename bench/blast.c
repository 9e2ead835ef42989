/* A light UDP source and sink for bench/link.py.
 *
 * blast send ADDRESS PORT BYTES RATE_BPS START_NS STOP_NS   packets of BYTES (IP size) at a constant rate
 * blast receive PORT FILE STOP_NS                           logs {sequence, sent_ns, received_ns, bytes} as four int64
 *
 * Times are CLOCK_MONOTONIC; received_ns is the kernel's own stamp, so the receiver may read at leisure. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000LL
#define HEADERS 28 /* IPv4 and UDP */
#define BATCH 256

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void sleep_until(int64_t at_ns)
{
    const struct timespec at = {at_ns / NS_PER_S, at_ns % NS_PER_S};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

static int udp_socket(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int size = 64 << 20;
    if (fd < 0)
        err(1, "socket");
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    return fd;
}

static int send_packets(char **argv)
{
    static char data[65536];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    size_t bytes = strtoul(argv[2], NULL, 10);
    double gap_ns = (double)bytes * 8e9 / atof(argv[3]);
    int64_t start_ns = atoll(argv[4]), stop_ns = atoll(argv[5]), sequence = 0;
    int fd = udp_socket();

    if (inet_pton(AF_INET, argv[0], &to.sin_addr) != 1 || connect(fd, (struct sockaddr *)&to, sizeof to))
        err(1, "cannot send to %s", argv[0]);
    for (;; sequence++) {
        int64_t at_ns = start_ns + (int64_t)((double)sequence * gap_ns);
        if (at_ns >= stop_ns)
            break;
        if (at_ns > clock_ns(CLOCK_MONOTONIC))
            sleep_until(at_ns);
        int64_t stamp[2] = {sequence, clock_ns(CLOCK_MONOTONIC)};
        memcpy(data, stamp, sizeof stamp);
        while (send(fd, data, bytes - HEADERS, 0) < 0)
            if (errno != ENOBUFS && errno != ECONNREFUSED)
                err(1, "send");
    }
    printf("%lld\n", (long long)sequence);
    return 0;
}

static int64_t kernel_stamp(struct msghdr *message)
{
    struct timespec stamp = {0};
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part))
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_TIMESTAMPNS)
            memcpy(&stamp, CMSG_DATA(part), sizeof stamp);
    return stamp.tv_sec * NS_PER_S + stamp.tv_nsec;
}

static int receive_packets(char **argv)
{
    static char data[BATCH][2048], control[BATCH][64];
    static struct mmsghdr messages[BATCH];
    static struct iovec vectors[BATCH];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[0]))};
    int64_t stop_ns = atoll(argv[2]);
    FILE *log = fopen(argv[1], "wb");
    int fd = udp_socket(), on = 1;

    if (!log || bind(fd, (struct sockaddr *)&at, sizeof at))
        err(1, "cannot receive");
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    puts("ready");
    fflush(stdout);
    while (clock_ns(CLOCK_MONOTONIC) < stop_ns) {
        sleep_until(clock_ns(CLOCK_MONOTONIC) + 10000000);
        int got;
        do {
            for (int i = 0; i < BATCH; i++) {
                vectors[i] = (struct iovec){data[i], sizeof data[i]};
                messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1,
                    .msg_control = control[i], .msg_controllen = sizeof control[i]};
            }
            got = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
            int64_t offset_ns = clock_ns(CLOCK_MONOTONIC) - clock_ns(CLOCK_REALTIME);
            for (int i = 0; i < got; i++) {
                int64_t record[4] = {0, 0, kernel_stamp(&messages[i].msg_hdr) + offset_ns, messages[i].msg_len + HEADERS};
                memcpy(record, data[i], 2 * sizeof *record);
                fwrite(record, sizeof record, 1, log);
            }
        } while (got == BATCH);
    }
    return fclose(log) ? 1 : 0;
}

int main(int argc, char **argv)
{
    prctl(PR_SET_TIMERSLACK, 1UL);
    prctl(PR_SET_PDEATHSIG, 9);
    if (argc == 8 && strcmp(argv[1], "send") == 0)
        return send_packets(argv + 2);
    if (argc == 5 && strcmp(argv[1], "receive") == 0)
        return receive_packets(argv + 2);
    errx(2, "usage: blast send ADDRESS PORT BYTES RATE_BPS START_NS STOP_NS | receive PORT FILE STOP_NS");
}
