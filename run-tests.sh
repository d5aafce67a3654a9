#!/usr/bin/env bash
# Everything that must hold: lints, host tests, model checks, Miri, fuzzing, simulation, and the system booted in QEMU.
set -u -o pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BUILD=$ROOT/build
mkdir -p "$BUILD"
cd "$ROOT" || exit 2
# shellcheck source=scripts/setup.sh
. "$ROOT/scripts/setup.sh"

usage() {
    cat <<'HELP'
usage: ./run-tests.sh [STEP]...

Runs all steps, or the named ones: fmt clippy host doc loom miri fuzz sim qemu. Installs what is missing and says so.
Each step's output is in build/test-STEP.log. The last line is "N passed, N failed" over all single tests;
the exit status is 0 only if nothing failed.

  QEMU_FILTER=tcp ./run-tests.sh qemu     only the system tests whose name contains "tcp"
  MIRI_SEEDS=256 ./run-tests.sh miri      more interleavings of the threads that race on one memory (default 8)
  HOSTILE_SECONDS=3600 QEMU_FILTER=hostile::everything ./run-tests.sh qemu
                                          attacks for an hour; a line every 10 s in build/hostile.log
HELP
}

case ${1-} in --help | -h) usage; exit 0 ;; esac
steps=("$@")
[ $# -gt 0 ] || steps=(fmt clippy host doc loom miri fuzz sim qemu)
for step in "${steps[@]}"; do
    case $step in fmt | clippy | host | doc | loom | miri | fuzz | sim | qemu) ;; *) die "unknown step '$step' (see --help)" ;; esac
done

need_rust
export CARGO_TERM_COLOR=never
unset RUSTFLAGS
# What incremental compilation keeps is larger than all that is built, and a second run of the tests seldom needs it.
export CARGO_INCREMENTAL=${CARGO_INCREMENTAL-0}
# The programs of the image. The kernel is apart: see build_image.
bare=(init virtio-net netstack services httpd shell hostile probe micro single)

passed=0 failed=0
start=$SECONDS

# What all steps write, in MiB: twice what they were measured to need.
DISK=6000
free_mib() { df -Pm "$ROOT" | awk 'NR == 2 {print $4}'; }
disk_is_short() { [ "$(free_mib)" -lt "$DISK" ]; }
if disk_is_short; then
    say "==> only $(free_mib) MiB of disk are free: builds that only one step uses are removed after it"
fi

# run STEP COMMAND...: the step passes if the command does; tests inside are counted one by one.
run() {
    local step=$1 log=$BUILD/test-$1.log began=$SECONDS ok=0 sums p f
    shift
    printf '==> %s ... ' "$step"
    if "$@" >"$log" 2>&1; then ok=1; fi
    # libtest's and libtest-mimic's "test result: ok. 12 passed; 0 failed; ..."
    sums=$(sed -n 's/^test result: [a-zA-Z]*\. \([0-9]*\) passed; \([0-9]*\) failed.*/\1 \2/p' "$log")
    p=$(awk '{n += $1} END {print n + 0}' <<<"$sums")
    f=$(awk '{n += $2} END {print n + 0}' <<<"$sums")
    if [ "$ok" = 1 ] && [ "$p" = 0 ]; then p=1; fi
    if [ "$ok" = 0 ] && [ "$f" = 0 ]; then f=1; fi
    passed=$((passed + p)) failed=$((failed + f))
    if [ "$ok" = 1 ]; then
        printf 'ok (%s, %s s)\n' "$p" $((SECONDS - began))
    else
        printf 'FAILED (%s s)\n' $((SECONDS - began))
        tail -n 60 "$log" | sed 's/^/    /'
    fi
}

step_fmt() { cargo fmt --all --check; }

step_clippy() {
    local packages=() name
    for name in "${bare[@]}"; do packages+=(-p "$name"); done
    cargo clippy --locked --workspace --all-targets -- -D warnings \
        && cargo clippy --locked --release --target x86_64-unknown-none -p kernel-stub -- -D warnings \
        && cargo clippy --locked --release --target x86_64-unknown-none "${packages[@]}" -- -D warnings
}

step_host() { cargo test --locked --workspace; }

step_doc() { RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps; }

# The ring, the channel and its sleep protocol under every interleaving that loom can find.
step_loom() {
    RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom" \
        timeout 900 cargo test --locked --release -p ipc-proto --test loom
}

