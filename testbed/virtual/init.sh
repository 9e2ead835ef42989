#!/bin/sh
# Process 1 of a guest. Its root is the host's, read-only. The kernel's working directory on the host holds the folders
# that the guest may write to.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export LIBMOUNT_FORCE_MOUNT2=always # a folder is no option that a newer mount(8) would take
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 run /run
mkdir -m 1777 /run/tmp
mkdir /run/job /run/results /run/cache
mount -t hostfs -o /proc/self/cwd/job job /run/job
mount -t hostfs -o /proc/self/cwd/results results /run/results
mount -t hostfs -o /proc/self/cwd/kept kept /run/cache
mount -t devtmpfs dev /dev
mkdir -p /dev/net /dev/pts /dev/shm
[ -c /dev/net/tun ] || mknod /dev/net/tun c 10 200
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
ip link set lo up
. /run/job/start
