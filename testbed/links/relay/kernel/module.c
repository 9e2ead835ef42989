// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The relay as a device of a kernel in virtual time, where a system call costs more than all that the relay does with a packet.
 * It takes the place of the loop in main.c, and nothing else's: what is asked of it is in requests.h. */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "carry.h"
#include "link.h"
#include "requests.h"

#define MAX_SETTINGS_BYTES (1UL << 32)

static DEFINE_MUTEX(changes); /* of which ends are whose */

void *host_memory(unsigned long bytes)
{
    if (in_atomic() || irqs_disabled())
        return kzalloc(bytes, GFP_ATOMIC | __GFP_NOWARN);
    return kvzalloc(bytes, GFP_KERNEL);
}

void host_free(void *memory)
{
    kvfree(memory);
}

/* The name by which the relay's own C asks for memory. */
void *calloc(unsigned long count, unsigned long bytes);
void *calloc(unsigned long count, unsigned long bytes)
{
    return host_memory(count * bytes);
}

static long attach(struct end *end, const char __user *from)
{
    char name[IFNAMSIZ];

    if (end->device)
        return -EBUSY;
    if (copy_from_user(name, from, sizeof name))
        return -EFAULT;
    name[sizeof name - 1] = 0;
    return end_open(end, name);
}

static void relay_free(struct relay *relay)
{
    if (relay->link)
        link_free(relay->link);
    if (relay->counters)
        unpin_user_page(relay->counters);
    kvfree(relay->settings);
    kfree(relay);
}

static const struct file_operations device_operations;

/* The settings and the page of counters, from the program. */
static long take_over(struct relay *relay, const struct relay_connection *asked)
{
    if (asked->settings_bytes > MAX_SETTINGS_BYTES)
        return -EINVAL;
    relay->settings = kvmalloc(asked->settings_bytes, GFP_KERNEL);
    if (!relay->settings)
        return -ENOMEM;
    if (copy_from_user(relay->settings, u64_to_user_ptr(asked->settings), asked->settings_bytes))
        return -EFAULT;
    if (pin_user_pages_fast(asked->counters, 1, FOLL_WRITE | FOLL_LONGTERM, &relay->counters) != 1) {
        relay->counters = NULL;
        return -EFAULT;
    }
    relay->link = link_new(relay->settings, asked->settings_bytes, page_address(relay->counters));
    return relay->link ? 0 : -EINVAL;
}

static long connect_ends(struct end *first, struct end *second, const struct relay_connection *asked)
{
    struct relay *relay;
    long error;

    if (!second || first == second || !first->device || !second->device)
        return -EINVAL;
    if (first->relay || second->relay)
        return -EBUSY;
    relay = kzalloc(sizeof *relay, GFP_KERNEL);
    if (!relay)
        return -ENOMEM;
    error = take_over(relay, asked);
    if (error) {
        relay_free(relay);
        return error;
    }
    relay_open(relay, first, second);
    return 0;
}

static long start(struct relay *relay, const __s64 __user *from)
{
    __s64 zero_ns;
    if (copy_from_user(&zero_ns, from, sizeof zero_ns))
        return -EFAULT;
    relay_start(relay, zero_ns);
    return 0;
}

static struct end *end_of(struct file *file)
{
    return file && file->f_op == &device_operations ? file->private_data : NULL;
}

static long connect_to(struct end *end, const void __user *from)
{
    struct relay_connection asked;
    struct file *other;
    long error;

    if (copy_from_user(&asked, from, sizeof asked))
        return -EFAULT;
    other = fget(asked.other_fd);
    if (!other)
        return -EBADF;
    error = connect_ends(end, end_of(other), &asked);
    fput(other);
    return error;
}

static long device_request(struct file *file, unsigned int request, unsigned long argument)
{
    struct end *end = file->private_data;
    void __user *at = (void __user *)argument;
    long answer = -ENOTTY;

    mutex_lock(&changes);
    if (request == RELAY_HERE)
        answer = 0;
    else if (request == RELAY_ATTACH)
        answer = attach(end, at);
    else if (request == RELAY_CONNECT)
        answer = connect_to(end, at);
    else if (!end->relay || end->number)
        answer = -EINVAL;
    else if (request == RELAY_START)
        answer = start(end->relay, at);
    else if (request == RELAY_END) {
        relay_end(end->relay);
        answer = 0;
    }
    mutex_unlock(&changes);
    return answer;
}

/* Records in the order in which they were made, as many as lie in one piece; none: there are no more now. Never waits. */
static ssize_t device_read(struct file *file, char __user *to, size_t size, loff_t *offset)
{
    struct end *end = file->private_data;
    unsigned long bytes = 0;
    const void *at;

    mutex_lock(&changes);
    if (end->relay && !end->number) {
        spin_lock_bh(&one_at_a_time);
        bytes = link_records(end->relay->link, &at);
        spin_unlock_bh(&one_at_a_time);
    }
    if (bytes > size)
        bytes = 0;
    if (bytes && copy_to_user(to, at, bytes)) {
        mutex_unlock(&changes);
        return -EFAULT;
    }
    if (bytes) {
        spin_lock_bh(&one_at_a_time);
        link_take_records(end->relay->link, bytes);
        spin_unlock_bh(&one_at_a_time);
    }
    mutex_unlock(&changes);
    return bytes;
}

static __poll_t device_poll(struct file *file, struct poll_table_struct *table)
{
    struct end *end = file->private_data;
    struct relay *relay = end->number ? NULL : READ_ONCE(end->relay);
    if (!relay)
        return 0;
    poll_wait(file, &relay->readers, table);
    return relay->ended || link_has_records(relay->link) ? EPOLLIN | EPOLLRDNORM : 0;
}

static int device_open(struct inode *inode, struct file *file)
{
    file->private_data = kzalloc(sizeof(struct end), GFP_KERNEL);
    return file->private_data ? 0 : -ENOMEM;
}

static int device_release(struct inode *inode, struct file *file)
{
    struct end *end = file->private_data;
    struct relay *relay;

    mutex_lock(&changes);
    relay = end->relay;
    if (relay && relay_forget(relay, end))
        relay_free(relay);
    mutex_unlock(&changes);
    end_close(end);
    kfree(end);
    return 0;
}

static const struct file_operations device_operations = {
    .owner = THIS_MODULE,
    .open = device_open,
    .release = device_release,
    .read = device_read,
    .poll = device_poll,
    .unlocked_ioctl = device_request,
};

static struct miscdevice device = {.minor = MISC_DYNAMIC_MINOR, .name = "tbtest-relay", .fops = &device_operations};

static int __init relay_load(void)
{
    link_prepare();
    return misc_register(&device);
}

module_init(relay_load);
MODULE_DESCRIPTION("The relay of tbtest");
MODULE_LICENSE("Dual MIT/GPL");
