#!/usr/bin/env bash
# Builds Causeway and boots it in QEMU: a shell on this terminal, a status page for the browser.
set -u -o pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BUILD=$ROOT/build
mkdir -p "$BUILD"
# shellcheck source=scripts/setup.sh
. "$ROOT/scripts/setup.sh"

usage() {
    cat <<'HELP'
usage: ./run-qemu.sh [OPTION]... [-- QEMU-OPTION...]

Builds Causeway, boots it in QEMU, and gives you its shell. Type `help` there, `poweroff` to leave
(or press Ctrl-C). Installs what is missing (QEMU, the Rust target) and says so.

  --exec 'CMD; CMD'    run shell commands, print their output, exit with their status
  --net KIND           user (default): QEMU's own network, guest at 10.0.2.15
                       tap:IF          an existing tap interface
                       dgram:ME,PEER   frames as datagrams on two Unix sockets
                       none            no network card
  --ip ADDRESS         dhcp (default), or ADDR/LEN[,gw=ADDR][,dns=ADDR]
  --internet           let the guest open connections to the outside (--net user keeps it in otherwise)
  --http-port PORT     port of this machine for the status page (default: the first free from 8080)
  --forward H:G        also forward TCP port H of this machine (127.0.0.1) to port G of the guest;
                       may be repeated
  --hostile            boot a program besides that attacks everything it can reach, from now on
                       (with --append hostile.seconds=60: for a minute)
  --pcap FILE          write all frames to FILE
  --mem SIZE           memory, 128M or more (default 256M)
  --no-iommu           nothing between the network card and memory (on KVM there is none either)
  --smp N              processors (default 1; the kernel uses one)
  --log LEVEL          show log lines up to error, warn, info, debug or trace on the console
  --append 'ARGS'      more words for the kernel command line (NAME.key=value configures a process)
  --kernel FILE, --archive FILE
                       boot these instead of building
  --manifest FILE      build the boot archive from this manifest (default image/manifest.toml)
  --gdb                wait for gdb on build/gdb.sock before the first instruction
  --build-only         build and stop
  --dry-run            build, print the QEMU command line and stop
  --help               this text

KVM is used only where the processor really offers it; else QEMU emulates (TCG).
HELP
}

value() { [ $# -ge 2 ] || die "$1 needs a value (see --help)"; }
number() { case $2 in '' | *[!0-9]*) die "$1 needs a number, not '$2'" ;; esac; }

net=user ip=dhcp http_port='' pcap='' mem=256M smp=1 exec_commands='' has_exec='' append='' log=''
internet='' no_iommu='' gdb='' build_only='' dry_run='' kernel='' archive='' manifest=$ROOT/image/manifest.toml hostile=''
forwards=() extra=()
while [ $# -gt 0 ]; do
    case $1 in
        --exec) value "$@"; exec_commands=$2 has_exec=1; shift 2 ;;
        --net) value "$@"; net=$2; shift 2 ;;
        --ip) value "$@"; ip=$2; shift 2 ;;
        --internet) internet=1; shift ;;
        --no-iommu) no_iommu=1; shift ;;
        --http-port) value "$@"; number "$1" "$2"; http_port=$2; shift 2 ;;
        --forward)
            value "$@"
            [[ $2 =~ ^[0-9]+:[0-9]+$ ]] || die "--forward needs HOSTPORT:GUESTPORT, not '$2'"
            forwards+=("$2"); shift 2 ;;
        --hostile) hostile=1; shift ;;
        --pcap) value "$@"; pcap=$2; shift 2 ;;
        --mem) value "$@"; [[ $2 =~ ^[0-9]+[MG]$ ]] || die "--mem needs a size like 256M or 1G, not '$2'"; mem=$2; shift 2 ;;
        --smp) value "$@"; number "$1" "$2"; smp=$2; shift 2 ;;
        --log)
            value "$@"
            case $2 in error | warn | info | debug | trace) log=$2 ;; *) die "--log needs error, warn, info, debug or trace, not '$2'" ;; esac
            shift 2 ;;
        --append) value "$@"; append=$2; shift 2 ;;
        --kernel) value "$@"; kernel=$2; shift 2 ;;
        --archive) value "$@"; archive=$2; shift 2 ;;
        --manifest) value "$@"; [ -r "$2" ] || die "cannot read the manifest $2"; manifest=$(realpath "$2"); shift 2 ;;
        --gdb) gdb=1; shift ;;
        --build-only) build_only=1; shift ;;
        --dry-run) dry_run=1; shift ;;
        --help | -h) usage; exit 0 ;;
        --) shift; extra=("$@"); break ;;
        *) die "unknown option '$1' (see --help)" ;;
    esac
done

