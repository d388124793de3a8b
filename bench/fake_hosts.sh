#!/usr/bin/env bash
# fake_hosts.sh N COMMAND...: runs COMMAND with one rank on each of N hosts that are made of namespaces on this machine, joined by a bridge:
# ranks talk over TCP, as on a cluster, and share the processors, unlike there. With N = KxM, M ranks on each of K hosts; with N = 0-M, M ranks
# on one host. Needs root, iproute2 and Open MPI. Nothing is left behind: the hosts live in namespaces of this command alone.
#
#   bench/fake_hosts.sh 4 build/release/heed bench --shape M train.batch=32 train.threads=1
#   bench/fake_hosts.sh 0-4 build/release/heed bench --shape M train.batch=32 train.threads=1
set -euo pipefail
if [[ ${FAKE_HOSTS_INSIDE:-} != yes ]]; then
    FAKE_HOSTS_INSIDE=yes exec unshare --net --mount --uts -- "$0" "$@"
fi
hosts=$1
shift
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
ip link set lo up
if [[ $hosts == 0-* ]]; then
    exec mpirun --oversubscribe --bind-to none -n "${hosts#0-}" "$@"
fi
ranks=1
if [[ $hosts == *x* ]]; then
    ranks=${hosts#*x}
    hosts=${hosts%x*}
fi
mount --make-rprivate /
mkdir -p /run/netns
mount -t tmpfs none /run/netns
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
ip link add bridge0 type bridge
ip link set bridge0 up
echo "127.0.0.1 localhost" >"$folder/names"
for ((i = 1; i <= hosts; i++)); do
    ip netns add "host$i"
    ip link add "port$i" type veth peer name eth0 netns "host$i"
    ip link set "port$i" master bridge0 up
    ip -n "host$i" address add "10.77.2.$i/24" dev eth0
    ip -n "host$i" link set eth0 up
    ip -n "host$i" link set lo up
    echo "10.77.2.$i host$i" >>"$folder/names"
    echo "host$i slots=$ranks" >>"$folder/hostfile"
done
mount --bind "$folder/names" /etc/hosts
cat >"$folder/agent" <<'END'
#!/bin/bash
host=$1
shift
exec ip netns exec "$host" unshare --uts bash -c "hostname $host; $*"
END
chmod +x "$folder/agent"
hostname host1
ip netns exec host1 mpirun --mca plm rsh --mca plm_rsh_agent "$folder/agent" --mca oob_tcp_if_include eth0 --mca btl self,vader,tcp \
    --mca btl_tcp_if_include eth0 --bind-to none --hostfile "$folder/hostfile" --map-by slot -n "$((hosts * ranks))" "$@"
