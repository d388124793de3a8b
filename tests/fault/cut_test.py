"""Two fake hosts (network and UTS namespaces on a bridge) train over TCP; then the link between them is cut. On both hosts the ranks
end within train.watchdog seconds, and one line names the rank that is lost and its host.

Open MPI's mpirun itself goes on waiting for its daemon on the host that it does not reach: on a cluster the scheduler ends it, here the
test does."""
import os
import pathlib
import re
import subprocess
import time

import world
from fault import ENDLESS, Run, check, mpiexec, program, skip, write_config

world.enter()
LIMIT = 6.0


def ip(words, must=True):
    done = subprocess.run(["ip", *words.split()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    check(done.returncode == 0 or not must, f"ip {words}: {done.stdout}")
    return done.returncode == 0


def make_hosts():
    os.makedirs("/run/netns", exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run/netns"], check=True)  # in this world alone
    if not ip("link add bridge0 type bridge", must=False):
        skip("this kernel has no bridges")
    ip("link set bridge0 up")
    for i in (1, 2):
        ip(f"netns add host{i}")
        ip(f"link add port{i} type veth peer name eth0 netns host{i}")
        ip(f"link set port{i} master bridge0 up")
        ip(f"-n host{i} address add 10.77.2.{i}/24 dev eth0")
        ip(f"-n host{i} link set eth0 up")
        ip(f"-n host{i} link set lo up")
    hosts = pathlib.Path("hosts").resolve()
    hosts.write_text("127.0.0.1 localhost\n10.77.2.1 host1\n10.77.2.2 host2\n")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    agent = pathlib.Path("agent").resolve()
    agent.write_text('#!/bin/bash\nhost=$1\nshift\nexec ip netns exec "$host" unshare --uts bash -c "hostname $host; $*"\n')
    agent.chmod(0o755)
    pathlib.Path("hostfile").write_text("host1 slots=1\nhost2 slots=1\n")
    return agent


def wait_until_reached():
    """Until each host's packets come to the other: the kernel tells of a carrier up to a second after its link is up. A port
    where nobody listens refuses at once; a host that is not reached does not."""
    end = time.monotonic() + 30
    for host, other in ((1, 2), (2, 1)):
        asks = ["ip", "netns", "exec", f"host{host}", "timeout", "1", "bash", "-c", f": </dev/tcp/10.77.2.{other}/9"]
        while "refused" not in subprocess.run(asks, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout:
            check(time.monotonic() < end, f"host{host} does not reach host{other}")
            time.sleep(0.05)


def ranks_left():
    """Ranks in this world, on whichever host."""
    found = []
    for exe in pathlib.Path("/proc").glob("[0-9]*/exe"):
        try:
            found += [exe] if os.readlink(exe) == os.path.realpath(program) else []
        except OSError:
            pass
    return found


agent = make_hosts()
write_config()
pathlib.Path("there").mkdir()
command = (f"hostname host1; exec {mpiexec[0]} --mca plm rsh --mca plm_rsh_agent {agent} --mca oob_tcp_if_include eth0 --mca btl self,tcp "
           f"--mca btl_tcp_if_include eth0 --bind-to none --hostfile {pathlib.Path('hostfile').resolve()} --map-by node -n 2 {program} "
           f"train {pathlib.Path('config.ini').resolve()} train.steps={ENDLESS} train.watchdog={LIMIT} checkpoint.every=50")
tried = survived = 0
for number, port in enumerate(("port2", "port1")):
    wait_until_reached()
    run = Run(f"cut-{number}", ranks=0, command=["ip", "netns", "exec", "host1", "unshare", "--uts", "bash", "-c", command])
    run.wait_for_step(5)
    check("on 2 nodes" in run.said(), "the two hosts are not told apart")
    time.sleep(1.5)
    tried += 1
    ip(f"link set {port} down")
    start = time.monotonic()
    while ranks_left():
        check(time.monotonic() - start < 60, f"{port} cut: ranks are left after 60 s")
        time.sleep(0.05)
    took = time.monotonic() - start
    ip(f"link set {port} up")
    run.kill()
    lost = [line for line in run.lines() if "lost" in line]
    check(took < LIMIT or os.getloadavg()[0] > os.cpu_count() + 1, f"{port} cut: ended after {took:.1f} s, the limit is {LIMIT}")
    check(lost and re.search(r"rank 1 on host2 is lost", lost[0]), f"{port} cut: {run.lines()[-3:]}")
    survived += 1
    print(f"{port} cut: all ranks ended after {took:.1f} of {LIMIT:.0f} s: {lost[0]}", flush=True)
print(f"cut: {tried} tried, {survived} survived")
