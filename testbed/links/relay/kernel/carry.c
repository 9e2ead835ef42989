// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Packets: from an interface's transmit function to the relay's own C, from its timer to the other interface. */
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/netdevice.h>
#include <linux/nsproxy.h>
#include <linux/skbuff.h>
#include <linux/version.h>
#include <net/net_namespace.h>

#include "carry.h"
#include "link.h"

DEFINE_SPINLOCK(one_at_a_time);

static void set_timer(struct relay *relay)
{
    long long next_ns = link_next_ns(relay->link);
    if (next_ns == LLONG_MAX)
        hrtimer_try_to_cancel(&relay->timer);
    else if (!hrtimer_is_queued(&relay->timer) || hrtimer_get_expires(&relay->timer) != ns_to_ktime(next_ns))
        hrtimer_start(&relay->timer, ns_to_ktime(next_ns), HRTIMER_MODE_ABS_SOFT);
}

/* A packet as the stack wants it from an interface without a link layer, of the memory that a TUN device gives it. */
static struct sk_buff *to_skb(struct packet *packet, unsigned bytes, struct net_device *device)
{
    struct sk_buff *skb = alloc_skb(NET_SKB_PAD + bytes, GFP_ATOMIC);
    if (!skb)
        return NULL;
    skb_reserve(skb, NET_SKB_PAD);
    skb_put_data(skb, link_data(packet), bytes);
    skb->dev = device;
    skb->protocol = skb->data[0] >> 4 == 6 ? htons(ETH_P_IPV6) : htons(ETH_P_IP);
    skb_reset_mac_header(skb);
    skb_reset_network_header(skb);
    return skb;
}

/* Takes the due packets of a direction out of the link. */
static void collect(struct relay *relay, unsigned direction, long long now_ns, struct sk_buff_head *due)
{
    struct end *to = relay->end[1 - direction];
    struct packet *packet;
    unsigned bytes;

    while ((packet = link_due(relay->link, direction, now_ns, &bytes))) {
        struct sk_buff *skb = to ? to_skb(packet, bytes, to->device) : NULL;
        if (skb)
            __skb_queue_tail(due, skb);
        else if (to)
            dev_core_stats_rx_dropped_inc(to->device);
        link_delivered(relay->link, direction, packet, now_ns);
    }
}

static enum hrtimer_restart on_timer(struct hrtimer *timer)
{
    struct relay *relay = container_of(timer, struct relay, timer);
    struct sk_buff_head due;
    struct sk_buff *skb;

    __skb_queue_head_init(&due);
    spin_lock_bh(&one_at_a_time);
    if (!relay->ended) {
        long long now_ns = ktime_get_ns();
        collect(relay, 0, now_ns, &due);
        collect(relay, 1, now_ns, &due);
        set_timer(relay);
        if (link_has_records(relay->link))
            wake_up_interruptible(&relay->readers);
    }
    spin_unlock_bh(&one_at_a_time);
    while ((skb = __skb_dequeue(&due))) {
        dev_sw_netstats_rx_add(skb->dev, skb->len);
        netif_rx(skb);
    }
    return HRTIMER_NORESTART;
}

static netdev_tx_t end_transmit(struct sk_buff *skb, struct net_device *device)
{
    struct end *end = *(struct end **)netdev_priv(device);
    struct packet *packet = NULL;
    struct relay *relay;

    spin_lock_bh(&one_at_a_time);
    relay = end->relay;
    if (relay && !relay->ended)
        packet = link_room(relay->link, skb->len);
    if (packet && !skb_copy_bits(skb, 0, link_data(packet), skb->len)) {
        dev_sw_netstats_tx_add(device, 1, skb->len);
        link_arrive(relay->link, end->number, packet, ktime_get_ns());
        set_timer(relay);
    } else if (!packet && !relay) {
        dev_core_stats_tx_dropped_inc(device);
    }
    spin_unlock_bh(&one_at_a_time);
    dev_consume_skb_any(skb);
    return NETDEV_TX_OK;
}

static const struct net_device_ops end_operations = {.ndo_start_xmit = end_transmit};

static void end_setup(struct net_device *device)
{
    device->netdev_ops = &end_operations;
    device->type = ARPHRD_NONE;
    device->flags = IFF_POINTOPOINT | IFF_NOARP | IFF_MULTICAST;
    device->mtu = ETH_DATA_LEN;
    device->min_mtu = ETH_MIN_MTU;
    device->max_mtu = ETH_DATA_LEN;
    device->tx_queue_len = 1000;
    device->pcpu_stat_type = NETDEV_PCPU_STAT_TSTATS;
    device->needs_free_netdev = true;
}

int end_open(struct end *end, const char *name)
{
    struct net_device *device;
    int error;

    device = alloc_netdev(sizeof(struct end *), name, NET_NAME_USER, end_setup);
    if (!device)
        return -ENOMEM;
    *(struct end **)netdev_priv(device) = end;
    dev_net_set(device, current->nsproxy->net_ns);
    error = register_netdev(device);
    if (error)
        free_netdev(device);
    else
        end->device = device;
    return error;
}

void end_close(struct end *end)
{
    if (end->device)
        unregister_netdev(end->device);
    end->device = NULL;
}

void relay_open(struct relay *relay, struct end *first, struct end *second)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
    hrtimer_setup(&relay->timer, on_timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_SOFT);
#else
    hrtimer_init(&relay->timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_SOFT);
    relay->timer.function = on_timer;
#endif
    init_waitqueue_head(&relay->readers);
    spin_lock_bh(&one_at_a_time);
    relay->end[0] = first;
    relay->end[1] = second;
    for (unsigned i = 0; i < 2; i++) {
        relay->end[i]->number = i;
        relay->end[i]->relay = relay;
    }
    spin_unlock_bh(&one_at_a_time);
}

void relay_start(struct relay *relay, long long zero_ns)
{
    spin_lock_bh(&one_at_a_time);
    link_start(relay->link, zero_ns);
    if (!relay->ended)
        set_timer(relay);
    spin_unlock_bh(&one_at_a_time);
}

void relay_end(struct relay *relay)
{
    spin_lock_bh(&one_at_a_time);
    if (!relay->ended)
        link_end(relay->link);
    relay->ended = true;
    spin_unlock_bh(&one_at_a_time);
    hrtimer_cancel(&relay->timer);
    wake_up_interruptible(&relay->readers);
}

bool relay_forget(struct relay *relay, struct end *end)
{
    relay_end(relay);
    spin_lock_bh(&one_at_a_time);
    relay->end[end->number] = NULL;
    end->relay = NULL;
    spin_unlock_bh(&one_at_a_time);
    return !relay->end[1 - end->number];
}
