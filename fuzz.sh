#!/usr/bin/env bash
# Fuzzes what reads bytes of somebody else. docs/fuzzing.md lists the targets and what each of them checks.
set -u -o pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BUILD=$ROOT/build
FUZZ=$ROOT/ipc-proto/fuzz
# What runs find: inputs with new coverage, and crashes.
FOUND=$BUILD/fuzz/corpus
CRASHES=$BUILD/fuzz/crashes
mkdir -p "$BUILD" "$FOUND" "$CRASHES"
cd "$ROOT" || exit 2
# shellcheck source=scripts/setup.sh
. "$ROOT/scripts/setup.sh"

usage() {
    cat <<'HELP'
usage: ./fuzz.sh [TARGET] [SECONDS]

Fuzzes a target, or all of them one after the other (`all`, the default), for 60 seconds each unless told otherwise.
Shows progress and, at the end, executions, coverage (cov: edges, ft: features) and crashes. Exit status 1 if there was one.
Installs a nightly Rust toolchain if there is none, and says so; without network everything works that is installed.

  ./fuzz.sh --list                    names of the targets
  ./fuzz.sh --replay TARGET FILE      runs one input, with a backtrace if it crashes; FILE may be a folder
  ./fuzz.sh --shrink TARGET FILE      looks for a smaller input that crashes, for a minute
  ./fuzz.sh --minimise TARGET         makes ipc-proto/fuzz/corpus/TARGET anew: the smallest inputs, of the committed ones, the
                                      seeds and those found in build/fuzz/corpus, that reach every edge that all reach
  ./fuzz.sh --coverage TARGET         lines of our code that the corpus reaches, by file

What is found is kept in build/fuzz/corpus and used by the next run. FUZZ_SANITIZER=none leaves the address sanitizer out, which
makes targets of whole servers several times as fast; overflow checks and assertions stay on.
HELP
}

names() { sed -n 's|^path = "fuzz_targets/\(.*\)\.rs"$|\1|p' "$FUZZ/Cargo.toml"; }

check_name() { names | grep -qx -- "$1" || die "no target '$1'; there are: $(names | tr '\n' ' ')"; }

# Longest input, in bytes.
max_len() {
    case $1 in
        decode | roundtrip) echo 512 ;;
        handshake) echo 1024 ;;
        *) echo 4096 ;;
    esac
}

# No report of leaks: a stack's buffer for DHCP is made once in the life of a process and never freed. Freed memory is kept apart
# for less long than by default, which makes inputs with large memory three times as fast.
SANITIZER=${FUZZ_SANITIZER:-address}
case $SANITIZER in address | none) ;; *) die "FUZZ_SANITIZER is address or none, not '$SANITIZER'" ;; esac
export ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=4:allocator_release_to_os_interval_ms=-1

# libFuzzer's instrumentation and the address sanitizer are for nightly toolchains only.
need_nightly() {
    need_rust
    command -v rustup >/dev/null 2>&1 || die "rustup is missing, and fuzzing needs a nightly toolchain. Install it (https://rustup.rs)."
    if ! cargo +nightly --version >/dev/null 2>&1; then
        say "==> installing the nightly Rust toolchain (for fuzzing)"
        rustup toolchain install nightly --profile minimal >"$BUILD/rustup.log" 2>&1 \
            || die "rustup could not install it; the reason is in $BUILD/rustup.log"
    fi
    need c++ g++ # libFuzzer is built from source
}

# build FLAGS FOLDER TARGET...: the binaries, with the flags of `cargo fuzz`, which does the same otherwise. It is not used, since
# it takes minutes to install and builds one target at a time.
build() {
    local flags=$1 folder=$2 bins=() name
    shift 2
    HOST=$(rustc -vV | sed -n 's/^host: //p')
    for name in "$@"; do bins+=(--bin "$name"); done
    BIN=${CARGO_TARGET_DIR:-$ROOT/target}/$folder/$HOST/release
    # The image's profile takes long to build and serves no purpose here; assertions do.
    RUSTFLAGS="$flags --cfg fuzzing" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$ROOT/target}/$folder" \
        CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true \
        cargo +nightly build --locked --release --target "$HOST" -p fuzz --features libfuzzer "${bins[@]}" \
        >"$BUILD/fuzz-build.log" 2>&1 \
        || { tail -n 40 "$BUILD/fuzz-build.log" >&2; die "the build failed; all of it is in build/fuzz-build.log"; }
}

