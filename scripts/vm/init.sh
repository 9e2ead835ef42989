#!/bin/busybox sh
# The guest's first program: the host's files below, read-only, a tmpfs above them, and guest.py in it.
# From the kernel's command line: share (9p or hostfs) and, for hostfs, the folders host, tools, modules and job.
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done </modules/order

mount_shared() { # NAME MOUNT-POINT OPTION
  mkdir -p "$2"
  case $share in
    9p) mount -t 9p -o "$3,trans=virtio,version=9p2000.L,msize=512000,cache=$4" "$1" "$2" ;;
    hostfs) eval "mount -t hostfs -o \"$3,\$$1\" none $2" ;;
  esac
}

for layer in host tools modules; do mount_shared $layer /layers/$layer ro loose; done
mkdir -p /above /root
mount -t tmpfs above /above
mkdir /above/upper /above/work
mount -t overlay -o lowerdir=/layers/modules:/layers/tools:/layers/host,upperdir=/above/upper,workdir=/above/work root /root
mkdir -p /dev/net && mknod /dev/net/tun c 10 200 # what udev would do; opening it loads the module
for name in proc sys dev; do mount -o move /$name /root/$name; done
mkdir -p /root/dev/pts /root/dev/shm
mount -t devpts devpts /root/dev/pts
for name in dev/shm tmp run; do mount -t tmpfs -o mode=1777 tmpfs /root/$name; done
mount_shared job /root/run/job rw none
exec switch_root /root /run/job/start
