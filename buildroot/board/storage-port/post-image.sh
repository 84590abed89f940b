#!/bin/sh
# Runs when the root file system's archive and the kernel are made: has the image builder make the disk image of them.
#   post-image.sh BINARIES_DIR
# Buildroot sets HOST_DIR, and SOURCE_DATE_EPOCH for reproducible builds.
set -eu

images=${1:?"the directory of the images is missing: Buildroot runs this script"}

# The tools it runs (genimage, mksquashfs, veritysetup, ...) are Buildroot's own, not the machine's.
PATH="$HOST_DIR/bin:$HOST_DIR/sbin:$PATH"
export PATH

exec storage-port-image build \
	--rootfs "$images/rootfs.tar" \
	--kernel "$images/bzImage" \
	--grub-modules "$images/grub" \
	--out "$images/storage-port"
