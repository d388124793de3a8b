"""One flipped bit at random places and a cut at every percent of every kind of HDF5 file: detected before the file is used,
always; the run goes on from the checkpoint before. And config.ini, a line of which was changed, is held against the
checkpoint's copy.

    damage_test.py HEED SOURCE NUMBER_OF_FLIPS EVERY_PERCENT
"""
import multiprocessing.pool
import os
import pathlib
import random
import shutil
import subprocess
import time

from fault import arguments, check, program, same, train, write_config

n_flips, percent = map(int, arguments)
seed = int(os.environ.get("HEED_FAULT_SEED", time.time()))
SMALL = ["--quiet", "train.steps=20", "train.batch=4", "model.width=16", "model.time=16"]
write_config()
train("whole", *SMALL, ranks=1)
config = str(pathlib.Path("config.ini").resolve())
run = pathlib.Path("whole/run").resolve()


def heed(*words, cwd="."):
    return subprocess.run([program, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd)


done = heed("controls", config, *SMALL[1:], "controls.runs=1", "run.dir=why")
check(pathlib.Path("why/controls.h5").exists(), f"no controls: {done.stdout}")
heed("merge", run)
KINDS = {"token store": run / "tokens.h5", "checkpoint": run / "checkpoints/step-00000010.h5",
         "attention log": run / "attention/step-00000010.h5", "controls": pathlib.Path("why/controls.h5"),
         "merged log": run / "attention.h5"}
KINDS = {kind: path for kind, path in KINDS.items() if path.exists()}
check(len(KINDS) >= 4, f"only these kinds of files are there: {list(KINDS)}")


def refused(case):
    """The damaged file is refused in one line that names it."""
    name, data = case
    path = pathlib.Path(f"{name}.h5")
    path.write_bytes(data)
    done = heed("inspect", path)
    lines = [line for line in done.stdout.split("\n") if line.startswith("heed: ")]
    path.unlink()
    return done.returncode == 65 and len(lines) == 1 and path.name in lines[0], f"{name}: {done.returncode}: {done.stdout}"


def damages(kind, path, choose, n):
    data, slug = path.read_bytes(), kind.replace(" ", "-")
    for i in range(n):
        bit = choose.randrange(8 * len(data))
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        yield f"{slug}-flip-{i}-at-{bit}", bytes(flipped)
    for share in range(0, 100, percent):
        yield f"{slug}-cut-{share}", data[:len(data) * share // 100]


choose, n_tried = random.Random(seed), 0
with multiprocessing.pool.ThreadPool(os.cpu_count()) as pool:
    for number, (kind, path) in enumerate(KINDS.items()):
        n = n_flips // len(KINDS) + (number < n_flips % len(KINDS))
        results = pool.map(refused, damages(kind, path, choose, n), chunksize=4)
        wrong = [words for good, words in results if not good]
        check(not wrong, f"{kind}: {len(wrong)} of {len(results)} were not detected: {wrong[:3]}")
        print(f"damage: {kind}: {len(results)} damaged files ({n} flipped bits), all detected", flush=True)
        n_tried += len(results)

n_back = 0
for i in range(max(4, n_flips // 100)):  # the newest checkpoint is damaged: the one before is used
    shutil.rmtree("victim", ignore_errors=True)
    shutil.copytree("whole", "victim")
    newest = pathlib.Path("victim/run/checkpoints/step-00000020.h5")
    data = bytearray(newest.read_bytes())
    bit = choose.randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    newest.write_bytes(data if i % 2 else data[:len(data) * choose.randrange(100) // 100])
    done = heed("train", config, *SMALL, cwd="victim")
    check(done.returncode == 0 and "passed over" in done.stdout, f"going back: {done.returncode}: {done.stdout}")
    same("whole", "victim")
    n_back += 1

n_config = 0
for old, new in [("seed = 7", "seed = 8"), ("heads = 2", "heads = 4"), ("dropout = 0.1", "dropout = 0.2"), ("batch = 4", "batch = 8")]:
    shutil.rmtree("victim", ignore_errors=True)
    shutil.copytree("whole", "victim")
    ini = pathlib.Path("victim/run/config.ini")
    text = ini.read_text()
    changed = text.replace(old, new, 1)
    check(changed != text or old.startswith("dropout"), f"config.ini has no {old}")
    if changed == text:
        continue
    ini.write_text(changed)
    done = heed("train", "run", "train.steps=22", cwd="victim")
    lines = [line for line in done.stdout.split("\n") if line.startswith("heed: ") and "was made with" in line]
    check(done.returncode == 78 and len(lines) == 1, f"config.ini with {new}: {done.returncode}: {done.stdout}")
    n_config += 1
print(f"damage: seed {seed}: {n_tried} tried, {n_tried} detected; {n_back} damaged newest checkpoints passed over, same bits in the "
      f"end; {n_config} of {n_config} changed config.ini refused")
