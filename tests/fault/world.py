"""Namespaces of our own: what a test starts there (daemons, hosts, networks) is gone when the test ends, however it ends."""
import os
import shutil
import subprocess
import sys

from fault import skip

_MARK = "HEED_FAULT_WORLD"


def enter():
    """Starts this script anew as process 1 of a world with its own processes, network (loopback only), host name and
    mounts, and ends with its status. Returns at once inside of it."""
    if os.environ.get(_MARK):
        # Open MPI and the C library's resolver (AI_ADDRCONFIG) want more than a loopback
        for command in ("link set lo up", "link add eth0 type veth peer name eth1", "link set eth0 up", "link set eth1 up",
                        "address add 10.77.1.1/24 dev eth0"):
            subprocess.run(["ip", *command.split()], check=True)
        return
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        skip("util-linux's unshare and iproute2's ip are needed")
    command = ["unshare", "--net", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*command, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        skip("only root can make namespaces here")
    os.chdir("..")  # fault made ./work
    sys.exit(subprocess.run([*command, sys.executable, *sys.argv], env={**os.environ, _MARK: "1"}).returncode)
