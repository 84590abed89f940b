#!/bin/sh
# Runs when all packages and the overlay are in the target directory, before users and owners are made.
#   post-build.sh TARGET_DIR
# Buildroot sets BINARIES_DIR.
set -eu

board_dir=$(cd "$(dirname "$0")" && pwd)
target=${1:?"the target directory is missing: Buildroot runs this script"}

fail() {
	echo "post-build.sh: $*" >&2
	exit 1
}

# The boot scripts of the overlay and s6 start everything. What packages bring for another supervisor would start the
# same daemons a second time, and network scripts know nothing of the roles.
rm -rf "$target/etc/init.d" "$target/etc/network" "$target/etc/inetd.conf"

# GRUB's modules are for the image builder, which makes the boot loaders of them. The target needs none of its tools.
for platform in i386-pc x86_64-efi; do
	if [ -d "$target/usr/lib/grub/$platform" ]; then
		mkdir -p "$BINARIES_DIR/grub"
		rm -rf "$BINARIES_DIR/grub/$platform"
		mv "$target/usr/lib/grub/$platform" "$BINARIES_DIR/grub/$platform"
	fi
	[ -d "$BINARIES_DIR/grub/$platform" ] || fail "GRUB for $platform is missing: is BR2_TARGET_GRUB2_INSTALL_TOOLS set?"
done
rm -rf "$target/usr/lib/grub" "$target/etc/grub.d" "$target/usr/share/grub"
rm -f "$target"/usr/bin/grub-* "$target"/usr/sbin/grub-*

# What runs in the tests is the overlay in this directory; nothing may have changed it on its way.
(cd "$board_dir/rootfs-overlay" && find . -type f ! -name .empty) | while read -r file; do
	cmp -s "$board_dir/rootfs-overlay/$file" "$target/$file" ||
		fail "$file is not the overlay's: another overlay or package has replaced it"
done

for program in storage-port port-failover; do
	[ -x "$target/usr/bin/$program" ] || fail "/usr/bin/$program is missing: select BR2_PACKAGE_STORAGE_PORT"
done
