# SPDX-License-Identifier: LGPL-2.1-or-later
# For check.sh: gets what the emulated machine is made of from Debian's packages. The system stays as it is and nobody has to
# be root: apt gets folders of its own, and packages are unpacked and not installed.
# shellcheck shell=bash disable=SC2154

lack() # WHAT: the machine can't run these tests
{
  echo "SKIP: check-vm: $1"
  echo '# SKIP: 1'
  exit 77
}

# The system's sources of packages, but lists and archives of our own.
private_apt() # COMMAND ARGUMENT…
{
  local command=$1
  shift
  mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial"
  "$command" -q -o Dir::State::lists="$cache/apt/lists" -o Dir::Cache="$cache/apt" -o Debug::NoLocking=1 \
    -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=3 -o Acquire::http::Timeout=30 "$@" </dev/null
}

# The same for the emulated machine, where that is of another architecture.
guest_apt() # COMMAND ARGUMENT…
{
  local command=$1
  shift
  mkdir -p "$guest_cache/apt/lists/partial" "$guest_cache/apt/archives/partial"
  private_apt "$command" -o Dir::State::lists="$guest_cache/apt/lists" -o Dir::Cache="$guest_cache/apt" "${guest_apt_options[@]}" "$@"
}

unpack_archives() # ARCHIVES FOLDER
{
  local package
  mkdir -p "$2"
  for package in "$1"/*.deb; do
    dpkg -x "$package" "$2"
    rm "$package"
  done
}

# Absolute links lead nowhere here.
mend_links() # FOLDER
{
  local link
  find "$1" -type l -lname '/*' | while read -r link; do
    ln -sfnr "$1$(readlink "$link")" "$link"
  done
}

find_stock_kernel()
{
  stock_kernel=$(find "$root/boot" -name 'vmlinuz-*' 2>/dev/null | sort -V | tail -n 1)
  [ -n "$stock_kernel" ]
}

have_programs()
{
  local program
  [ -z "${QEMU_SUITE-}" ] || [ -e "$tools/usr/bin/$emulator" ] || { missing="$emulator of $QEMU_SUITE"; return 1; }
  for program in "${host_programs[@]}"; do
    command -v "$program" >/dev/null || { missing=$program; return 1; }
  done
}

have_guest() { [ "$(cat "$root/packages" 2>/dev/null)" = "${guest_packages[*]}" ] && find_stock_kernel; }

# A source of apt's for another suite of the distribution.
suite_source() # SUITE
{
  local mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  mirror=$(sed -n 's|^URIs: *\([^ ]*/debian\)/* *$|\1|p; s|^deb .*\(https\{0,1\}://[^ ]*/debian\)/* .*|\1|p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1)
  [ -n "$mirror" ] && [ -e $keyring ] || return
  echo "deb [signed-by=$keyring] $mirror $1 main"
}

# The emulator, what else this machine hasn't got, and their libraries. QEMU_SUITE: the emulator of another suite.
get_programs()
{
  local suite=()
  if [ -n "${QEMU_SUITE-}" ]; then
    cat /etc/apt/sources.list >"$cache/qemu.list" 2>/dev/null || true
    suite_source "$QEMU_SUITE" >>"$cache/qemu.list" || lack "only a Debian machine knows where $QEMU_SUITE is"
    suite=(-o Dir::Etc::sourcelist="$cache/qemu.list" -o APT::Default-Release="$QEMU_SUITE")
  fi
  private_apt apt-get "${suite[@]}" update >"$log/apt" 2>&1 || true # one of the system's sources may be out of order
  private_apt apt-get "${suite[@]}" install --download-only --no-install-recommends -y "${host_packages[@]}" >>"$log/apt" 2>&1 ||
    { tail -n 5 "$log/apt"; lack "the packages ${host_packages[*]} can't be had"; }
  unpack_archives "$cache/apt/archives" "$tools"
  [ ${#unneeded[@]} -eq 0 ] || find "$tools/usr/bin" "${unneeded[@]}" -delete
  have_programs || lack "no package has $missing"
}

# What the emulated machine has from packages: the distribution's own kernel, at last, as that says that all is there.
get_guest()
{
  local image archives=$guest_cache/apt/archives
  guest_apt apt-get update >"$log/apt-guest" 2>&1 || true
  image=$(guest_apt apt-cache depends "$kernel_package" 2>>"$log/apt-guest" | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p')
  [ -n "$image" ] || lack "no package $kernel_package can be had"
  if [ ${#guest_packages[@]} -gt 0 ]; then
    guest_apt apt-get install --download-only --no-install-recommends -y "${guest_packages[@]}" >>"$log/apt-guest" 2>&1 ||
      { tail -n 5 "$log/apt-guest"; lack "the packages ${guest_packages[*]} can't be had"; }
  fi
  (cd "$archives" && guest_apt apt-get download "$image") >>"$log/apt-guest" 2>&1 || lack "the package $image can't be had"
  unpack_archives "$archives" "$root"
  [ "$root" = "$tools" ] || mend_links "$root"
  echo "${guest_packages[*]}" >"$root/packages"
  find_stock_kernel || lack "$image has no kernel in boot/"
}

get_packages()
{
  [ "$(uname -m)" = x86_64 ] || lack "the tests are for x86-64, this is $(uname -m)"
  have_programs || need_apt "$missing"
  have_guest || need_apt 'a kernel'
  if ! have_programs; then
    echo "getting ${host_packages[*]}"
    get_programs
  fi
  if ! have_guest; then
    echo "getting a kernel${guest_packages[*]:+, ${guest_packages[*]}}"
    get_guest
  fi

  # In the packages these are absolute links, which lead nowhere here.
  mkdir -p "$tools/links"
  ln -sfn "$(command -v kmod)" "$tools/links/modprobe"
  ln -sfn "$(command -v kmod)" "$tools/links/depmod"

  tools_libraries=$tools/usr/lib/x86_64-linux-gnu:$tools/lib/x86_64-linux-gnu
  qemu=("$emulator")
  if [ "$(command -v "$emulator")" = "$tools/usr/bin/$emulator" ]; then
    qemu=(env "LD_LIBRARY_PATH=$tools_libraries" "$emulator" -L "$tools/usr/share/qemu" -L "$tools/usr/share/seabios")
  fi
}

need_apt() # FOR-WHAT
{
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || lack "there is no apt to get $1 with"
}

# ---- The kernel that no package has: with IOMMUFD.

find_own_kernel()
{
  own_kernel=
  [ -n "$kernel_config" ] || return
  own_kernel=$(find "$cache/kernel" -name "vmlinuz-*-$(config_id)" 2>/dev/null | sort -V | tail -n 1)
  [ -n "$own_kernel" ]
}

# Another configuration is another kernel.
config_id() { sha256sum "$kernel_config" | cut -c 1-12; }

check_build_tools()
{
  local program
  for program in make gcc flex bison bc xz; do
    command -v $program >/dev/null || lack "to build a kernel there must be $program"
  done
  [ -e /usr/include/gelf.h ] || lack 'to build a kernel there must be libelf-dev'
}

# Of a suite that has a kernel with IOMMU_IOAS_CHANGE_PROCESS (6.14).
get_kernel_source()
{
  local name suite=${KERNEL_SUITE:-trixie-backports}
  suite_source "$suite" >"$cache/source.list" || lack 'only a Debian machine knows where the source of a kernel is'

  local apt=(-o Dir::Etc::sourcelist="$cache/source.list" -o Dir::Etc::sourceparts=/dev/null
             -o Dir::State::lists="$cache/apt/source-lists")
  mkdir -p "$cache/apt/source-lists/partial"
  private_apt apt-get "${apt[@]}" update >"$log/apt-source" 2>&1 || true
  name=$(private_apt apt-cache "${apt[@]}" pkgnames linux-source- | grep -E '^linux-source-[0-9.]+$' | sort -V | tail -n 1)
  [ -n "$name" ] || lack "$suite has no linux-source"
  (cd "$cache/apt/archives" && private_apt apt-get "${apt[@]}" download "$name") >>"$log/apt-source" 2>&1 ||
    lack "$name can't be had"
  source=$cache/source/$name
  rm -rf "$cache/source"
  unpack_archives "$cache/apt/archives" "$cache/source/package"
  tar -C "$cache/source" -xf "$cache/source/package/usr/src/$name.tar.xz"
  rm -rf "$cache/source/package"
}

configure_kernel()
{
  local line
  make -s -C "$source" O="$source-build" allnoconfig KCONFIG_ALLCONFIG="$kernel_config"
  for line in $(grep '^CONFIG_' "$kernel_config"); do
    grep -qx "$line" "$source-build/.config" || { echo "kernel.config: $line doesn't take"; return 1; }
  done
}

# About ten minutes of two processors, once.
build_kernel()
{
  local source release
  [ -n "$kernel_config" ] || lack "there is no configuration of a kernel for $arch"
  check_build_tools
  get_kernel_source
  echo "building a kernel from ${source##*/}, see $log/kernel"
  configure_kernel
  nice make -s -C "$source" O="$source-build" -j "$(nproc)" bzImage >"$log/kernel" 2>&1 ||
    { tail -n 20 "$log/kernel"; return 1; }
  release=$(cat "$source-build/include/config/kernel.release")
  mkdir -p "$cache/kernel"
  cp "$source-build/arch/x86/boot/bzImage" "$cache/kernel/vmlinuz-$release-$(config_id)"
  rm -rf "$cache/source" # two gigabytes
}