# Shared memory under Miri, whose emulation of weak memory does not know accesses of different sizes to one place;
# orderings are loom's part.
step_miri() {
    CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/miri" MIRIFLAGS="-Zmiri-disable-weak-memory-emulation" \
        timeout 900 cargo +nightly miri test --locked -p ipc-proto --lib -- --skip racing --skip copies_may_race || return 1
    # Threads that race on one memory, with weak memory and eight interleavings.
    CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/miri" MIRIFLAGS="-Zmiri-many-seeds=0..${MIRI_SEEDS:-8}" \
        timeout 900 cargo +nightly miri test --locked -p ipc-proto --lib -- racing copies_may_race || return 1
    # The kernel's object store and its view of physical memory: all of its portable unsafe code.
    CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/miri" MIRIFLAGS="-Zmiri-disable-isolation" \
        timeout 900 cargo +nightly miri test --locked -p kernel-stub --lib -- store phys || return 1
    # The blocks that a process's heap keeps.
    CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/miri" timeout 900 cargo +nightly miri test --locked -p rt --lib -- quick
}

# Every target for some seconds; the corpus is replayed by `host`. Without the address sanitizer: what it would see is Miri's part here,
# and whole servers run several times as often. docs/fuzzing.md.
step_fuzz() { FUZZ_SANITIZER=none timeout 900 ./fuzz.sh all "${FUZZ_SECONDS:-4}"; }

# A fixed number of simulated worlds, each seed counts as a test; and storms on one stack, longer ones than in `host`.
step_sim() {
    timeout 900 cargo run --locked --profile sim -p sim -- --seeds 0..3000 \
        && STORM_SECONDS=15 timeout 900 cargo test --locked --profile sim -p sim --test memory
}

step_qemu() {
    build_image "$ROOT/image/manifest.toml" "$BUILD/boot.cpio"
    cat "$ROOT/image/manifest.toml" "$ROOT/image/tests.toml" >"$BUILD/tests.toml"
    build_image "$BUILD/tests.toml" "$BUILD/tests.cpio"
    cat "$ROOT/image/manifest.toml" "$ROOT/image/hostile.toml" >"$BUILD/hostile.toml"
    build_image "$BUILD/hostile.toml" "$BUILD/hostile.cpio"
    # Benchmarks are no tests, but their images have to build.
    cat "$ROOT/image/manifest.toml" "$ROOT/bench/image.toml" >"$BUILD/bench.toml"
    build_image "$BUILD/bench.toml" "$BUILD/bench.cpio"
    build_image "$ROOT/bench/single.toml" "$BUILD/single.cpio"
    timeout $((1500 + ${HOSTILE_SECONDS:-60})) cargo run --locked --release -p system-tests -- ${QEMU_FILTER:+"$QEMU_FILTER"}
}

for step in "${steps[@]}"; do
    case $step in
        miri)
            if ! command -v rustup >/dev/null 2>&1 \
                || ! rustup component list --toolchain nightly 2>/dev/null | grep -q '^miri.*(installed)'; then
                say "==> installing Miri for the nightly toolchain"
                if ! rustup component add miri rust-src --toolchain nightly >"$BUILD/rustup.log" 2>&1; then
                    say "==> miri: skipped, the component cannot be had here (see build/rustup.log)"
                    continue
                fi
            fi
            ;;
        fuzz)
            if ! cargo +nightly --version >/dev/null 2>&1 \
                && ! rustup toolchain install nightly --profile minimal >"$BUILD/rustup.log" 2>&1; then
                say "==> fuzz: skipped, a nightly toolchain cannot be had here (see build/rustup.log)"
                continue
            fi
            ;;
        qemu)
            need qemu-system-x86_64 qemu-system-x86
            need ip iproute2
            need ping iputils-ping
            need curl curl
            need dnsmasq dnsmasq-base
            ;;
    esac
    run "$step" "step_$step"
    case $step in
        loom | miri | sim) ! disk_is_short || rm -rf "${CARGO_TARGET_DIR:-target}/$step" ;;
        fuzz) ! disk_is_short || rm -rf "${CARGO_TARGET_DIR:-target}/fuzz-plain" ;;
    esac
done
echo "all steps took $((SECONDS - start)) s"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
