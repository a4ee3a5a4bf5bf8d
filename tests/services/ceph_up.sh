#!/bin/bash
# A Ceph object store of one monitor, one OSD and one gateway, inside the chroot that install.sh
# made. It runs in the foreground; conftest.py starts it in PID and mount namespaces of its own, so
# that no daemon and no mount outlives it.
#
# Arguments: chroot, folder for the data, ports of the monitor (v2, v1) and of the gateway, access
# key, secret key. The file "user-ready" in the folder says that the gateway may be asked.
set -euo pipefail
root=$1 data=$2 v2=$3 v1=$4 port=$5 access=$6 secret=$7

mount --make-rprivate /
mkdir -p "$root/data"
mount --bind "$data" "$root/data"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"

fsid=$(cat /proc/sys/kernel/random/uuid)
osd=$(cat /proc/sys/kernel/random/uuid)
mkdir -p "$data/mon" "$data/osd" "$data/run"
cat > "$data/ceph.conf" <<CONF
[global]
fsid = $fsid
mon host = [v2:127.0.0.1:$v2,v1:127.0.0.1:$v1]
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
auth cluster required = none
auth service required = none
auth client required = none
# Without cephx a client cannot agree on the encrypted mode with the monitor, and waits for ever.
ms mon client mode = crc
ms mon cluster mode = crc
ms mon service mode = crc
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 2
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data = /data/mon
osd data = /data/osd
osd journal size = 100
bluestore block size = 8589934592
osd memory target = 1073741824
log file = /data/\$name.log
run dir = /data/run
admin socket = /data/run/\$name.asok
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:$port
CONF

inside() { chroot "$root" "$@"; }
conf=(-c /data/ceph.conf)

inside monmaptool --create --fsid "$fsid" \
  --addv a "[v2:127.0.0.1:$v2,v1:127.0.0.1:$v1]" /data/monmap
inside ceph-mon "${conf[@]}" --mkfs -i a --monmap /data/monmap
inside ceph-mon "${conf[@]}" -i a -f &
inside timeout 60 ceph "${conf[@]}" osd new "$osd"
inside ceph-osd "${conf[@]}" -i 0 --mkfs --osd-uuid "$osd"
inside ceph-osd "${conf[@]}" -i 0 -f &
inside timeout 60 radosgw-admin "${conf[@]}" -n client.rgw user create \
  --uid=lake --display-name=lake "--access-key=$access" "--secret-key=$secret" > /dev/null
touch "$data/user-ready"
# When any daemon ends, all do: this shell is the first process of its PID namespace.
inside radosgw "${conf[@]}" -n client.rgw -f &
wait -n
