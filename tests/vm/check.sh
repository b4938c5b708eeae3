#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# make check-vm: the built programs on real VFIO, IOMMUFD and KVM, in a machine that QEMU emulates. Needs no root, no /dev/kvm and no
# device: it has an IOMMU and QEMU's `edu` device, which reads and writes memory by DMA and raises interrupts.
#
#   make check-vm                   on the distribution's kernel; on the one with IOMMUFD, too, if that has been built once
#   make check-vm KERNEL=build      builds that one first, from Debian's linux-source
#   make check-vm RUNS=vfio         only those runs whose name has this in it
#   make check-vm ARCH=aarch64      on the kernel of another architecture, with programs that are built for it first: see arch/
#   make check-vm SCRIPT='integration/rescue.py CPR_TEST_ONLY=a_kill'    one script with such an environment, instead of the runs
#
# Packages and kernels are kept in CPR_VM_CACHE, ~/.cache/libcpr-vm if that isn't set; logs in check-vm.log.d of the build folder.
# Exit code 77 and a line that begins with SKIP: the machine lacks what that line names.
set -u -o pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${CPR_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/libcpr-vm}
arch=${ARCH:-x86_64}

[ -e "$here/arch/$arch.sh" ] || { echo "check-vm: ARCH is '$arch', not one of:" $(cd "$here/arch" && ls | sed 's/\.sh$//'); exit 1; }
. "$here/packages.sh"
. "$here/initramfs.sh"
. "$here/arch/$arch.sh"

log=$top_builddir/check-vm.log.d
export PATH=$tools/links:$tools/usr/bin:$tools/usr/sbin:$tools/bin:$tools/sbin:$PATH:/usr/sbin:/sbin

boot() # KERNEL INITRAMFS SECONDS SERIAL-OUTPUT WORDS
{
  # no_timer_check: whether a timer ticks in a given time says nothing on a busy machine.
  timeout --kill-after=10 "$3" nice -n 5 "${qemu[@]}" -nodefaults -no-user-config -display none -no-reboot \
    -accel "tcg,thread=$threads" "${machine[@]}" -smp "$cpus" -m 2048 -device edu,addr=4,dma_mask=0xffffffffff "${more_devices[@]}" \
    -kernel "$1" -initrd "$2" -serial "file:$4.console" -chardev "file,id=output,path=$4" "${second_serial[@]}" \
    -append "$kernel_words loglevel=5 panic=-1 no_timer_check $more_words PYTHON=$python cpr.run=$5" </dev/null >"$4.qemu" 2>&1
}

# For a machine that boots anew by itself: a disk with what it boots, and pieces of its memory that its kernels leave alone.
add_disk() # KERNEL INITRAMFS
{
  rm -rf "$work/disk" "$work/disk.img"
  mkdir -p "$work/disk/boot"
  cp "$1" "$work/disk/boot/vmlinuz"
  ln "$2" "$work/disk/boot/initrd.img"
  mke2fs -q -t ext4 -d "$work/disk" "$work/disk.img" 512M >"$log/disk" 2>&1 || return
  rm -r "$work/disk"
  more_devices=(-drive "file=$work/disk.img,format=raw,if=none,id=disk" -device nvme,drive=disk,serial=disk)
  more_words='memmap=128M!512M memmap=64M!768M memmap=64M!896M'
}

# The lines of tests/integration/minivmm.py in automake's words.
report() # NAME OUTPUT
{
  tr -d '\r' <"$2" | sed -E "s/^ok: /PASS: $1: /; s/^FAILED: /FAIL: $1: /; s/^SKIP: /SKIP: $1: /"
}

run() # NAME KERNEL MORE SCRIPT SECONDS ENVIRONMENT…
{
  local name=$1 kernel=$2 more=$3 script=$4 seconds=$5 words output=$log/$1 began=$SECONDS more_devices=() more_words=
  local threads=multi cpus=2
  shift 5
  if [ "$more" = disk ] && ! command -v mke2fs >/dev/null; then
    echo "SKIP: $name: mke2fs is missing"
    return
  elif [ "$more" = disk ] && ! add_disk "$kernel" "$work/initramfs-${kernel##*/}"; then
    echo "FAIL: $name: no disk could be made: $(tail -n 1 "$log/disk")"
    return
  fi
  case $more in
    single) threads=single ;;
    one)
      threads=single cpus=1 more_devices=(-cpu max,-cx16,-la57) more_words=tsc=reliable
      [[ "$*" = *CPR_TEST_APPEND=* ]] || set -- "$@" "CPR_TEST_APPEND=$guest_words"
      ;;
  esac
  words="$top_srcdir/tests/$script,top_builddir=$top_builddir,top_srcdir=$top_srcdir,CPR_TEST_ACCEL=kvm"
  [ $# -eq 0 ] || words+=$(printf ',%s' "$@")
  boot "$kernel" "$work/initramfs-${kernel##*/}" "$seconds" "$output" "$words"
  report "$name" "$output"
  if ! grep -q "^END OF .*: 0.\?$" "$output"; then
    echo "FAIL: $name: didn't end well in $((SECONDS - began)) s; the end of $output.console:"
    tail -n 20 "$output.console"
  else
    echo "PASS: $name: the whole run, $((SECONDS - began)) s"
  fi
}

prepare() # KERNEL
{
  local version
  version=${1##*/vmlinuz-}
  [ -d "$root/lib/modules/$version" ] || version=
  make_initramfs "$work/initramfs-${1##*/}" "$version"
}

main()
{
  local name kernel more script seconds environment
  mkdir -p "$cache" "$log"
  [ -n "${PYTHON3-}" ] || lack 'python3 is missing'
  get_packages
  build || { echo "FAIL: the build for $arch"; exit 1; }
  if ! find_own_kernel && [ "${KERNEL-}" = build ]; then
    build_kernel && find_own_kernel || { echo 'FAIL: the kernel'; exit 1; }
  fi

  [ -z "${SCRIPT-}" ] || runs="by-hand | stock | | ${SCRIPT%% *} | 900 | ${SCRIPT#"${SCRIPT%% *}"}"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  prepare "$stock_kernel"
  [ -z "$own_kernel" ] || prepare "$own_kernel"
  while IFS='|' read -r name kernel more script seconds environment; do
    name=${name// /} kernel=${kernel// /}
    [[ -n "$name" && "$name" = *"${RUNS-}"* ]] || continue
    [[ -n "${RUNS-}" || "$name" != $only_named ]] || continue
    case $kernel in
      stock) kernel=$stock_kernel ;;
      own) kernel=$own_kernel ;;
    esac
    if [ -z "$kernel" ]; then
      echo "SKIP: $name: no kernel for it has been built: make check-vm KERNEL=build"
    else
      run "$name" "$kernel" "${more// /}" "${script// /}" "${seconds// /}" $environment
    fi
  done <<<"$runs" | tee "$log/results"
  summarize
}

# As automake does it.
summarize()
{
  local word
  for word in PASS FAIL SKIP; do
    echo "# $word: $(grep -c "^$word:" "$log/results")"
  done
  grep -qE '^(PASS|SKIP):' "$log/results" && ! grep -q '^FAIL:' "$log/results"
}

main
