# SPDX-License-Identifier: LGPL-2.1-or-later
# For check.sh: a machine of the AArch64 architecture with KVM (EL2), a GICv3 and its ITS; and the programs for it, from a cross
# compiler. Compiler, libraries and Python are Debian's packages, unpacked in folders of their own.
# shellcheck shell=bash disable=SC2034,SC2154

# See x86_64.sh.
runs='
arm-kvm             | stock | | vm/arm-kvm.py               | 100 |
arm-unit            | stock | | vm/unit.py                  | 900 |
arm-exec-ticks      | stock | | integration/many-updates.py | 300 | CPR_TEST_UPDATES=20 CPR_TEST_RAM=64M CPR_TEST_ONLY=two_tickers
arm-exec-memory     | stock | | integration/many-updates.py | 300 | CPR_TEST_UPDATES=20 CPR_TEST_RAM=64M CPR_TEST_ONLY=with_two_vcpus
arm-transfer-ticks  | stock | | integration/transfer.py     | 300 | CPR_TEST_UPDATES=20 CPR_TEST_ONLY=the_ticker
arm-transfer-memory | stock | | integration/transfer.py     | 300 | CPR_TEST_UPDATES=10 CPR_TEST_ONLY=memory_stays
arm-rollback        | stock | | integration/rollback.py     | 300 | CPR_TEST_ONLY=failing_at
arm-rescue          | stock | | integration/rescue.py       | 300 | CPR_TEST_ONLY=a_kill CPR_TEST_DEADLINE=20000
arm-rehearsal       | stock | | integration/rehearsal.py    | 200 | CPR_TEST_ONLY=every_part
arm-soft            | stock | | integration/many-updates.py | 300 | CPR_TEST_UPDATES=4 CPR_TEST_RAM=64M CPR_TEST_ONLY=tick CPR_TEST_ACCEL=soft
'
# What needs no KVM is nearly all the same as elsewhere.
only_named=arm-soft

tools=$cache/aarch64/tools
root=$cache/aarch64/root
host_programs=(qemu-system-aarch64 qemu-aarch64 aarch64-linux-gnu-gcc cpio kmod)
host_packages=(qemu-system-arm qemu-user gcc-aarch64-linux-gnu cpio kmod)
unneeded=(-name 'qemu-*' ! -name 'qemu-system-*' ! -name qemu-aarch64)
guest_packages=(libglib2.0-dev libxxhash-dev check busybox-static dash python3 python3-xxhash)
# As if there were a system of that architecture with nothing installed in it.
guest_cache=$cache/aarch64
guest_apt_options=(-o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::status=/dev/null)
kernel_package=linux-image-cloud-arm64
kernel_config=
kernel_modules='vfio-pci vfio_iommu_type1'

programs=(examples/minivmm/minivmm tests/vmm/minivmm tests/vmm/minivmm-next tests/vmm/minivmm-later tests/vmm/minivmm-wrong
          tools/cpr-inspect/cpr-inspect ${UNIT_TESTS-})

# pauth-impdef: the other way takes most of the time of a kernel that signs its return addresses.
emulator=qemu-system-aarch64
machine=(-machine virt,virtualization=on,gic-version=3,its=on -cpu max,pauth-impdef=on)
second_serial=(-device pci-serial,chardev=output)
kernel_words='console=ttyAMA0 OUTPUT=ttyS0'

# The programs are built in a tree of their own; from here on that is the build tree.
top_builddir=$top_builddir/check-vm.aarch64

build()
{
  local began=$SECONDS
  mkdir -p "$top_builddir"
  echo "export PATH='$tools/usr/bin':\$PATH LD_LIBRARY_PATH='$tools_libraries'" >"$top_builddir/environment"
  (
    unset MAKEFLAGS
    cd "$top_builddir" && . ./environment && configure && make -s -j "$(nproc)" "${programs[@]}"
  ) >"$log/build" 2>&1 || { tail -n 20 "$log/build"; return 1; }
  echo "built for $arch in $((SECONDS - began)) s"
}

configure()
{
  local folder=$root/usr/lib/aarch64-linux-gnu
  unset PKG_CONFIG_PATH
  [ ! -e Makefile ] || [ "$(cat sysroot)" != "$root" ] || return 0
  "$top_srcdir/configure" -q --host=aarch64-linux-gnu --enable-werror CFLAGS='-g -O2' CC="aarch64-linux-gnu-gcc --sysroot=$root" \
    PKG_CONFIG=pkg-config PKG_CONFIG_SYSROOT_DIR="$root" PKG_CONFIG_LIBDIR="$folder/pkgconfig:$root/usr/share/pkgconfig" &&
    echo "$root" >sysroot
}

# What stands in there comes to the same path without this in front.
sysroot=$root
shell=$root/bin/dash
more_files=("$root/lib/aarch64-linux-gnu/libgcc_s.so.1") # a thread that is cancelled loads it
find_busybox() { echo "$root/bin/busybox"; }

# Programs of that architecture, on this machine.
emulate() # PROGRAM ARGUMENT…
{
  env "LD_LIBRARY_PATH=$tools_libraries" qemu-aarch64 -U LD_LIBRARY_PATH -L "$root" "$@"
}

# It keeps the modules compiled, as no package does.
python() { emulate "$root/usr/bin/python3" -I "$@"; }

libraries_of() # FILE…
{
  local file
  for file in "$@"; do
    emulate "$root/lib/ld-linux-aarch64.so.1" --library-path "$root/lib/aarch64-linux-gnu:$root/usr/lib/aarch64-linux-gnu" --list "$file"
  done 2>/dev/null | sed -n 's/.*=> \(\/[^ :]*\) (0x.*/\1/p' | sort -u
}
