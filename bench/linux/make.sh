#!/usr/bin/env bash
# Makes the Linux guest that Causeway is measured beside: Debian's cloud kernel as it is, and an initial RAM disk with the modules
# of the network card and one static program (bench/linux/src). Installs nothing but cpio; the kernel is only unpacked.
set -u -o pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=$ROOT/build
# shellcheck source=scripts/setup.sh
. "$ROOT/scripts/setup.sh"

case ${1-} in
    --help | -h | '')
        echo "usage: bench/linux/make.sh DIR: puts vmlinuz, initramfs.cpio and what they were made of into DIR"
        exit 0 ;;
esac
mkdir -p "$1" && out=$(cd "$1" && pwd) || die "cannot make $1"

need_rust
need cpio cpio
need dpkg-deb dpkg
need apt-get apt

# ---- the kernel: kept once it is there ----------------------------------------------------------
if [ ! -s "$out/vmlinuz" ]; then
    package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9].*-cloud-amd64\)$/\1/p' | head -n 1)
    if [ -z "$package" ]; then
        say "==> asking which kernel is the newest"
        apt-get update -qq >"$BUILD/install.log" 2>&1
        package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9].*-cloud-amd64\)$/\1/p' | head -n 1)
    fi
    [ -n "$package" ] || die "no Debian cloud kernel can be had here (the package linux-image-cloud-amd64)"
    say "==> downloading $package"
    rm -rf "$out/unpacked" "$out"/*.deb
    # As root and not as _apt, who may not write here.
    (cd "$out" && { apt-get download -qq -o APT::Sandbox::User=root "$package" \
        || { apt-get update -qq && apt-get download -qq -o APT::Sandbox::User=root "$package"; }; }) >"$BUILD/install.log" 2>&1 \
        || die "could not download $package; the reason is in $BUILD/install.log"
    dpkg-deb -x "$out"/*.deb "$out/unpacked" || die "$package can't be unpacked"
    dpkg-deb -f "$out"/*.deb Package Version | sed 's/^[A-Za-z]*: //' | paste -sd ' ' >"$out/version"
    rm -f "$out"/*.deb
    cp "$out"/unpacked/boot/vmlinuz-* "$out/vmlinuz" || die "$package has no kernel"
fi

# ---- the program: static, as there is nothing else ----------------------------------------------
(cd "$ROOT" && RUSTFLAGS='-C target-feature=+crt-static -C relocation-model=static' \
    cargo build --locked --release -q --target x86_64-unknown-linux-gnu --target-dir "${CARGO_TARGET_DIR:-$ROOT/target}/linux-guest" -p linux-guest) \
    || die "the program of the Linux guest can't be built"
cp "${CARGO_TARGET_DIR:-$ROOT/target}/linux-guest/x86_64-unknown-linux-gnu/release/linux-guest" "$out/init" || die "no program"

# ---- the initial RAM disk -------------------------------------------------------------------------
disk=$out/disk
rm -rf "$disk" && mkdir -p "$disk/modules" || die "cannot write to $out"
cp "$out/init" "$disk/init"
strip "$disk/init" 2>/dev/null # what debuggers read only makes the guest slower to start
number=10
# In the order in which they need each other.
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover virtio_net; do
    file=$(find "$out/unpacked/lib/modules" -name "$module.ko" | head -n 1)
    [ -n "$file" ] || die "the kernel has no module $module"
    cp "$file" "$disk/modules/$number-$module.ko"
    number=$((number + 1))
done
(cd "$disk" && find . | LC_ALL=C sort | cpio -o -H newc --quiet --reproducible) >"$out/initramfs.cpio" || die "cpio failed"
rm -rf "$disk"
