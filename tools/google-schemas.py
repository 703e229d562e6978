"""Writes src/rehearsal/clouddeploy/google.json: the shapes of Cloud Build's and Cloud Deploy's resources, from Google's own
API definitions (the discovery documents inside the PyPI package named below). Only names, types, enums and references are
kept. Run by `make google-schemas`; needs Python 3 with pip.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile

PACKAGE = "google-api-python-client==2.202.0"
ROOTS = {
    "cloudbuild.v1": ["Build"],
    "clouddeploy.v1": ["DeliveryPipeline", "Target", "Automation", "DeployPolicy", "CustomTargetType"],
}


def shape(node):
    if "$ref" in node:
        kept = {"ref": node["$ref"]}
    elif node.get("type") == "array":
        kept = {"items": shape(node["items"])}
    elif "additionalProperties" in node:
        kept = {"values": shape(node["additionalProperties"])}
    elif node.get("type") == "object" and "properties" in node:
        kept = {"properties": {name: shape(inner) for name, inner in sorted(node["properties"].items())}}
    else:
        kept = {"type": node.get("type", "any")}
        if node.get("format", "").startswith("google-"):
            kept["format"] = node["format"]
        if "enum" in node:
            kept["enum"] = node["enum"]
    if node.get("readOnly") or node.get("description", "").startswith("Output only"):
        kept["output"] = True
    return kept


def references(kept):
    if isinstance(kept, dict):
        if isinstance(kept.get("ref"), str):
            yield kept["ref"]
        for inner in kept.values():
            yield from references(inner)


def main(out):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE], check=True)
        wheel = zipfile.ZipFile(next(pathlib.Path(folder).glob("*.whl")))
        result = {"package": PACKAGE}
        for api, roots in ROOTS.items():
            document = json.loads(wheel.read(f"googleapiclient/discovery_cache/documents/{api}.json"))
            schemas, open_names = {}, list(roots)
            while open_names:
                name = open_names.pop()
                if name not in schemas:
                    schemas[name] = shape(document["schemas"][name])
                    open_names.extend(references(schemas[name]))
            result[api] = {"revision": document["revision"], "schemas": dict(sorted(schemas.items()))}
    pathlib.Path(out).write_text(json.dumps(result) + "\n")


main(sys.argv[1])
