/* SPDX-License-Identifier: GPL-2.0 */
/* The device: an agent's requests, and its memory as pages of the file. */
#pragma once

#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/uaccess.h>

#include "requests.h"

static DEFINE_MUTEX(changes); /* of the list, and of who holds what */
static LIST_HEAD(agents);

static struct agent *agent_named(const char *cc_name)
{
	struct agent *agent;

	list_for_each_entry(agent, &agents, others)
		if (!strncmp(agent->ops.name, cc_name, sizeof(agent->ops.name)))
			return agent;
	return NULL;
}

static bool plausible(const struct datapath_request *asked)
{
	return asked->slots && asked->slots <= MAX_SLOTS && asked->ring_bytes >= PAGE_SIZE &&
	       asked->ring_bytes <= MAX_RING_BYTES && is_power_of_2(asked->ring_bytes);
}

static struct agent *agent_new(const struct datapath_request *asked)
{
	struct agent *agent;
	int error;

	if (!plausible(asked))
		return ERR_PTR(-EINVAL);
	agent = kzalloc(sizeof(*agent), GFP_KERNEL);
	if (!agent)
		return ERR_PTR(-ENOMEM);
	agent->ops = callbacks;
	strscpy(agent->ops.name, asked->cc_name, sizeof(agent->ops.name));
	agent->memory = memory_new(asked->slots, asked->ring_bytes);
	error = agent->memory ? tcp_register_congestion_control(&agent->ops) : -ENOMEM;
	if (error) {
		if (agent->memory)
			memory_free(agent->memory);
		kfree(agent);
		return ERR_PTR(error);
	}
	list_add_tail(&agent->others, &agents);
	return agent;
}

static long take(struct file *file, struct datapath_request __user *from)
{
	struct datapath_request asked;
	struct agent *agent;

	if (file->private_data)
		return -EBUSY;
	if (copy_from_user(&asked, from, sizeof(asked)))
		return -EFAULT;
	agent = agent_named(asked.cc_name);
	if (agent && agent->holder)
		return -EBUSY;
	asked.adopted = agent != NULL;
	if (!agent)
		agent = agent_new(&asked);
	if (IS_ERR(agent))
		return PTR_ERR(agent);
	agent->holder = file;
	file->private_data = agent;
	asked.slots = agent->memory->slots;
	asked.ring_bytes = agent->memory->ring.bytes;
	return copy_to_user(from, &asked, sizeof(asked)) ? -EFAULT : 0;
}

static long let_in(struct memory *memory, const u64 __user *from)
{
	u64 cookie;
	long error;

	if (copy_from_user(&cookie, from, sizeof(cookie)))
		return -EFAULT;
	spin_lock_bh(&one_at_a_time);
	error = admit(memory, cookie);
	spin_unlock_bh(&one_at_a_time);
	return error;
}

static long free_slot(struct memory *memory, const u32 __user *from)
{
	u32 slot;
	long error;

	if (copy_from_user(&slot, from, sizeof(slot)))
		return -EFAULT;
	spin_lock_bh(&one_at_a_time);
	error = push_slot(memory, slot);
	spin_unlock_bh(&one_at_a_time);
	return error;
}

/* Sockets that still point at the controller go on under the kernel's algorithm. */
static long remove(struct file *file, const char __user *from)
{
	char cc_name[sizeof_field(struct datapath_request, cc_name)];
	struct memory *memory;
	struct agent *agent;

	if (copy_from_user(cc_name, from, sizeof(cc_name)))
		return -EFAULT;
	agent = agent_named(cc_name);
	if (!agent)
		return -ENOENT;
	if (agent->holder && agent->holder != file)
		return -EBUSY;
	tcp_unregister_congestion_control(&agent->ops);
	list_del(&agent->others);
	spin_lock_bh(&one_at_a_time);
	memory = agent->memory;
	agent->memory = &nobody;
	spin_unlock_bh(&one_at_a_time);
	if (agent->holder)
		agent->holder->private_data = NULL;
	memory_free(memory);
	return 0;
}

static long device_request(struct file *file, unsigned int request, unsigned long argument)
{
	void __user *at = (void __user *)argument;
	struct agent *agent;
	long answer;

	mutex_lock(&changes);
	agent = file->private_data;
	if (request == DATAPATH_TAKE)
		answer = take(file, at);
	else if (request == DATAPATH_REMOVE)
		answer = remove(file, at);
	else if (!agent)
		answer = -EINVAL;
	else if (request == DATAPATH_ADMIT)
		answer = let_in(agent->memory, at);
	else if (request == DATAPATH_FREE_SLOT)
		answer = free_slot(agent->memory, at);
	else
		answer = -ENOTTY;
	mutex_unlock(&changes);
	return answer;
}

static int map_pages(const struct memory *memory, struct vm_area_struct *vma)
{
	unsigned long page = vma->vm_pgoff, pages = vma_pages(vma), at = vma->vm_start;
	unsigned long twice = 2 + memory->ring_pages; /* from here on the file shows the ring's data again */
	int error = 0;

	if (page + pages < page || page + pages > memory->mapped_pages + memory->ring_pages)
		return -EINVAL;
	for (; pages && !error; pages--, page++, at += PAGE_SIZE) {
		u8 *from = memory->mapped + ((page < twice ? page : page - memory->ring_pages) << PAGE_SHIFT);

		error = vm_insert_page(vma, at, vmalloc_to_page(from));
	}
	return error;
}

static int device_mmap(struct file *file, struct vm_area_struct *vma)
{
	const struct agent *agent;
	int error;

	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	mutex_lock(&changes);
	agent = file->private_data;
	error = agent ? map_pages(agent->memory, vma) : -EINVAL;
	mutex_unlock(&changes);
	return error;
}

static __poll_t device_poll(struct file *file, struct poll_table_struct *table)
{
	struct agent *agent = READ_ONCE(file->private_data);

	if (!agent)
		return EPOLLERR;
	poll_wait(file, &agent->memory->ring.readers, table);
	return ring_available(&agent->memory->ring) ? EPOLLIN | EPOLLRDNORM : 0;
}

/* A dead agent's controller stays: its flows live on, and another agent may take them over. */
static int device_release(struct inode *inode, struct file *file)
{
	struct agent *agent;

	mutex_lock(&changes);
	agent = file->private_data;
	if (agent)
		agent->holder = NULL;
	mutex_unlock(&changes);
	return 0;
}

static int device_open(struct inode *inode, struct file *file)
{
	file->private_data = NULL; /* not the device, which misc_open() puts there */
	return 0;
}

static const struct file_operations device_operations = {
	.owner = THIS_MODULE,
	.open = device_open,
	.release = device_release,
	.mmap = device_mmap,
	.poll = device_poll,
	.unlocked_ioctl = device_request,
};
