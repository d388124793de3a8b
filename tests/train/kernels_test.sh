#!/bin/sh
# Both BLIS kernels of this processor keep the bits for any shape, each against itself.
steps=3
. "${0%/*}/lib.sh"

tried=0
for arch in $(seq 0 40); do
    kernel=$(BLIS_ARCH_TYPE=$arch "$driver" kernel 2>/dev/null) || continue
    case $kernel in skx | haswell) ;; *) continue ;; esac
    export BLIS_ARCH_TYPE=$arch
    train 1 1 $kernel-1x1
    grep -q "BLIS kernel $kernel" $kernel-1x1/out.txt || fail "$kernel did not run"
    for shape in 1x2 3x1; do
        train "${shape%x*}" "${shape#*x}" $kernel-$shape
        same $kernel-1x1 $kernel-$shape
    done
    echo "$kernel: the same bits for 1x1, 1x2, 3x1"
    tried=$((tried + 1))
done
[ $tried -gt 0 ] || {
    echo "neither skx nor haswell runs on this processor"
    exit 77
}
