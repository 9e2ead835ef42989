/* tbtest-relay SPEC FD_A FD_B FD_COUNTERS
 *
 * Carries packets between two TUN devices as the specification says. FD_A and FD_B are the devices, FD_COUNTERS the page
 * of live counters, all inherited. Prints "ready", then obeys lines on its standard input: "start NANOSECONDS" sets the
 * traces' time zero. Ends on SIGTERM, SIGINT or the end of its input. TBTEST_VIRTUAL_TIME in the environment says that
 * computing takes no time here. Where FD_A and FD_B are ends of a link in the kernel (kernel/requests.h), it carries the
 * packets, and this program only its commands and its log. */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kernel/client.h"
#include "log.h"
#include "spec.h"

#define READ_BATCH 64 /* packets of one direction before the other one's turn */

static struct spec spec;
static struct counters *counters;
static struct pollfd polled[3]; /* the two devices and standard input */
static volatile sig_atomic_t ended;
static bool in_kernel;
int64_t clock_still_ns = NEVER;

static void on_signal(int signal)
{
    (void)signal;
    ended = 1;
}

static int descriptor(const char *text)
{
    char *rest;
    long fd = strtol(text, &rest, 10);
    if (*rest || fd < 0 || fd > 65535)
        errx(1, "'%s' is not a file descriptor", text);
    if (fcntl((int)fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
        err(1, "file descriptor %ld", fd);
    return (int)fd;
}

/* Timely wake-ups need all three; each may be refused without harm to correctness. */
static void ask_for_timeliness(void)
{
    const struct sched_param priority = {.sched_priority = 1};
    prctl(PR_SET_TIMERSLACK, 1UL);
    mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
    if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &priority) == 0)
        counter_set(&counters->scheduling, REAL_TIME);
}

/* Only blocked outside ppoll, so that no signal is missed between looking at `ended` and sleeping. */
static sigset_t catch_signals(void)
{
    const struct sigaction action = {.sa_handler = on_signal};
    sigset_t ending, before;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    sigprocmask(SIG_BLOCK, &ending, &before);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigdelset(&before, SIGTERM);
    sigdelset(&before, SIGINT);
    return before;
}

static void obey(void)
{
    static char command[64];
    static size_t length;
    ssize_t got = read(polled[2].fd, command + length, sizeof command - 1 - length);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        ended = 1;
        return;
    }
    length += (size_t)got;
    command[length] = 0;
    if (!strchr(command, '\n')) {
        if (length == sizeof command - 1)
            errx(1, "a command is too long");
        return;
    }
    long long zero_ns;
    if (sscanf(command, "start %lld\n", &zero_ns) != 1 || zero_ns < 0)
        errx(1, "unknown command '%s'", command);
    length = 0;
    for (int id = 0; id < 2; id++)
        spec.direction[id].playback.zero_ns = zero_ns;
    if (in_kernel)
        client_start(polled[0].fd, zero_ns);
}

/* Reads what has arrived at one end. */
static void receive(struct direction *direction, int fd)
{
    for (int i = 0; i < READ_BATCH; i++) {
        static uint8_t nowhere[PACKET_MAX_BYTES];
        struct packet *packet = packet_new();
        ssize_t size = read(fd, packet ? packet->data : nowhere, PACKET_MAX_BYTES);
        if (size > 0 && packet) {
            packet->size_bytes = (uint32_t)size;
            direction_arrive(direction, packet, clock_ns());
            continue;
        }
        if (packet)
            packet_free(packet);
        if (size > 0) {
            counter_add(&counters->refused, 1);
            continue;
        }
        if (size < 0 && errno != EAGAIN && errno != EINTR)
            err(1, "cannot read from the interface");
        return;
    }
}

