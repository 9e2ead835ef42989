#include "spec.h"

#include <err.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *file_name;
static FILE *file;
static unsigned line_number;
static char line[4352]; /* a path may have 4096 characters */
static char *rest;      /* of the line */

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
    char message[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    errx(1, "%s:%u: %s", file_name, line_number, message);
}

static void read_line(void)
{
    line_number++;
    if (!fgets(line, sizeof line, file))
        fail("the file ends too early");
    size_t length = strlen(line);
    if (!length || line[length - 1] != '\n')
        fail("the line is cut off");
    line[length - 1] = 0;
    rest = line;
}

static char *word(void)
{
    char *found = strsep(&rest, " ");
    if (!found || !*found)
        fail("a value is missing");
    return found;
}

static void end_of_line(void)
{
    if (rest)
        fail("unexpected '%s'", rest);
}

static void expect(const char *key)
{
    read_line();
    const char *found = word();
    if (strcmp(found, key) != 0)
        fail("'%s' instead of '%s'", found, key);
}

static int64_t integer(int64_t low, int64_t high)
{
    char *text = word(), *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || *end || value < low || value > high)
        fail("'%s' is not an integer from %lld to %lld", text, (long long)low, (long long)high);
    return value;
}

static double number(double low, double high)
{
    char *text = word(), *end;
    double value = strtod(text, &end);
    if (*end || !isfinite(value) || value < low || value > high)
        fail("'%s' is not a number from %g to %g", text, low, high);
    return value;
}

#define MAX_TIME_NS (INT64_MAX / 4) /* sums of times stay in range */
#define MAX_RATE_BPS 1e12

static void *array(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        fail("no memory for %zu entries", count);
    return memory;
}

static void read_steps(struct playback *playback)
{
    playback->steps = array(playback->count, sizeof *playback->steps);
    for (size_t i = 0; i < playback->count; i++) {
        struct step *step = &playback->steps[i];
        read_line();
        step->start_ns = integer(i ? playback->steps[i - 1].start_ns + 1 : 0, i ? MAX_TIME_NS : 0);
        step->rate_bps = number(0, MAX_RATE_BPS);
        step->delay_ns = integer(0, MAX_TIME_NS);
        step->loss = number(0, 1);
        end_of_line();
    }
    if (playback->period_ns && playback->period_ns <= playback->steps[playback->count - 1].start_ns)
        fail("the period ends before the last step");
    playback->before_bps = playback->steps[0].rate_bps;
}

static void read_opportunities(struct playback *playback)
{
    playback->opportunities = array(playback->count, sizeof *playback->opportunities);
    int64_t total_bytes = 0;
    for (size_t i = 0; i < playback->count; i++) {
        struct opportunity *opportunity = &playback->opportunities[i];
        read_line();
        opportunity->at_ns = integer(i ? playback->opportunities[i - 1].at_ns : 0, MAX_TIME_NS);
        opportunity->bytes = integer(0, INT64_C(1) << 40);
        total_bytes += opportunity->bytes;
        end_of_line();
    }
    if (!total_bytes) /* would be looked for in vain, round after round */
        fail("the trace carries nothing");
    if (playback->period_ns && playback->period_ns < playback->opportunities[playback->count - 1].at_ns)
        fail("the period ends before the last opportunity");
}

static void read_capacity(struct playback *playback)
{
    expect("capacity");
    const char *form = word();
    if (strcmp(form, "unlimited") == 0) {
        playback->form = UNLIMITED;
        end_of_line();
        return;
    }
    playback->count = (size_t)integer(1, 100000000);
    playback->period_ns = integer(0, MAX_TIME_NS);
    if (strcmp(form, "steps") == 0) {
        playback->form = STEPS;
        end_of_line();
        read_steps(playback);
    } else if (strcmp(form, "opportunities") == 0) {
        playback->form = OPPORTUNITIES;
        playback->before_bps = number(0, MAX_RATE_BPS);
        end_of_line();
        read_opportunities(playback);
    } else {
        fail("unknown capacity '%s'", form);
    }
}

static void read_codel(struct queue *queue, struct codel *codel)
{
    codel->target_ns = integer(1, MAX_TIME_NS);
    codel->interval_ns = integer(1, MAX_TIME_NS);
    queue->ecn = integer(0, 1);
}

