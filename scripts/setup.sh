# What both run-qemu.sh and run-tests.sh need: finding and installing tools, building the image.
# Sourced, not run. Everything that it does to the machine it says in one line first.

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 2; }

# need COMMAND PACKAGE: installs a Debian package if the command is missing.
need() {
    command -v "$1" >/dev/null 2>&1 && return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "==> installing $2 (for $1)"
        { apt-get install -y -qq "$2" || { apt-get update -qq && apt-get install -y -qq "$2"; }; } \
            >"$BUILD/install.log" 2>&1 \
            || die "could not install $2; the reason is in $BUILD/install.log"
        command -v "$1" >/dev/null 2>&1 && return 0
    fi
    die "$1 is missing. Install it by hand (Debian, Ubuntu: sudo apt-get install $2) and run this again."
}

# The toolchain that rust-toolchain.toml names, with the target of the image.
need_rust() {
    command -v cargo >/dev/null 2>&1 || [ ! -x "$HOME/.cargo/bin/cargo" ] || PATH="$HOME/.cargo/bin:$PATH"
    command -v cargo >/dev/null 2>&1 \
        || die "cargo is missing. Install Rust with rustup (https://rustup.rs) and run this again."
    need cc gcc # host programs are linked with it
    if command -v rustup >/dev/null 2>&1; then
        if ! (cd "$ROOT" && rustup target list --installed 2>/dev/null | grep -qx x86_64-unknown-none) \
            || ! (cd "$ROOT" && cargo --version >/dev/null 2>&1); then
            say "==> installing the Rust toolchain of rust-toolchain.toml"
            (cd "$ROOT" && { rustup toolchain install || rustup target add x86_64-unknown-none; }) \
                >"$BUILD/rustup.log" 2>&1 \
                || die "rustup could not install it; the reason is in $BUILD/rustup.log"
        fi
    elif [ ! -d "$(rustc --print sysroot)/lib/rustlib/x86_64-unknown-none" ]; then
        die "the Rust target x86_64-unknown-none is missing. Install Rust with rustup and run this again."
    fi
}

# Options of LLVM by which a profile is taken and used: what code does at run time decides nothing but how often it runs. Counting
# values takes a runtime in the guest, and the counter of a selection is not what adds one.
PROFILE_COUNTS='-disable-vp -pgo-instr-select=false'

# image_flags: how the programs of the image are compiled, besides what .cargo/config.toml says, as a TOML array. The compiler hears how often
# each path ran when scripts/profile.sh was last run, keeps what never did out of the way, and does not warn of what has changed since. Cargo
# does not look into a file that an option names, so that the file gets another name with other contents.
image_flags() {
    local profile
    profile=$ROOT/build/profile-$(sha256sum <"$ROOT/image/profile.profdata" | cut -c 1-16).profdata
    if [ ! -f "$profile" ]; then
        # Those of a day ago: no build under way reads one.
        find "$ROOT/build" -maxdepth 1 -name 'profile-*' -mtime +0 -delete
        cp "$ROOT/image/profile.profdata" "$profile.$$" && mv "$profile.$$" "$profile" || return 1
    fi
    printf "['-Cprofile-use=%s', '-Cllvm-args=%s']" "$profile" \
        "$PROFILE_COUNTS -no-pgo-warn-mismatch -profile-guided-section-prefix=false -enable-split-machine-functions"
}

# build_image MANIFEST ARCHIVE [FLAGS]: the kernel, init and the programs that the manifest names, then the boot archive.
build_image() {
    local manifest=$1 archive=$2 flags=${3-} packages=(-p init) program
    [ -n "$flags" ] || flags=$(image_flags) || die "image/profile.profdata cannot be copied to $ROOT/build"
    for program in $(sed -n 's/^program *= *"\([a-z0-9-]*\)".*/\1/p' "$manifest" | sort -u); do
        packages+=(-p "$program")
    done
    local target=${CARGO_TARGET_DIR:-$ROOT/target}
    local build=(cargo build --release --locked --target x86_64-unknown-none ${QUIET:+-q}
        --config "target.x86_64-unknown-none.rustflags = $flags")
    (
        cd "$ROOT" || exit 1
        # Apart, so that no feature that a program wants (an allocator, say) gets into the kernel's dependencies.
        "${build[@]}" -p kernel-stub || exit 1
        "${build[@]}" "${packages[@]}" || exit 1
        cargo run -q --locked -p image -- --manifest "$manifest" \
            --programs "$target/x86_64-unknown-none/release" --output "$archive" || exit 1
        cp "$target/x86_64-unknown-none/release/kernel-stub" "$BUILD/kernel"
    ) || die "the build failed"
}

# save_image FOLDER: copies what was built from image/manifest.toml, for ./bench.sh --image FOLDER.
save_image() {
    local programs=${CARGO_TARGET_DIR:-$ROOT/target}/x86_64-unknown-none/release program
    mkdir -p "$1/programs" && cp "$BUILD/kernel" "$BUILD/boot.cpio" "$1/" || die "cannot write to $1"
    for program in $(sed -n 's/^program *= *"\([a-z0-9-]*\)".*/\1/p' "$ROOT/image/manifest.toml" | sort -u) init; do
        cp "$programs/$program" "$1/programs/" || die "cannot write to $1"
    done
}
