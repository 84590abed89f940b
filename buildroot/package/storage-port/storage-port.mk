################################################################################
#
# storage-port
#
################################################################################

# A commit of the repository. The script release-source makes the archive, which
# has the crates below VENDOR, and writes version and hash.
STORAGE_PORT_VERSION = 9b1024453ca8248846a1aee669ed404625d20ff1
STORAGE_PORT_SOURCE = storage-port-$(STORAGE_PORT_VERSION)-vendored.tar.gz
STORAGE_PORT_SITE = $(call qstrip,$(BR2_PACKAGE_STORAGE_PORT_SITE))
STORAGE_PORT_LICENSE = MIT or Apache-2.0
STORAGE_PORT_LICENSE_FILES = LICENSE LICENSE-MIT LICENSE-APACHE

STORAGE_PORT_OVERLAY = $(BR2_EXTERNAL_STORAGE_PORT_PATH)/board/storage-port/rootfs-overlay
STORAGE_PORT_PROGRAMS = storage-port
STORAGE_PORT_CRATES = appliance

ifeq ($(BR2_PACKAGE_STORAGE_PORT_FAILOVER),y)
STORAGE_PORT_PROGRAMS += port-failover
STORAGE_PORT_CRATES += failover
endif

# The manifest at the root is a virtual one: "cargo install" does not take it.
STORAGE_PORT_CARGO_BUILD_OPTS = \
	$(addprefix --package=,$(STORAGE_PORT_CRATES)) \
	$(addprefix --bin=,$(STORAGE_PORT_PROGRAMS))

STORAGE_PORT_BUILT = $(@D)/target/$(RUSTC_TARGET_NAME)/$(if $(BR2_ENABLE_DEBUG),debug,release)

define STORAGE_PORT_INSTALL_TARGET_CMDS
	$(foreach program,$(STORAGE_PORT_PROGRAMS),
		$(INSTALL) -D -m 0755 $(STORAGE_PORT_BUILT)/$(program) \
			$(TARGET_DIR)/usr/bin/$(program)
	)
endef

# BusyBox's init and SysV's start s6-svscan; there is no S80 script on purpose,
# for two supervisors would both start the daemon.
define STORAGE_PORT_INSTALL_INIT_SYSV
	$(foreach program,$(STORAGE_PORT_PROGRAMS),
		mkdir -p $(TARGET_DIR)/etc/s6
		cp -dR --preserve=mode $(STORAGE_PORT_OVERLAY)/etc/s6/$(program) \
			$(TARGET_DIR)/etc/s6/
	)
endef

define STORAGE_PORT_INSTALL_INIT_SYSTEMD
	$(foreach program,$(STORAGE_PORT_PROGRAMS),
		$(INSTALL) -D -m 0644 $(STORAGE_PORT_PKGDIR)/$(program).service \
			$(TARGET_DIR)/usr/lib/systemd/system/$(program).service
	)
endef

define STORAGE_PORT_USERS
	storage-port 810 storage-port 810 * - - - Storage port
	$(if $(BR2_PACKAGE_STORAGE_PORT_FAILOVER),port-failover 811 port-failover 811 * - - storage-port Judge of a pair of storage ports)
endef

# The daemons' filter of system calls; the judge's fence and the end of clients'
# connections when the address goes.
define STORAGE_PORT_LINUX_CONFIG_FIXUPS
	$(call KCONFIG_ENABLE_OPT,CONFIG_SECCOMP)
	$(call KCONFIG_ENABLE_OPT,CONFIG_SECCOMP_FILTER)
	$(STORAGE_PORT_FAILOVER_LINUX_CONFIG_FIXUPS)
endef

ifeq ($(BR2_PACKAGE_STORAGE_PORT_FAILOVER),y)
define STORAGE_PORT_FAILOVER_LINUX_CONFIG_FIXUPS
	$(call KCONFIG_ENABLE_OPT,CONFIG_NETFILTER_ADVANCED)
	$(call KCONFIG_ENABLE_OPT,CONFIG_NETFILTER_INGRESS)
	$(call KCONFIG_ENABLE_OPT,CONFIG_NETFILTER_EGRESS)
	$(call KCONFIG_ENABLE_OPT,CONFIG_NF_TABLES_NETDEV)
	$(call KCONFIG_ENABLE_OPT,CONFIG_NFT_SOCKET)
	$(call KCONFIG_ENABLE_OPT,CONFIG_INET_DIAG)
	$(call KCONFIG_ENABLE_OPT,CONFIG_INET_DIAG_DESTROY)
	$(call KCONFIG_ENABLE_OPT,CONFIG_PACKET)
endef
endif

# What the image builder runs.
HOST_STORAGE_PORT_DEPENDENCIES = \
	host-cryptsetup \
	host-dosfstools \
	host-e2fsprogs \
	host-genimage \
	host-grub2 \
	host-mtools \
	host-rauc \
	host-squashfs \
	host-zstd

HOST_STORAGE_PORT_CARGO_BUILD_OPTS = --package=image --bin=image

define HOST_STORAGE_PORT_INSTALL_CMDS
	$(INSTALL) -D -m 0755 $(@D)/target/release/image $(HOST_DIR)/bin/storage-port-image
endef

$(eval $(cargo-package))
$(eval $(host-cargo-package))
