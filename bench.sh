#!/usr/bin/env bash
# Measures Causeway side by side with a Linux guest on the same QEMU. bench/ has the programs that do it.
set -u -o pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BUILD=$ROOT/build
mkdir -p "$BUILD"
cd "$ROOT" || exit 2
# shellcheck source=scripts/setup.sh
. "$ROOT/scripts/setup.sh"

target=${CARGO_TARGET_DIR:-$ROOT/target}
# What decides about what is built; the rest of the command line is the harness's.
guests='' image='' report='' save='' help='' from='' micro='' single='' arguments=("$@")
while [ $# -gt 0 ]; do
    case $1 in
        --guest) guests=${2-}; shift ;;
        --image) image=1; shift ;;
        --save) save=${2-}; [ -n "$save" ] || die "--save needs a folder (see --help)"; shift ;;
        --single) single=1; shift ;;
        --micro) micro=1 guests=micro ;;
        --from) from=1; shift ;;
        --report) report=1 ;;
        --help | -h) help=1 ;;
    esac
    shift
done

[ -n "$guests" ] || guests=causeway,${report:+single,}linux

need_rust
cargo build --locked --release -q -p bench -p tcg-count || die "the build failed"
[ -z "$help" ] || exec "$target/release/bench" --help
[ -z "$from" ] || exec "$target/release/bench" "${arguments[@]}"
need qemu-system-x86_64 qemu-system-x86
need ip iproute2
(need wrk wrk) || say "==> without wrk: the harness makes the HTTP requests itself"

if [ -z "$image" ] && [ "$guests" != linux ]; then
    say "==> building Causeway"
    QUIET=1 build_image "$ROOT/image/manifest.toml" "$BUILD/boot.cpio"
fi
if [ -n "$micro" ]; then
    cat "$ROOT/image/manifest.toml" "$ROOT/bench/image.toml" >"$BUILD/bench.toml"
    QUIET=1 build_image "$BUILD/bench.toml" "$BUILD/bench.cpio"
fi
case ,$guests, in
    *,single,*)
        [ -n "$single" ] || QUIET=1 build_image "$ROOT/bench/single.toml" "$BUILD/single.cpio" ;;
esac
if [ -n "$save" ]; then
    save_image "$save"
    say "saved to $save; use it with: ./bench.sh --image $save"
    exit 0
fi
case ,$guests, in *,linux,*) "$ROOT/bench/linux/make.sh" "$BUILD/linux" || die "no Linux guest" ;; esac

# Whatever ends the run, its machines and namespaces end with it.
export BENCH_NAMESPACE=causeway-bench-$$
cleanup() {
    local name
    for name in $(ip netns list | awk '{print $1}'); do
        case $name in
            "$BENCH_NAMESPACE"-*)
                ip netns pids "$name" | xargs -r kill 2>/dev/null
                ip netns del "$name" ;;
        esac
    done
}
trap cleanup EXIT
# In the background, so that a signal to this script ends it at once.
"$target/release/bench" ${arguments[@]+"${arguments[@]}"} &
child=$!
trap 'kill "$child" 2>/dev/null; wait "$child"; exit 130' INT TERM HUP
wait "$child"
