# SPDX-License-Identifier: LGPL-2.1-or-later
# For check.sh: an initramfs with the built library, minivmm, the tests and a Python to run them, all at the same paths as on
# this machine, so that nothing in there knows that it is elsewhere.
# shellcheck shell=bash disable=SC2154

copy() # FILE…: to its own path, as what it is and not as a link
{
  local file target
  for file in "$@"; do
    target=$tree/${file#"$sysroot"}
    [ -e "$target" ] && continue
    mkdir -p "${target%/*}"
    cp -pL "$file" "$target"
  done
}

# The interpreter, and of its modules those that the tests import; compiled ones, too, or each test would compile them anew.
copy_python()
{
  local modules files
  modules=$(sed -nE 's/^(import|from) ([a-z_]+).*/\2/p' "$top_srcdir"/tests/*/*.py | sort -u)
  files=$(python - $modules <<'END'
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
  python=$(tail -n 1 <<<"$files")
  copy $(libraries_of "$python" $(grep '\.so$' <<<"$files"))
  python=${python#"$sysroot"}
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
  cp -L "$(find_busybox)" "$tree/bin/busybox"
  cp "$here/init" "$tree/init"
  for program in "${programs[@]}"; do
    [ -e "$top_builddir/$program" ] || continue
    copy "$top_builddir/$program"
    copy $(libraries_of "$top_builddir/$program")
  done
  cp -L "$shell" "$tree/bin/sh"
  copy $(libraries_of "$shell") "${more_files[@]}"
  copy "$top_srcdir"/{tests/{integration,vm}/*.py,include/libcpr/*.h,tests/golden/v1/*}
  copy_python
  if [ -e "$tree/$top_builddir/tests/vm/linux-guest" ]; then
    mkdir "$tree/boot"
    cp "$stock_kernel" "$tree/boot" # for a guest of the guest
  fi
  [ -z "$2" ] || copy_modules "$2"
  (cd "$tree" && find . | cpio -o -H newc -R 0:0 --quiet) >"$1"
  rm -rf "$tree"
}