build_fuzzers() {
    say "==> building ${*} (the first time takes some minutes)"
    local flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4" folder=fuzz more
    if [ "$SANITIZER" = none ]; then folder=fuzz-plain; else flags+=" -Zsanitizer=$SANITIZER"; fi
    for more in inline-8bit-counters pc-table trace-compares stack-depth; do
        flags+=" -Cllvm-args=-sanitizer-coverage-$more"
    done
    build "$flags" "$folder" "$@"
}

# What libFuzzer says last in a log: executions, edges, features, corpus, executions a second.
status() {
    sed -n 's/^#\([0-9]*\)\t.*cov: \([0-9]*\) ft: \([0-9]*\) corp: \([0-9]*\).*exec\/s: \([0-9]*\).*/\1 executions, \5 a second, cov \2, ft \3, corpus \4/p' \
        "$1" | tail -n 1
}

# fuzz TARGET SECONDS: fails if it crashed.
fuzz() {
    local name=$1 seconds=$2 log=$BUILD/fuzz-$1.log began=$SECONDS pid failed=0 crash folders=("$FOUND/$1")
    mkdir -p "$FOUND/$name"
    for crash in "$FUZZ/corpus/$name" "$FUZZ/regressions/$name"; do [ -d "$crash" ] && folders+=("$crash"); done
    # `timeout` is for a fuzzer that hangs outside of an input.
    timeout -k 5 $((seconds + 120)) "$BIN/$name" "${folders[@]}" -max_total_time="$seconds" -max_len="$(max_len "$name")" \
        -len_control=0 -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$CRASHES/$name-" >"$log" 2>&1 &
    pid=$!
    trap 'kill '"$pid"' 2>/dev/null; exit 130' INT TERM
    while kill -0 "$pid" 2>/dev/null; do
        sleep 1
        [ $(((SECONDS - began) % 5)) = 0 ] && printf '    %s, %s s: %s\n' "$name" $((SECONDS - began)) "$(status "$log")"
    done
    wait "$pid" || failed=$?
    trap - INT TERM
    printf '%s: %s, %s\n' "$name" "$(status "$log")" "$([ "$failed" = 0 ] && echo 'no crash' || echo CRASHED)"
    [ "$failed" = 0 ] && return 0
    grep -m 1 -A 2 -E 'panicked at|ERROR: ' "$log" | sed 's/^/    /'
    crash=$(sed -n 's/.*Test unit written to \(.*\)$/\1/p' "$log" | tail -n 1)
    if [ -n "$crash" ]; then
        printf '    input:  %s\n    replay: ./fuzz.sh --replay %s %s\n' "${crash#"$ROOT/"}" "$name" "${crash#"$ROOT/"}"
    else
        printf '    no input was written; the log is build/fuzz-%s.log\n' "$name"
    fi
    return 1
}

replay() {
    local name=$1 path=$2
    [ -e "$path" ] || die "there is no file $path"
    build_fuzzers "$name"
    local files=("$path")
    [ -d "$path" ] && mapfile -t files < <(find "$path" -type f | sort)
    RUST_BACKTRACE=1 timeout 600 "$BIN/$name" -timeout=10 -rss_limit_mb=2048 "${files[@]}"
}

shrink() {
    local name=$1 file=$2 small=$CRASHES/$1-small
    [ -f "$file" ] || die "there is no file $file"
    build_fuzzers "$name"
    timeout 120 "$BIN/$name" -minimize_crash=1 -max_total_time=60 -timeout=10 \
        -exact_artifact_path="$small" "$file" >"$BUILD/fuzz-$name.log" 2>&1
    [ -f "$small" ] || small=$file
    echo "${small#"$ROOT/"}: $(wc -c <"$small") bytes, of $(wc -c <"$file")"
}

