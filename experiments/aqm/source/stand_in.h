/* In place of the kernel around its queue disciplines: types, a clock, random numbers, and packets that are a length and an item.
 * Statistics and the qdisc tree above are left out. */
#pragma once

#include <limits.h>
#include <stdlib.h>

#include "random.h"
#include "side.h"

typedef uint64_t u64;
typedef int64_t s64;
typedef uint32_t u32;
typedef int32_t s32;
typedef uint16_t u16;
typedef uint8_t u8;
typedef u64 psched_time_t;

static u64 clock_ns;
static struct rng random_state;

#define ktime_get_ns() (clock_ns)
#define psched_get_time() (clock_ns >> 6)
#define PSCHED_NS2TICKS(ns) ((ns) >> 6)
#define PSCHED_TICKS_PER_SEC PSCHED_NS2TICKS(NSEC_PER_SEC)
#define NSEC_PER_SEC 1000000000L
#define NSEC_PER_MSEC 1000000L
#define NSEC_PER_USEC 1000L
#define USEC_PER_MSEC 1000L
#define usecs_to_jiffies(us) (((us) + 3999) / 4000)
#define get_random_bytes(at, size) (*(at) = rng_next(&random_state))
#define get_random_u32() ((u32)(rng_next(&random_state) >> 32))

#define U32_MAX UINT32_MAX
#define U64_MAX UINT64_MAX
#define BITS_PER_BYTE 8
#define likely(x) (x)
#define unlikely(x) (x)
#define READ_ONCE(x) (x)
#define WRITE_ONCE(x, value) ((x) = (value))
#define EXPORT_SYMBOL_GPL(name)
#define typecheck(type, x) 1
#define clamp_t(type, x, low, high) ((type)(x) < (type)(low) ? (type)(low) : (type)(x) > (type)(high) ? (type)(high) : (type)(x))
#define min_t(type, a, b) ((type)(a) < (type)(b) ? (type)(a) : (type)(b))
#define max_t(type, a, b) ((type)(a) > (type)(b) ? (type)(a) : (type)(b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#define div_u64(a, b) ((u64)(a) / (b))
#define do_div(a, b) ((a) /= (b))
#define reciprocal_scale(value, of) ((u32)(((u64)(value) * (of)) >> 32))
#define container_of(at, type, member) ((type *)((char *)(at) - offsetof(type, member)))
#define __rcu

struct timer_list { int none; };
struct hrtimer { int none; };
struct tcf_proto;
struct tcf_block;
enum qdisc_drop_reason { QDISC_DROP_CONGESTED, QDISC_DROP_OVERLIMIT, QDISC_DROP_L4S_STEP_NON_ECN };
#define NET_XMIT_SUCCESS 0
#define NET_XMIT_DROP 1
#define NET_XMIT_CN 2
#define __NET_XMIT_BYPASS 4
#define INET_ECN_NOT_ECT NOT_ECT

struct sk_buff {
    struct sk_buff *next;
    u32 len, truesize;
    struct item *item;
    _Alignas(8) u8 private[64];
};

struct sk_buff_head {
    struct sk_buff *head, *tail;
    u32 qlen;
};

struct Qdisc {
    struct sk_buff_head q;
    struct { u32 backlog; } qstats;
    u32 limit;
    void *private;
};

