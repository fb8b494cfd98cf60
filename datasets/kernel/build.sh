#!/bin/sh
# Builds what the kernel lab boots, into the folder DIR: a User Mode Linux kernel
# with kmemleak, our modules and the first process.
#
#	datasets/kernel/build.sh DIR
#
# The kernel is Debian's linux-source-6.1. It is built once; a second call builds
# the modules and the first process only, seconds. JOBS is the number of
# processes of make (default: one for each core).
set -eu

dir=${1:?usage: build.sh DIR}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
src=$dir/linux-source-6.1
tarball=/usr/src/linux-source-6.1.tar.xz
jobs=${JOBS:-$(nproc)}

# Nothing of this machine goes into the kernel, and so into its logs.
export KBUILD_BUILD_USER=leakformer KBUILD_BUILD_HOST=kernel-lab LC_ALL=C

umake() { make -s -C "$src" ARCH=um -j"$jobs" "$@"; }

# The kernel depends on the source package and the configuration.
stamp="$(dpkg-query -W -f '${Version}' linux-source-6.1) $(cksum <"$here/config")"

build_kernel() {
	rm -rf "$src" "$dir/stamp"
	# Drivers that are not built are left out but for their Kconfig files:
	# half a gigabyte instead of one and a half.
	tar -C "$dir" -xJf "$tarball" \
		--exclude='*/drivers/gpu/*.[ch]' --exclude='*/drivers/net/*/*.[ch]' \
		--exclude='*/drivers/media/*.[ch]' --exclude='*/drivers/staging/*.[ch]' \
		--exclude='*/drivers/infiniband/*.[ch]' --exclude='*/drivers/scsi/*.[ch]' \
		--exclude='*/sound/*/*.[ch]' --exclude='*/Documentation/*.rst' \
		--exclude='*/Documentation/*.yaml' --exclude='*/tools/testing/*' \
		--exclude='*.dts' --exclude='*.dtsi'
	umake defconfig
	(cd "$src" && xargs scripts/config) <"$here/config"
	umake olddefconfig
	for option in DEBUG_KMEMLEAK=y FRAME_POINTER=y UML_TIME_TRAVEL_SUPPORT=y MODULES=y NET=y; do
		grep -qx "CONFIG_$option" "$src/.config" ||
			{ echo "build.sh: this kernel source does not give CONFIG_$option" >&2; exit 1; }
	done
	umake linux modules
	strip -o "$dir/linux" "$src/linux"
	echo "$stamp" >"$dir/stamp"
}

[ -f "$tarball" ] || { echo "build.sh: $tarball is missing: install the package linux-source-6.1" >&2; exit 1; }
if [ "$(cat "$dir/stamp" 2>/dev/null)" != "$stamp" ]; then
	echo "building the kernel in $dir ..." >&2
	build_kernel
fi

build_rest() {
	rm -rf "$dir/modules"
	cp -r "$here/modules" "$dir/modules"
	umake M="$dir/modules" modules
	gcc -O2 -Wall -static -o "$dir/init" "$here/init/init.c"
}
build_rest
