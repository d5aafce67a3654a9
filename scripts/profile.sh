#!/usr/bin/env bash
# Writes anew what the compiler and the linker know about the data path: image/profile.profdata (how often each path of the programs and the
# kernel is taken) and image/order.ld (which functions belong together). Five minutes; commit both.
set -u -o pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$ROOT/build
mkdir -p "$BUILD"
cd "$ROOT" || exit 2
# shellcheck source=scripts/setup.sh
. "$ROOT/scripts/setup.sh"

usage() {
    cat <<'HELP'
usage: scripts/profile.sh

Builds an image whose programs count how often each of their paths is taken, runs the loads of ./bench.sh --count on it, and
writes image/profile.profdata; then builds with that, and writes image/order.ld by what ran. Needs llvm-profdata of the
toolchain's LLVM: installs the rustup component llvm-tools, and says so.

  LLVM_PROFDATA=FILE   use this llvm-profdata
HELP
}
case ${1-} in '') ;; --help | -h) usage; exit 0 ;; *) die "unknown option '$1' (see --help)" ;; esac

need_rust
profdata=${LLVM_PROFDATA:-$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/llvm-profdata}
if [ ! -x "$profdata" ]; then
    say "==> installing the rustup component llvm-tools (for llvm-profdata)"
    rustup component add llvm-tools >"$BUILD/rustup.log" 2>&1
    [ -x "$profdata" ] || die "llvm-profdata is missing; the reason is in $BUILD/rustup.log. Name one of the same LLVM by LLVM_PROFDATA."
fi

counting=$BUILD/counting
rm -rf "$counting"
mkdir -p "$counting/built"
say "==> building an image that counts"
(
    # There is no runtime for this target; nobody in the guest needs one. Every increment has to stay the one instruction
    # that bench/src/counters.rs looks for. Names of functions are to be those of a stable compiler.
    export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$ROOT/target}/counting
    BUILD=$counting/built QUIET=1
    llvm="$PROFILE_COUNTS -enable-name-compression=false -instrprof-atomic-counter-update-all -do-counter-promotion=false"
    llvm+=" -sink-common-insts=false -enable-tail-merge=false"
    build_image "$ROOT/image/manifest.toml" "$BUILD/boot.cpio" "['-Cprofile-generate', '-Zno-profiler-runtime',
        '-Zunstable-options', '-Csymbol-mangling-version=legacy', '-Cllvm-args=$llvm']"
    save_image "$counting"
) || exit 2

say "==> running the loads of ./bench.sh on it"
./bench.sh --quick --image "$counting" --guest causeway --count --only boot,udp-rtt,udp-rate,connect,http-keep,http-close,tcp-out,tcp-in \
    --raw-profiles "$counting/raw" >"$counting/loads.txt" || die "they failed; see $counting/loads.txt"
# Without the functions that never ran: they are compiled as ever, for somebody else may need them.
"$profdata" merge --sparse -o "$ROOT/image/profile.profdata" "$counting"/raw/*.profraw || die "llvm-profdata failed"

say "==> building with image/profile.profdata, and running the loads again"
./bench.sh --quick --guest causeway --net tap,tap-plain --count --only udp-rtt,udp-rate,connect,http-keep,tcp-out,tcp-in \
    --order "$counting/order.ld" >"$counting/order.txt" || die "they failed; see $counting/order.txt"
cp "$counting/order.ld" "$ROOT/image/order.ld" || die "cannot write image/order.ld"
say "wrote image/profile.profdata and image/order.ld"
