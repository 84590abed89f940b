# Stands in for Buildroot's Makefile: reads the packages of a BR2_EXTERNAL tree, prints what they define, and runs their
# steps of installation on programs that are no programs.
#   make -f stub.mk BR2_EXTERNAL_STORAGE_PORT_PATH=TREE OUT=DIR print-VARIABLE | install | install-systemd | install-host
# DIR/build/storage-port is the directory of the package's build; what is installed comes to DIR/target and DIR/host.

qstrip = $(strip $(subst ",,$(1)))
KCONFIG_ENABLE_OPT = echo $(1)
cargo-package =
host-cargo-package =

INSTALL = install
RUSTC_TARGET_NAME = x86_64-unknown-linux-gnu
TARGET_DIR = $(OUT)/target
HOST_DIR = $(OUT)/host
BINARIES_DIR = $(OUT)/images
BR2_PACKAGE_STORAGE_PORT_SITE = "file:///source"
BR2_PACKAGE_STORAGE_PORT_FAILOVER ?= y
STORAGE_PORT_PKGDIR = $(BR2_EXTERNAL_STORAGE_PORT_PATH)/package/storage-port/

.DELETE_ON_ERROR:
.PHONY: install install-systemd install-host kernel
all: ; @echo say what >&2; exit 1

include $(BR2_EXTERNAL_STORAGE_PORT_PATH)/external.mk

print-%: ; @: $(info $($*))

# As in Buildroot, the steps run for a stamp in the build directory, which is how they know it.
install: $(OUT)/build/storage-port/.stamp_installed
install-systemd: $(OUT)/build/storage-port/.stamp_systemd
install-host: $(OUT)/build/storage-port/.stamp_host

$(OUT)/build/storage-port/.stamp_installed:
	$(STORAGE_PORT_INSTALL_TARGET_CMDS)
	$(STORAGE_PORT_INSTALL_INIT_SYSV)

$(OUT)/build/storage-port/.stamp_systemd:
	$(STORAGE_PORT_INSTALL_INIT_SYSTEMD)

$(OUT)/build/storage-port/.stamp_host:
	$(HOST_STORAGE_PORT_INSTALL_CMDS)

kernel:
	$(STORAGE_PORT_LINUX_CONFIG_FIXUPS)