# Percent-encoding: the kernel command line is split at spaces.
encode() {
    local text=$1 out='' char i
    local LC_ALL=C
    for ((i = 0; i < ${#text}; i++)); do
        char=${text:i:1}
        case $char in
            [a-zA-Z0-9/._:,=-]) out+=$char ;;
            *) printf -v char '%%%02X' "'$char"; out+=$char ;;
        esac
    done
    printf '%s' "$out"
}

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

kvm_works() { grep -qwE 'vmx|svm' /proc/cpuinfo 2>/dev/null && [ -r /dev/kvm ] && [ -w /dev/kvm ]; }

words=()
[ "$ip" = dhcp ] || words+=("netstack.ip=$(encode "$ip")")
[ -z "$has_exec" ] || words+=("shell.exec=$(encode "$exec_commands")")
# Commands print what they print, and nothing else does.
[ -z "$has_exec" ] || [ -n "$log" ] || { log=warn; words+=(quiet); }
[ -z "$log" ] || words+=("log=$log")
[ -z "$append" ] || words+=("$append")

case $net in
    user)
        if [ -z "$http_port" ]; then
            for ((http_port = 8080; http_port < 8180; http_port++)); do port_is_free "$http_port" && break; done
            [ "$http_port" -lt 8180 ] || die "no free port between 8080 and 8179; name one with --http-port"
        elif ! port_is_free "$http_port"; then
            die "port $http_port is in use; name another with --http-port"
        fi
        netdev="user,id=n0"
        [ -n "$internet" ] || netdev+=",restrict=on"
        netdev+=",hostfwd=tcp:127.0.0.1:$http_port-:80"
        for forward in ${forwards[@]+"${forwards[@]}"}; do netdev+=",hostfwd=tcp:127.0.0.1:${forward%:*}-:${forward#*:}"; done
        words+=("shell.url=http://127.0.0.1:$http_port/")
        ;;
    tap:?*) netdev="tap,id=n0,ifname=${net#tap:},script=no,downscript=no" ;;
    dgram:?*,?*)
        paths=${net#dgram:}
        netdev="dgram,id=n0,local.type=unix,local.path=${paths%%,*},remote.type=unix,remote.path=${paths#*,}"
        ;;
    none) netdev='' ;;
    *) die "--net is user, tap:IF, dgram:ME,PEER or none, not '$net'" ;;
esac

if [ -z "$kernel" ] || [ -z "$archive" ]; then
    need_rust
    [ -n "$has_exec$dry_run" ] && QUIET=1
    [ -n "$dry_run" ] || say "==> building (the first time takes a few minutes)"
    image=$BUILD/boot.cpio
    if [ -n "$hostile" ]; then
        cat "$manifest" "$ROOT/image/hostile.toml" >"$BUILD/hostile.toml"
        manifest=$BUILD/hostile.toml image=$BUILD/hostile.cpio
    fi
    build_image "$manifest" "$image"
    kernel=${kernel:-$BUILD/kernel} archive=${archive:-$image}
fi
[ -z "$build_only" ] || { say "built $kernel and $archive"; exit 0; }

need qemu-system-x86_64 qemu-system-x86
qemu=(qemu-system-x86_64 -M q35 -m "$mem" -smp "$smp" -nodefaults -no-user-config -display none -no-reboot
    -device isa-debug-exit,iobase=0xf4,iosize=4)
card=virtio-net-pci,netdev=n0,addr=3,disable-legacy=on,romfile=
# KVM's interrupt controller and the IOMMU do not go together without further options.
if kvm_works; then qemu+=(-accel kvm -cpu host) no_iommu=1; else qemu+=(-accel tcg -cpu max); fi
[ -n "$no_iommu" ] || { qemu+=(-device intel-iommu,intremap=off); card+=,iommu_platform=on,ats=off; }
[ -z "$netdev" ] || qemu+=(-netdev "$netdev" -device "$card")
[ -z "$pcap" ] || qemu+=(-object "filter-dump,id=d0,netdev=n0,file=$pcap")
[ -z "$gdb" ] || {
    qemu+=(-S -gdb "unix:$BUILD/gdb.sock,server=on,wait=off")
    say "==> waiting for: gdb $kernel -ex 'target remote $BUILD/gdb.sock'"
}
qemu+=(-kernel "$kernel" -initrd "$archive" -append "${words[*]-}" -serial stdio)
qemu+=(${extra[@]+"${extra[@]}"})

if [ -n "$dry_run" ]; then
    printf '%q ' "${qemu[@]}"
    printf '\n'
    exit 0
fi

# The console sends every key as it is; the terminal is put back however QEMU ends.
if [ -t 0 ]; then
    saved=$(stty -g)
    trap 'stty "$saved"' EXIT
fi
# In the background, so that a signal to this script reaches QEMU at once and nothing stays behind.
"${qemu[@]}" <&0 &
child=$!
trap 'kill -TERM "$child" 2>/dev/null' INT TERM HUP
while wait "$child"; status=$?; kill -0 "$child" 2>/dev/null; do :; done
# The guest ends the machine by isa-debug-exit with 16 + its status, which QEMU reports as twice that plus one.
if [ "$status" -ge 33 ] && [ $((status % 2)) = 1 ]; then
    exit $(((status - 1) / 2 - 16))
fi
case $status in
    0) [ -z "$has_exec" ] && exit 0; say "error: the machine ended before the commands did"; exit 125 ;;
    130 | 143) exit "$status" ;; # Ctrl-C, kill
    *) say "error: QEMU ended with status $status"; exit 125 ;;
esac
