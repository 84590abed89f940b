#!/bin/sh
# Runs under fakeroot, when users and owners are made: what is seen here is what the image has.
#   post-fakeroot.sh TARGET_DIR
set -eu

target=${1:?"the target directory is missing: Buildroot runs this script"}

# BusyBox and D-Bus come with the setuid bit. Nobody here may become somebody else.
find "$target" -xdev -type f -perm /6000 -exec chmod ug-s {} +

# No account has a password, not even an empty one.
open=$(awk -F: '$2 !~ /^[!*]/ { printf " %s", $1 }' "$target/etc/shadow")
if [ -n "$open" ]; then
	echo "post-fakeroot.sh: these accounts can log in by a password, or without one:$open" >&2
	exit 1
fi
