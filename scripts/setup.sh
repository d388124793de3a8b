# shellcheck shell=bash disable=SC2034
# Shared by run.sh and test.sh: what must be installed, and how heed is built. Sourced, not run.
#
#   HEED_NO_INSTALL=1   never call apt: use what is there (on a cluster, load its modules first)
#   HEED_PRESET=asan    another preset of CMakePresets.json (default release)
#   HEED_BUILD=FOLDER   where to build (default build/PRESET)

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
preset=${HEED_PRESET:-release}
build=${HEED_BUILD:-$root/build/$preset}

packages_build=(build-essential cmake pkg-config libopenmpi-dev openmpi-bin libblis-openmp-dev libhdf5-dev libinih-dev
                libxxhash-dev librandom123-dev libjansson-dev libutf8proc-dev libpcre2-dev libcairo2-dev zlib1g-dev)
case $(uname -m) in
x86_64 | aarch64) packages_build+=(libisal-dev) ;; # elsewhere zlib does its work
esac
# mpich lies beside Open MPI: mpicc and mpirun stay Open MPI's, whose alternative has the higher priority.
packages_test=(libcmocka-dev python3 python3-h5py python3-xarray python3-dask python3-netcdf4 python3-h5netcdf
               python3-xxhash netcdf-bin hdf5-tools clang-format clang-tidy cppcheck shellcheck mpich libmpich-dev
               slurm-wlm munge iproute2 clang libclang-rt-14-dev
               chromium chromium-driver)

say() {
    printf '%s\n' "$*" >&2
}

stop() {
    say "$(basename "$0"): $*"
    exit 69
}

# --- what must be installed ----------------------------------------------------------------------------------------

missing_packages() {
    local package
    for package in "$@"; do
        case $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null) in
        *' installed') ;;
        *) echo "$package" ;;
        esac
    done
}

install_packages() {
    local missing as_root=()
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]})) || return 0
    if ((EUID != 0)); then
        command -v sudo >/dev/null || stop "these packages are missing; install them as root: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    say "Installing ${missing[*]}"
    # Output only when something goes wrong: what apt prints fills many screens.
    local log status=0
    log=$(mktemp)
    {
        "${as_root[@]}" apt-get update &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
    } >"$log" 2>&1 </dev/null || status=$?
    ((status == 0)) || cat "$log" >&2
    rm -f "$log"
    ((status == 0)) || stop "apt-get failed (status $status): see above"
}

# Where there is no apt: says what to load or to install, by the names that module systems and other distributions use.
name_what_is_missing() {
    local missing=() line tool what
    for line in "cmake:CMake 3.22 or later" "pkg-config:pkg-config" "mpicc:an MPI (Open MPI or MPICH) with mpicc" \
        "cc:a C17 compiler (gcc or clang)"; do
        tool=${line%%:*} what=${line#*:}
        command -v "$tool" >/dev/null || missing+=("$what")
    done
    if command -v pkg-config >/dev/null; then
        for line in "inih:libinih" "libxxhash:xxHash" "jansson:Jansson" "libutf8proc:utf8proc" "libpcre2-8:PCRE2" \
            "cairo:cairo" "zlib:zlib"; do
            pkg-config --exists "${line%%:*}" || missing+=("${line#*:}")
        done
    fi
    if ((${#missing[@]})); then
        say "heed needs these, and did not find them (load their modules or install them, then call this again):"
        printf '  - %s\n' "${missing[@]}" >&2
        say "and BLIS built with OpenMP (BLIS_ROOT names its prefix), HDF5 with its high-level library, Random123."
        exit 69
    fi
}

# install_what_is_missing PACKAGE...
install_what_is_missing() {
    if [[ -n ${HEED_NO_INSTALL:-} ]]; then
        name_what_is_missing
    elif command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
        install_packages "$@"
    else
        name_what_is_missing
    fi
}

# --- build ----------------------------------------------------------------------------------------------------------

# configure CMAKE-ARGUMENT...: only when the build folder is not yet what the arguments ask for
configure() {
    local argument log status=0 done=1
    [[ -f $build/CMakeCache.txt ]] || done=0
    for argument in "$@"; do
        grep -qs "^${argument%%=*}\(:[A-Z]*\)\?=${argument#*=}\$" "$build/CMakeCache.txt" || done=0
    done
    ((done)) && return 0
    local generator=()
    [[ ! -f $build/CMakeCache.txt ]] && command -v ninja >/dev/null && generator=(-G Ninja)
    say "Configuring in $build"
    log=$(mktemp)
    cmake --preset "$preset" -S "$root" -B "$build" "${generator[@]}" "${@/#/-D}" >"$log" 2>&1 || status=$?
    ((status == 0)) || cat "$log" >&2
    rm -f "$log"
    if ((status)); then
        rm -f "$build/CMakeCache.txt" # so that the next call configures again
        say "If a library was not found: load its module or install it; BLIS_ROOT and CMAKE_PREFIX_PATH name places to look."
        stop "configuring failed"
    fi
}

# compile TARGET...
compile() {
    local log status=0
    log=$(mktemp)
    say "Building (nothing to do the second time)"
    cmake --build "$build" --parallel "$(nproc)" --target "$@" >"$log" 2>&1 || status=$?
    ((status == 0)) || cat "$log" >&2
    rm -f "$log"
    ((status == 0)) || stop "building failed: see above"
}

# --- running --------------------------------------------------------------------------------------------------------

# Physical cores that this process may use: hyperthreads of one core share its vector units, and a container or a job
# may be given fewer than the machine has.
physical_cores() {
    local allowed cores quota period
    allowed=$(nproc)
    cores=$(lscpu -p=core,socket 2>/dev/null | grep -v '^#' | sort -u | wc -l)
    ((cores >= 1 && cores <= allowed)) || cores=$allowed
    if read -r quota period 2>/dev/null </sys/fs/cgroup/cpu.max && [[ $quota != max ]]; then
        ((quota = (quota + period - 1) / period))
        ((quota >= 1 && quota < cores)) && cores=$quota
    fi
    echo "$cores"
}

# Fills the array launch with the command that starts $1 ranks of $2 threads each. MPI's own mpirun, as CMake found it.
launcher() {
    local ranks=$1 threads=$2 cores=$3 mpirun
    mpirun=$(sed -n 's/^MPIEXEC_EXECUTABLE:[A-Z]*=//p' "$build/CMakeCache.txt")
    export OMP_NUM_THREADS=$threads
    launch=("${mpirun:-mpirun}" -n "$ranks")
    case $("${launch[0]}" --version 2>/dev/null) in
    *"Open MPI"* | *OpenRTE*)
        if ((ranks * threads == cores)); then
            launch+=(--map-by "slot:PE=$threads" --bind-to core)
        else # bound ranks would share a few cores, or all threads of a rank one
            launch+=(--oversubscribe --bind-to none)
        fi
        export OMPI_MCA_btl_vader_single_copy_mechanism=${OMPI_MCA_btl_vader_single_copy_mechanism:-none}
        command -v ssh >/dev/null || command -v rsh >/dev/null || export OMPI_MCA_plm=isolated
        if ((EUID == 0)); then # Open MPI refuses root unless told so
            export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
        fi
        ;;
    esac
}
