#include "client.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../log.h"
#include "requests.h"
#include "settings.h"

static const char *log_path;
static int log_fd;

bool client_serves(int fd)
{
    return ioctl(fd, RELAY_HERE) == 0;
}

void client_connect(struct spec *spec, int first_fd, int second_fd, struct counters *counters)
{
    size_t bytes = settings_bytes(spec->direction);
    struct settings *settings = malloc(bytes);
    if (!settings)
        errx(1, "no memory for the link's settings");
    settings_pack(settings, spec->direction);
    log_path = spec->log_path;
    log_fd = open(log_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (log_fd < 0)
        err(1, "cannot create the packet log %s", log_path);
    const struct relay_connection asked = {
        .settings = (uintptr_t)settings,
        .settings_bytes = bytes,
        .counters = (uintptr_t)counters,
        .other_fd = second_fd,
    };
    if (ioctl(first_fd, RELAY_CONNECT, &asked) < 0)
        err(1, "the kernel does not take the link");
    free(settings);
}

void client_start(int first_fd, int64_t zero_ns)
{
    const __s64 at_ns = zero_ns;
    if (ioctl(first_fd, RELAY_START, &at_ns) < 0)
        err(1, "the kernel does not start the link");
}

void client_log(int first_fd)
{
    static struct record records[1 << 15]; /* as many as the kernel keeps */
    ssize_t got;
    while ((got = read(first_fd, records, sizeof records)) > 0)
        for (const char *at = (const char *)records; got > 0;) {
            ssize_t written = write(log_fd, at, (size_t)got);
            if (written < 0 && errno != EINTR)
                err(1, "cannot write the packet log %s", log_path);
            at += written > 0 ? written : 0;
            got -= written > 0 ? written : 0;
        }
    if (got < 0)
        err(1, "cannot read the kernel's packet log");
}

void client_end(int first_fd)
{
    if (ioctl(first_fd, RELAY_END) < 0)
        err(1, "the kernel does not end the link");
    client_log(first_fd);
    if (close(log_fd) < 0)
        err(1, "cannot write the packet log %s", log_path);
}
