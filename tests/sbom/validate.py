"""What is wrong with a CycloneDX document, by other people's libraries: one line each, nothing if all is well.

validate.py FILE
"""

import json
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from license_expression import get_spdx_licensing
from packageurl import PackageURL

text = open(sys.argv[1], encoding="utf-8").read()
faults = []
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
if error is not None:
    faults.append(f"schema: {error}")
else:
    bill = json.loads(text)
    licensing = get_spdx_licensing()
    everything = [bill["metadata"]["component"], *bill["components"]]
    references = [component["bom-ref"] for component in everything]
    if len(set(references)) != len(references):
        faults.append("two components have one reference")
    for component in everything:
        name = component["name"]
        licences = component.get("licenses")
        if not licences:
            faults.append(f"{name}: no licence")
            continue
        for licence in licences:
            expression = licence.get("expression")
            if expression is None:
                continue
            # Not SPDX's, and marked as such.
            unknown = [
                key
                for key in licensing.unknown_license_keys(expression)
                if not key.startswith("LicenseRef-Debian-")
            ]
            if unknown:
                faults.append(f"{name}: SPDX has no {unknown}")
    for component in bill["components"]:
        name, version = component["name"], component["version"]
        try:
            purl = PackageURL.from_string(component["purl"])
        except ValueError as why:
            faults.append(f"{name}: {why}")
            continue
        if (purl.name, purl.version) != (name, version):
            faults.append(f"{name} {version}: another package's URL, {purl}")
    told = {dependency["ref"]: dependency.get("dependsOn", []) for dependency in bill["dependencies"]}
    if set(told) != set(references):
        faults.append("not each component says what it depends on")
    reached, waiting = set(), [bill["metadata"]["component"]["bom-ref"]]
    while waiting:
        reference = waiting.pop()
        if reference not in reached:
            reached.add(reference)
            waiting += told.get(reference, [])
    if reached != set(references):
        faults.append(f"nobody uses {sorted(set(references) - reached)}, or they are not told")

for fault in faults:
    print(" ".join(str(fault).split())[:500])
sys.exit(1 if faults else 0)
