# SPDX-License-Identifier: LGPL-2.1-or-later
# For check.sh: an initramfs with the built library, minivmm, the tests and a Python to run them, all at the same paths as on
# this machine, so that nothing in there knows that it is elsewhere.
# shellcheck shell=bash disable=SC2154

# What VFIO, KVM and DAX regions need, with what they depend on, as modules in the order of loading.
kernel_modules='vfio-pci vfio_iommu_type1 kvm_amd nd_pmem dax_pmem device_dax nd_e820'

programs=(tests/vmm/minivmm tests/vmm/minivmm-next tests/vmm/minivmm-later tests/vmm/minivmm-wrong
          tests/fault/minivmm-fault tests/fault/minivmm-fault-next tools/cpr-inspect/cpr-inspect tests/unit/test-kvm
          tests/unit/test-kvm-ioeventfd tests/unit/test-kvm-irqfd tests/unit/test-kvm-nested
          tests/unit/test-kvm-preflight tests/unit/test-kvm-registers tests/unit/test-kvm-session)

copy() # FILE…: to its own path, as what it is and not as a link
{
  local file
  for file in "$@"; do
    [ -e "$tree/$file" ] && continue
    mkdir -p "$tree/${file%/*}"
    cp -pL "$file" "$tree/$file"
  done
}

# Paths of the libraries of programs and libraries, the dynamic linker too.
libraries_of() # FILE…
{
  ldd "$@" 2>/dev/null | sed -n 's/^[^/]*\(\/[^ :]*\) (0x.*/\1/p' | sort -u
}

# The interpreter, and of its modules those that the tests import; compiled ones, too, or each test would compile them anew.
copy_python()
{
  local modules files
  modules=$(sed -nE 's/^(import|from) ([a-z_]+).*/\2/p' "$top_srcdir"/tests/*/*.py | sort -u)
  files=$("$PYTHON3" -IB - $modules <<'END'
import encodings.ascii, encodings.idna, encodings.latin_1, encodings.utf_8, importlib, os, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ImportError:
        pass  # one of the tests' own
for module in list(sys.modules.values()):
    path = getattr(module, "__file__", None)
    for path in (path, getattr(module, "__cached__", None)):
        if path and os.path.exists(path):
            print(path)
print(os.path.realpath(sys.executable))
END
  )
  copy $files
  python=$("$PYTHON3" -c 'import os, sys; print(os.path.realpath(sys.executable))')
  copy $(libraries_of "$python" $(grep '\.so$' <<<"$files"))
}

# Unpacked, and in the order of loading.
copy_modules() # VERSION
{
  local module path name
  [ -e "$root/lib/modules/$1/modules.dep" ] || depmod -b "$root" "$1"
  for module in $kernel_modules; do
    modprobe -d "$root" -S "$1" --show-depends "$module" | while read -r _ path _; do
      name=${path##*/} name=${name%%.ko*}
      [ -e "$tree/modules/$name.ko" ] && continue
      case $path in
        *.xz) xz -dc "$path" >"$tree/modules/$name.ko" ;;
        *) cp "$path" "$tree/modules/$name.ko" ;;
      esac
      echo "$name" >>"$tree/modules/order"
    done
  done
}

# Not compressed: the emulated processor is slow, and this machine's memory is not.
make_initramfs() # OUT MODULES-OF-VERSION-OR-NOTHING
{
  local tree=$work/tree program
  rm -rf "$tree"
  mkdir -p "$tree"/{bin,dev,proc,sys,tmp,run,modules}
  cp -L "$(command -v busybox)" "$tree/bin/busybox"
  cp "$here/init" "$tree/init"
  for program in "${programs[@]}"; do
    [ -e "$top_builddir/$program" ] || continue
    copy "$top_builddir/$program"
    copy $(libraries_of "$top_builddir/$program")
  done
  copy "$top_srcdir"/tests/{integration,vm}/*.py
  copy_python
  [ -z "$2" ] || copy_modules "$2"
  (cd "$tree" && find . | cpio -o -H newc -R 0:0 --quiet) >"$1"
  rm -rf "$tree"
}
