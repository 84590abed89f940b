"""What is wrong with the Kconfig files and the configuration of a BR2_EXTERNAL tree: one line each, nothing if all is well.

kconfig.py TREE DEFCONFIG STUB      TREE is absolute; STUB declares the symbols of Buildroot that the tree names.
"""

import os
import sys

import kconfiglib

tree, defconfig, stub = sys.argv[1:]
os.environ["BR2_EXTERNAL_STORAGE_PORT_PATH"] = tree
# Buildroot's names have no prefix.
os.environ["CONFIG_"] = ""
try:
    kconfig = kconfiglib.Kconfig(stub, warn_to_stderr=False)
except (kconfiglib.KconfigError, OSError) as error:
    sys.exit(f"Kconfig: {' '.join(str(error).split())}")

faults = list(kconfig.warnings)
# What is named in an expression and declared nowhere is silently "n". MODULES is kconfiglib's own.
for symbol in kconfig.syms.values():
    if not symbol.nodes and not symbol.is_constant and symbol.name != "MODULES":
        if symbol.name.isupper() or symbol.name.startswith("BR2_"):
            faults.append(f"Kconfig: {symbol.name} is not declared")

kconfig.warn_assign_undef = True
kconfig.warnings.clear()
kconfig.load_config(defconfig)
faults += kconfig.warnings

lines = [line.rstrip("\n") for line in open(defconfig, encoding="utf-8")]
# Buildroot reads a directory of its own into a default that depends on where the tree is, so strings are compared as
# they are in the file.
for line in lines:
    if line.startswith("# ") and line.endswith(" is not set"):
        name, wanted = line[2:-len(" is not set")], "n"
    elif "=" in line:
        name, wanted = line.split("=", 1)
        wanted = wanted.strip('"')
    else:
        faults.append(f"defconfig: neither a choice nor its absence: {line!r}")
        continue
    symbol = kconfig.syms.get(name)
    if symbol is None or not symbol.nodes:
        continue  # told above
    if symbol.str_value != wanted:
        faults.append(f"defconfig: {name} is {symbol.str_value!r} in spite of {wanted!r}: look at what it depends on")

# Equal to its own savedefconfig, but for the order, which is that of Buildroot's menus.
names = {line[2:].split(" ")[0] if line.startswith("# ") else line.split("=")[0] for line in lines}
if len(names) != len(lines):
    faults.append("defconfig: a symbol stands in it twice")
for name in sorted(names):
    symbol = kconfig.syms.get(name)
    if symbol is None or not symbol.nodes:
        continue
    chosen = symbol.str_value
    symbol.unset_value()
    if symbol.str_value == chosen:
        faults.append(f"defconfig: {name} says what is the default anyway")
    symbol.set_value(chosen)

for fault in faults:
    print(" ".join(fault.split()))
sys.exit(1 if faults else 0)