minimise() {
    local name=$1 new=$BUILD/fuzz/new counters=0 before folders=()
    build_fuzzers "$name"
    rm -rf "$new" "$BUILD/fuzz/seeds"
    mkdir -p "$new"
    cargo run -q --locked -p fuzz --example seeds -- "$BUILD/fuzz/seeds" || die "no seeds"
    for before in "$FUZZ/corpus/$name" "$BUILD/fuzz/seeds/$name" "$FOUND/$name"; do [ -d "$before" ] && folders+=("$before"); done
    # Edges alone: how often each is taken would keep many times as many files. The kernel's simulation takes most edges while it
    # boots, so that there only the counts tell sessions apart.
    [ "$name" = syscalls ] && counters=1
    say "==> merging $(find "${folders[@]}" -type f | wc -l) inputs"
    timeout 1800 "$BIN/$name" -set_cover_merge=1 -use_counters="$counters" -use_cmp=0 -max_len="$(max_len "$name")" -timeout=10 -rss_limit_mb=2048 \
        "$new" "${folders[@]}" >"$BUILD/fuzz-$name.log" 2>&1 || die "the merge failed; see build/fuzz-$name.log"
    mkdir -p "$FUZZ/corpus"
    rm -rf "$FUZZ/corpus/$name"
    mv "$new" "$FUZZ/corpus/$name"
    echo "ipc-proto/fuzz/corpus/$name: $(find "$FUZZ/corpus/$name" -type f | wc -l) files," \
        "$(find "$FUZZ/corpus/$name" -type f -printf '%s\n' | awk '{n += $1} END {print n + 0}') bytes"
}

coverage() {
    local name=$1 tools raw=$BUILD/fuzz/coverage
    need_nightly
    tools=$(dirname "$(rustc +nightly --print target-libdir)")/bin
    if [ ! -x "$tools/llvm-cov" ]; then
        say "==> installing llvm-tools for the nightly toolchain"
        rustup component add llvm-tools --toolchain nightly >"$BUILD/rustup.log" 2>&1 \
            || die "the component llvm-tools cannot be had here, and there is no coverage without it (see build/rustup.log)"
    fi
    say "==> building $name (the first time takes some minutes)"
    build "-Cinstrument-coverage" coverage "$name"
    rm -rf "$raw"
    mkdir -p "$raw" "$FOUND/$name"
    LLVM_PROFILE_FILE=$raw/%m.profraw timeout 600 "$BIN/$name" -runs=0 "$FUZZ/corpus/$name" "$FOUND/$name" \
        >"$BUILD/fuzz-$name.log" 2>&1 || die "an input crashes; see build/fuzz-$name.log"
    "$tools/llvm-profdata" merge -sparse "$raw"/*.profraw -o "$raw/profile" || die "llvm-profdata failed"
    # Ours only, and nothing that this target never enters.
    "$tools/llvm-cov" report "$BIN/$name" -instr-profile="$raw/profile" -ignore-filename-regex='/(\.cargo|rustc|rustlib|fuzz)/' \
        | awk 'NR > 2 && $8 + 0 > 0 && $10 != "0.00%" {printf "%-60s %6d lines %8s\n", $1, $8, $10}'
}

case ${1-} in
    --help | -h) usage; exit 0 ;;
    --list) names; exit 0 ;;
    --replay | --shrink)
        [ $# = 3 ] || die "$1 takes a target and a file (see --help)"
        check_name "$2"; need_nightly; "${1#--}" "$2" "$3"; exit ;;
    --minimise | --coverage)
        [ $# = 2 ] || die "$1 takes a target (see --help)"
        check_name "$2"; need_nightly; "${1#--}" "$2"; exit ;;
    -*) die "unknown option '$1' (see --help)" ;;
esac

[ $# -le 2 ] || die "too many arguments (see --help)"
target=${1:-all} seconds=${2:-60}
[[ $seconds =~ ^[1-9][0-9]{0,5}$ ]] || die "SECONDS must be a number from 1 to 999999, not '$seconds'"
if [ "$target" = all ]; then
    mapfile -t targets < <(names)
else
    check_name "$target"
    targets=("$target")
fi
need_nightly
build_fuzzers "${targets[@]}"
failed=0
for name in "${targets[@]}"; do
    fuzz "$name" "$seconds" || failed=$((failed + 1))
done
printf 'test result: %s. %s passed; %s failed\n' "$([ $failed = 0 ] && echo ok || echo FAILED)" $((${#targets[@]} - failed)) $failed
[ $failed = 0 ]