static void read_fq_codel(struct queue *queue)
{
    struct codel codel = {0};
    read_codel(queue, &codel);
    queue->fq.count = (uint32_t)integer(1, 65536);
    queue->fq.quantum_bytes = (int32_t)integer(1, 1 << 20);
    queue->fq.flows = array(queue->fq.count, sizeof *queue->fq.flows);
    for (uint32_t i = 0; i < queue->fq.count; i++)
        queue->fq.flows[i].codel = codel;
}

static void read_pie(struct queue *queue)
{
    queue->pie.target_ns = integer(1, MAX_TIME_NS);
    queue->pie.tupdate_ns = integer(1000, MAX_TIME_NS);
    queue->pie.alpha = number(0, 1e6);
    queue->pie.beta = number(0, 1e6);
    queue->ecn = integer(0, 1);
    pie_init(&queue->pie);
}

static void read_dualpi2(struct queue *queue)
{
    queue->dual.target_ns = integer(1, MAX_TIME_NS);
    queue->dual.tupdate_ns = integer(1000, MAX_TIME_NS);
    queue->dual.alpha = number(0, 1e6);
    queue->dual.beta = number(0, 1e6);
    queue->ecn = integer(0, 1);
    queue->dual.coupling = (double)integer(1, 255);
    queue->dual.step_ns = integer(1, MAX_TIME_NS);
    queue->dual.classic_share = (uint32_t)integer(0, 100);
}

static void read_queue(struct queue *queue)
{
    static const char *const names[] = {
        [DROPTAIL] = "droptail", [CODEL] = "codel", [FQ_CODEL] = "fq_codel", [PIE] = "pie", [DUALPI2] = "dualpi2"};
    expect("queue");
    const char *kind = word();
    queue->limit_bytes = (uint32_t)integer(PACKET_MAX_BYTES - 36, UINT32_MAX);
    queue->discipline = DROPTAIL;
    while (strcmp(kind, names[queue->discipline]) != 0)
        if (queue->discipline++ == DUALPI2)
            fail("unknown queue '%s'", kind);
    if (queue->discipline == CODEL)
        read_codel(queue, &queue->codel);
    else if (queue->discipline == FQ_CODEL)
        read_fq_codel(queue);
    else if (queue->discipline == PIE)
        read_pie(queue);
    else if (queue->discipline == DUALPI2)
        read_dualpi2(queue);
    end_of_line();
}

static void read_direction(struct direction *direction)
{
    expect("direction");
    end_of_line();
    read_queue(&direction->queue);
    expect("policer");
    direction->policer.rate_bps = number(0, MAX_RATE_BPS);
    direction->policer.burst_bytes = number(0, 1e12);
    end_of_line();
    expect("wifi");
    direction->wifi.average_ns = integer(0, NS_PER_S);
    end_of_line();
    expect("delay");
    direction->delay_ns = integer(0, MAX_TIME_NS);
    end_of_line();
    expect("jitter");
    direction->jitter_ns = integer(0, MAX_TIME_NS);
    end_of_line();
    expect("loss");
    direction->loss.p_good_bad = number(0, 1);
    direction->loss.p_bad_good = number(0, 1);
    direction->loss.loss_good = number(0, 1);
    direction->loss.loss_bad = number(0, 1);
    end_of_line();
    expect("reorder");
    direction->reorder = number(0, 1);
    direction->reorder_ns = integer(0, MAX_TIME_NS);
    end_of_line();
    expect("duplicate");
    direction->duplicate = number(0, 1);
    end_of_line();
    expect("seed");
    uint64_t seed = (uint64_t)integer(INT64_MIN, INT64_MAX);
    end_of_line();
    read_capacity(&direction->playback);
    direction_init(direction, seed);
}

void spec_read(struct spec *spec, const char *path)
{
    file_name = path;
    file = fopen(path, "re");
    if (!file)
        err(1, "cannot read %s", path);
    expect("tbtest-relay");
    integer(1, 1);
    end_of_line();
    expect("log");
    if (!rest || !*rest)
        fail("a value is missing");
    spec->log_path = strdup(rest); /* may contain spaces */
    for (unsigned id = 0; id < 2; id++) {
        spec->direction[id].id = id;
        read_direction(&spec->direction[id]);
    }
    expect("end");
    fclose(file);
}
