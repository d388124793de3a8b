"""A SLURM of our own for one test: munged, slurmctld and slurmd on loopback, in the test's world (world.py)."""
import os
import pathlib
import re
import shutil
import subprocess
import time

from fault import check, fail, skip

_CONF = """ClusterName=heed
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/sock,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
TmpFS={folder}/tmp
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=pmix
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
ReturnToService=2
SlurmdTimeout=60
KillWait=30
MinJobAge=3600
JobRequeue=1
PropagateResourceLimits=NONE
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=1000 State=UNKNOWN
PartitionName=test Nodes={host} Default=YES MaxTime=60 State=UP OverSubscribe=FORCE:4
"""


ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED")


def _wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, f"SLURM: {what} after {seconds} s")
        time.sleep(0.1)


class Cluster:
    """Up after the constructor; its daemons end with stop(), or with the world."""

    def __init__(self):
        for tool in ("munged", "slurmctld", "slurmd", "sbatch"):
            if shutil.which(tool) is None:
                skip(f"there is no {tool} here (Debian: slurm-wlm, munge)")
        self.folder = folder = pathlib.Path("slurm").resolve()
        for part in ("state", "spool", "log", "munge", "tmp"):  # tmp: PMIx refuses what an earlier test left in /tmp
            (folder / part).mkdir(parents=True)
        self.host = "heed-node"
        subprocess.run(["hostname", self.host], check=True)
        hosts = folder / "hosts"
        hosts.write_text(f"127.0.0.1 localhost {self.host}\n")
        subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
        (folder / "munge/key").write_bytes(os.urandom(1024))
        (folder / "munge/key").chmod(0o600)
        (folder / "munge").chmod(0o755)
        # room for several jobs at once, whatever the machine has: this is no measurement
        (folder / "slurm.conf").write_text(_CONF.format(folder=folder, host=self.host, user="root"))
        os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
        munge = folder / "munge"
        self.daemons = [self._start("munged", "--foreground", "--force", f"--key-file={munge}/key",
                                    f"--socket={munge}/sock", f"--pid-file={munge}/pid", f"--seed-file={munge}/seed",
                                    f"--log-file={munge}/log")]
        _wait_for((munge / "sock").exists, 20, "munged has no socket")
        self.daemons += [self._start("slurmctld", "-D"), self._start("slurmd", "-D")]
        _wait_for(lambda: "idle" in self.ask("sinfo", "-h", "-o", "%T", check_it=False), 60, "the node is not idle")

    def _start(self, *command):
        with open(self.folder / "log/start.txt", "a") as out:
            return subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def stop(self):
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in reversed(self.daemons):
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()

    def ask(self, *command, check_it=True):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        check(not check_it or done.returncode == 0, " ".join(map(str, command)), "says:", done.stdout)
        return done.stdout.strip()


class Job:
    """A job of `sbatch OPTION... SCRIPT ARGUMENT...`, submitted in FOLDER; its output goes to FOLDER/out.txt."""

    def __init__(self, cluster, folder, options, script, *arguments, environment=None):
        self.cluster, self.folder = cluster, pathlib.Path(folder)
        self.folder.mkdir(exist_ok=True)
        command = ["sbatch", "--parsable", f"--chdir={self.folder.resolve()}", f"--output={self.folder.resolve()}/out.txt",
                   *options, script, *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env={**os.environ, **(environment or {})})
        check(done.returncode == 0, " ".join(map(str, command)), "says:", done.stdout)
        self.number = done.stdout.strip()

    def fields(self):
        said = self.cluster.ask("scontrol", "show", "job", self.number)
        return dict(re.findall(r"(\w+)=(\S*)", said))

    def lives(self):
        return int(self.fields()["Restarts"]) + 1

    def said(self):
        out = self.folder / "out.txt"
        return out.read_text(errors="replace") if out.exists() else ""

    def figures(self):
        metrics = self.folder / "run/metrics.jsonl"
        return metrics.read_text().count("\n") if metrics.exists() else 0

    def wait_for(self, condition, seconds, what):
        end = time.monotonic() + seconds
        while not condition():
            ended = self.fields()["JobState"] in ENDED
            if time.monotonic() > end or (ended and not condition()):
                print(self.fields())
                print((self.cluster.folder / "log/slurmctld.log").read_text()[-3000:])
                fail(f"{self.folder}: job {self.number}: {what} after {seconds} s")
            time.sleep(0.2)

    def wait_for_step(self, step):
        self.wait_for(lambda: self.figures() >= step, 120, f"no step {step}")

    def wait_for_end(self, seconds=240):
        """The state and the exit status that SLURM reports."""
        self.wait_for(lambda: self.fields()["JobState"] in ENDED, seconds, "has not ended")
        fields = self.fields()
        return fields["JobState"], int(fields["ExitCode"].split(":")[0])
