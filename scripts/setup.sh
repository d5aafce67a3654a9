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

# build_image MANIFEST ARCHIVE: the kernel, init and the programs that the manifest names, then the boot archive.
build_image() {
    local manifest=$1 archive=$2 packages=(-p init) program
    for program in $(sed -n 's/^program *= *"\([a-z0-9-]*\)".*/\1/p' "$manifest" | sort -u); do
        packages+=(-p "$program")
    done
    local target=${CARGO_TARGET_DIR:-$ROOT/target}
    (
        cd "$ROOT" || exit 1
        # Apart, so that no feature that a program wants (an allocator, say) gets into the kernel's dependencies.
        cargo build --release --locked --target x86_64-unknown-none -p kernel-stub ${QUIET:+-q} || exit 1
        cargo build --release --locked --target x86_64-unknown-none "${packages[@]}" ${QUIET:+-q} || exit 1
        cargo run -q --locked -p image -- --manifest "$manifest" \
            --programs "$target/x86_64-unknown-none/release" --output "$archive" || exit 1
        cp "$target/x86_64-unknown-none/release/kernel-stub" "$BUILD/kernel"
    ) || die "the build failed"
}