/* Hands over what is due at the other end. */
static void deliver(struct direction *direction, int fd)
{
    struct packet *packet;
    int64_t now_ns = clock_ns();
    direction_advance(direction, now_ns);
    while ((packet = direction_due(direction, now_ns))) {
        if (write(fd, packet->data, packet->size_bytes) < 0)
            counter_add(&counters->write_errors, 1);
        direction_delivered(direction, packet, now_ns);
        packet_free(packet);
        now_ns = clock_ns();
    }
}

static void wait_until(const struct timespec *timeout, const sigset_t *signals)
{
    if (ppoll(polled, 3, timeout, signals) < 0) {
        if (errno != EINTR)
            err(1, "ppoll");
        for (int i = 0; i < 3; i++)
            polled[i].revents = 0;
    }
    clock_goes_on();
}

static void wait_for_work(const sigset_t *signals)
{
    int64_t next_ns = direction_next_ns(&spec.direction[0]);
    int64_t other_ns = direction_next_ns(&spec.direction[1]);
    int64_t wait_ns = (other_ns < next_ns ? other_ns : next_ns) - clock_ns();
    if (wait_ns > NS_PER_S) /* looks at the log's health now and then */
        wait_ns = NS_PER_S;
    if (wait_ns < 0)
        wait_ns = 0;
    const struct timespec timeout = {.tv_sec = wait_ns / NS_PER_S, .tv_nsec = wait_ns % NS_PER_S};
    wait_until(&timeout, signals);
}

static void relay(const sigset_t *signals)
{
    while (!ended && !log_error()) {
        for (int end = 0; end < 2; end++) {
            if (polled[end].revents)
                receive(&spec.direction[end], polled[end].fd);
            deliver(&spec.direction[end], polled[1 - end].fd);
        }
        if (polled[2].revents)
            obey();
        wait_for_work(signals);
    }
}

static void watch_kernel(const sigset_t *signals)
{
    while (!ended) {
        if (polled[0].revents)
            client_log(polled[0].fd);
        if (polled[2].revents)
            obey();
        wait_until(NULL, signals);
    }
}

static void count_cpu(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    counter_set(&counters->cpu_ns, (uint64_t)((usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NS_PER_S +
                                              (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000));
}

static void finish(void)
{
    for (int id = 0; id < 2; id++)
        direction_end(&spec.direction[id]);
    int error = log_close();
    count_cpu();
    counter_set(&counters->lost_records, log_lost());
    if (error) {
        errno = error;
        err(1, "cannot write the packet log %s", spec.log_path);
    }
}

static void say_ready(void)
{
    puts("ready");
    fflush(stdout);
}

static void serve_here(void)
{
    for (int id = 0; id < 2; id++)
        spec.direction[id].counters = &counters->direction[id];
    sigset_t signals = catch_signals();
    log_open(spec.log_path);
    ask_for_timeliness();
    packet_prepare();
    say_ready();
    relay(&signals);
    finish();
}

static void serve_in_kernel(void)
{
    sigset_t signals = catch_signals();
    counter_set(&counters->scheduling, IN_KERNEL);
    client_connect(&spec, polled[0].fd, polled[1].fd, counters);
    polled[1].fd = -1; /* only the first end has news */
    say_ready();
    watch_kernel(&signals);
    client_end(polled[0].fd);
    count_cpu();
}

int main(int argc, char **argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (argc != 5)
        errx(2, "usage: tbtest-relay SPEC FD_A FD_B FD_COUNTERS");
    clock_still_ns = getenv("TBTEST_VIRTUAL_TIME") ? 0 : NEVER;
    spec_read(&spec, argv[1]);
    for (int end = 0; end < 2; end++)
        polled[end] = (struct pollfd){.fd = descriptor(argv[2 + end]), .events = POLLIN};
    polled[2] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    counters = mmap(NULL, sizeof *counters, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor(argv[4]), 0);
    if (counters == MAP_FAILED)
        err(1, "cannot map the counters");
    in_kernel = client_serves(polled[0].fd);
    if (in_kernel)
        serve_in_kernel();
    else
        serve_here();
    return 0;
}
