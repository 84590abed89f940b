include $(sort $(wildcard $(BR2_EXTERNAL_STORAGE_PORT_PATH)/package/*/*.mk))