struct control { u8 data[64]; };
#define qdisc_skb_cb(skb) ((struct control *)(skb)->private)
#define qdisc_cb_private_validate(skb, size) ((void)0)
#define qdisc_priv(qdisc) ((qdisc)->private)
#define qdisc_dev(qdisc) 0
#define psched_mtu(device) 1514U
#define qdisc_qlen(qdisc) ((qdisc)->q.qlen)
#define qdisc_qlen_inc(qdisc) ((qdisc)->q.qlen++)
#define qdisc_qlen_dec(qdisc) ((qdisc)->q.qlen--)
#define qdisc_qstats_backlog_inc(qdisc, skb) ((qdisc)->qstats.backlog += (skb)->len)
#define qdisc_qstats_backlog_dec(qdisc, skb) ((qdisc)->qstats.backlog -= (skb)->len)
#define qstats_backlog_sub(qdisc, bytes) ((qdisc)->qstats.backlog -= (bytes))
#define qdisc_qstats_drop(qdisc) ((void)0)
#define __qdisc_qstats_drop(qdisc, count) ((void)0)
#define qdisc_qstats_overlimit(qdisc) ((void)0)
#define qdisc_bstats_update(qdisc, skb) ((void)0)
#define qdisc_tree_reduce_backlog(qdisc, packets, bytes) ((void)0)
#define tcf_set_qdisc_drop_reason(skb, reason) ((void)0)
#define __qdisc_drop(skb, to_free) let_go(skb)
#define qdisc_dequeue_drop(qdisc, skb, reason) let_go(skb)
#define qdisc_drop_reason(skb, qdisc, to_free, reason) qdisc_drop(skb, qdisc, to_free)
#define __qdisc_dequeue_head(list) unlink_head(list)
#define qdisc_peek_head(qdisc) ((qdisc)->q.head)
#define skb_mark_not_on_list(skb) ((skb)->next = NULL)
#define is_skb_wmem(skb) false

static u32 qdisc_pkt_len(const struct sk_buff *skb)
{
    return skb->len;
}

static void let_go(struct sk_buff *skb)
{
    dropped(skb->item);
    free(skb);
}

static bool INET_ECN_set_ce(struct sk_buff *skb)
{
    if (skb->item->ecn == NOT_ECT)
        return false;
    skb->item->ecn = CE;
    return skb->item->marked = true;
}

static struct sk_buff *unlink_head(struct sk_buff_head *list)
{
    struct sk_buff *skb = list->head;
    if (skb) {
        list->head = skb->next;
        list->qlen--;
    }
    return skb;
}

static struct sk_buff *qdisc_dequeue_head(struct Qdisc *qdisc)
{
    struct sk_buff *skb = unlink_head(&qdisc->q);
    if (skb)
        qdisc_qstats_backlog_dec(qdisc, skb);
    return skb;
}

static int qdisc_enqueue_tail(struct sk_buff *skb, struct Qdisc *qdisc)
{
    skb->next = NULL;
    if (qdisc->q.head)
        qdisc->q.tail->next = skb;
    else
        qdisc->q.head = skb;
    qdisc->q.tail = skb;
    qdisc->q.qlen++;
    qdisc_qstats_backlog_inc(qdisc, skb);
    return NET_XMIT_SUCCESS;
}

static int qdisc_drop(struct sk_buff *skb, struct Qdisc *qdisc, struct sk_buff **to_free)
{
    (void)qdisc;
    (void)to_free;
    let_go(skb);
    return NET_XMIT_DROP;
}

/* Instead of a hash. */
static unsigned int fq_codel_classify(struct sk_buff *skb, struct Qdisc *qdisc, int *error)
{
    (void)qdisc;
    (void)error;
    return skb->item->flow + 1;
}

struct list_head {
    struct list_head *next, *prev;
};
#define list_first_entry(list, type, member) container_of((list)->next, type, member)

static void INIT_LIST_HEAD(struct list_head *list)
{
    list->next = list->prev = list;
}

static bool list_empty(const struct list_head *list)
{
    return list->next == list;
}

static void list_del_init(struct list_head *entry)
{
    entry->prev->next = entry->next;
    entry->next->prev = entry->prev;
    INIT_LIST_HEAD(entry);
}

static void list_add_tail(struct list_head *entry, struct list_head *list)
{
    entry->prev = list->prev;
    entry->next = list;
    list->prev->next = entry;
    list->prev = entry;
}

static void list_move_tail(struct list_head *entry, struct list_head *list)
{
    list_del_init(entry);
    list_add_tail(entry, list);
}
