#!/usr/bin/env python3
"""heed and PyTorch on the same work, in turn, as ratios.

    /usr/bin/python3 bench/compare.py build/release/heed
    /usr/bin/python3 bench/compare.py build/release/heed --shapes L --grain 4

For every shape, --repeats times in turn: heed and PyTorch, each as one process a core and as one process with all threads. The same model
and global batch, AdamW and clipping. Prints the medians in tokens/s, heed's share of the matrix products' peak in the same run (the best
of both of BLIS's kernels), and the ratios of the better forms.

PyTorch of Debian multiplies with whatever libblas.so.3 is. Where that is BLIS, which may choose a slow kernel on a processor newer than
itself, there are two ratios: to PyTorch as it comes, and to PyTorch with the kernel named that serves it best, as heed names its own.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

STEPS = {"S": (200, 40), "M": (6, 3), "L": (6, 2)}  # heed, PyTorch
FOLDER = pathlib.Path(__file__).parent


def environment(threads, **more):
    if os.getuid() == 0:
        more.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    return dict(os.environ, OMP_NUM_THREADS=str(threads), **more)


def run_heed(heed, shape, ranks, threads, settings):
    launch = ["mpirun", "--oversubscribe", "--bind-to", "core" if threads == 1 else "none", "-n", str(ranks)]
    command = [*launch, heed, "bench", "--json", "--shape", shape, "--steps", str(STEPS[shape][0]), *settings]
    return json.loads(subprocess.run(command, env=environment(threads), check=True, capture_output=True).stdout)


def run_torch(shape, processes, threads, kernel):
    command = [sys.executable, FOLDER / "torch_step.py", "--shape", shape, "--processes", str(processes), "--threads", str(threads),
               "--steps", str(STEPS[shape][1]), "--repeats", "1"]
    output = subprocess.run(command, env=environment(threads, **kernel), check=True, capture_output=True).stdout
    return json.loads(output)["tokens_per_second"]


def both_forms(cores):
    """(processes, threads): one process a core, one process with all threads."""
    return (cores, 1), (1, cores)


def torch_kernels(shape, cores):
    """Environments for PyTorch: BLIS's own choice of a kernel and, where that is faster, one that is named. Each is tried once
    in both forms."""
    speed = {}
    for number in (None, "0", "3"):  # of BLIS's enum arch_t: AVX-512 (skx), AVX2 (haswell)
        try:
            speed[number] = max(run_torch(shape, *form, kernel_named(number)) for form in both_forms(cores))
        except subprocess.CalledProcessError as error:
            if b"No module named 'torch'" in error.stderr:
                raise SystemExit(f"{sys.executable} has no torch: run this with the python3 that has it "
                                 "(on Debian /usr/bin/python3, package python3-torch), or --without-torch") from error
            if number is None:  # else a kernel that this processor cannot run
                raise SystemExit(f"PyTorch does not run:\n{error.stderr.decode()}") from error
    return list(dict.fromkeys((None, max(speed, key=speed.get))))


def kernel_named(number):
    return {"BLIS_ARCH_TYPE": number} if number else {}


def other_kernel_peak(heed, cores):
    """GF/s of BLIS's AVX2 kernel, which is the better one on some processors."""
    try:
        return run_heed_with(heed, cores, {"BLIS_ARCH_TYPE": os.environ.get("HEED_OTHER_KERNEL", "3")})
    except (subprocess.CalledProcessError, ValueError):
        return 0.0


def run_heed_with(heed, cores, variables):
    command = [heed, "bench", "--json", "--shape", "S", "--steps", "1"]
    output = subprocess.run(command, env=environment(cores, **variables), check=True, capture_output=True).stdout
    return json.loads(output)["peak_gflops"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("heed")
    parser.add_argument("--shapes", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--grain", type=int, help="sequences in a grain; by default heed's own choice")
    parser.add_argument("--without-torch", action="store_true")
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    settings = [f"train.grain={arguments.grain}"] if arguments.grain else []
    other = other_kernel_peak(arguments.heed, cores)
    print(f"BLIS's other kernel: {other:.0f} GF/s")
    for shape in arguments.shapes:
        forms = [form for form in both_forms(cores) if not arguments.grain or form[0] == 1]
        kernels = [] if arguments.without_torch else torch_kernels(shape, cores)
        heed, peaks, shares = ({form: [] for form in forms} for _ in range(3))
        torch = {(kernel, form): [] for kernel in kernels for form in both_forms(cores)}
        for _ in range(arguments.repeats):
            for form in forms:
                result = run_heed(arguments.heed, shape, *form, settings)
                heed[form].append(result["tokens_per_second"])
                peaks[form].append(result["peak_gflops"])
                shares[form].append(1e-9 * result["tokens_per_second"] * result["flops_per_token"] / max(other, result["peak_gflops"]))
            for kernel, form in torch:
                torch[kernel, form].append(run_torch(shape, *form, kernel_named(kernel)))
        median = statistics.median
        for form in forms:
            print(f"{shape}: heed {form[0]} x {form[1]}: {median(heed[form]):.0f} tokens/s, {median(shares[form]):.1%} of the peak of "
                  f"{median(peaks[form]):.0f} GF/s", flush=True)
        for kernel in kernels:
            name = f"with BLIS's kernel {kernel}" if kernel else "as it comes"
            rates = {form: median(torch[kernel, form]) for k, form in torch if k == kernel}
            for form, rate in rates.items():
                print(f"{shape}: PyTorch {name}, {form[0]} x {form[1]}: {rate:.0f} tokens/s")
            print(f"{shape}: heed / PyTorch {name} = {max(map(median, heed.values())) / max(rates.values()):.2f}", flush=True)


if __name__ == "__main__":
    main()
