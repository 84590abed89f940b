#!/bin/sh
# Runs when the root file system's archive and the kernel are made: has the image builder make the disk image of them,
# and the bill of materials.
#   post-image.sh BINARIES_DIR SOURCES [KEYRING]
# SOURCES: where the storage port's archive was unpacked. KEYRING: certificates of those who may sign updates.
# Buildroot sets CONFIG_DIR, HOST_DIR and TARGET_DIR.
set -eu

images=${1:?"the directory of the images is missing: Buildroot runs this script"}
sources=${2:?"the sources are missing: BR2_ROOTFS_POST_IMAGE_SCRIPT_ARGS must name them"}
keyring=${3:-}
out=$images/storage-port

# The tools it runs (genimage, mksquashfs, veritysetup, ...) are Buildroot's own, not the machine's.
PATH="$HOST_DIR/bin:$HOST_DIR/sbin:$PATH"
# Everything in the source archive has the time of its commit. That is the image's time, and tells which of two images
# is newer; Buildroot's own would not grow from one commit to the next.
SOURCE_DATE_EPOCH=$(stat -c %Y "$sources/Cargo.lock")
export PATH SOURCE_DATE_EPOCH

set -- --rootfs "$images/rootfs.tar" --kernel "$images/bzImage" --grub-modules "$images/grub" --out "$out"
if [ -n "$keyring" ]; then
	set -- "$@" --keyring "$keyring"
else
	echo "post-image.sh: no BR2_PACKAGE_HOST_STORAGE_PORT_KEYRING: a box with this image will take no updates" >&2
fi
storage-port-image build "$@"

# Without what the make that runs this script tells those below it.
env -u MAKEFLAGS -u MAKEOVERRIDES -u MFLAGS -u MAKELEVEL \
	make --silent --no-print-directory -C "$CONFIG_DIR" show-info >"$out/show-info.json"
exec storage-port-image sbom \
	--from "$out" \
	--binaries "$TARGET_DIR/usr/bin" \
	--sources "$sources" \
	--show-info "$out/show-info.json"
