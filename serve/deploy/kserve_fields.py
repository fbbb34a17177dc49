#!/usr/bin/env python3
"""Checks the objects of a YAML file against the classes of the Python packages `kserve` and `kubernetes`, which are generated from the schemas:
unknown fields, missing fields, types.

    python3 kserve_fields.py kserve.yaml
"""

import importlib
import re
import sys

import kubernetes.client.models
import yaml

kserve = importlib.import_module("kserve.models")
SIMPLE = {"str": str, "int": int, "bool": bool, "float": (int, float)}


def faults(value, kind, place):
    """What is wrong with a value of a type, as these packages write types: `str`, `list[V1Container]`, `dict(str, str)`."""
    if found := re.fullmatch(r"[Ll]ist\[(.+)\]", kind):
        if not isinstance(value, list):
            return [f"{place}: found {value!r}; expected a list"]
        return [fault for i, one in enumerate(value) for fault in faults(one, found[1], f"{place}[{i}]")]
    if found := re.fullmatch(r"[Dd]ict[(\[]str, (.+)[)\]]", kind):
        if not isinstance(value, dict):
            return [f"{place}: found {value!r}; expected an object"]
        return [fault for name, one in value.items() for fault in faults(one, found[1], f"{place}.{name}")]
    if kind in SIMPLE:
        right = isinstance(value, SIMPLE[kind]) and (kind == "bool" or not isinstance(value, bool))
        return [] if right else [f"{place}: found {value!r}; expected {kind}"]
    model = getattr(kserve, kind, None) or getattr(kubernetes.client.models, kind, None)
    if model is None:
        # Quantities, and numbers or texts: types that are not classes.
        return [] if isinstance(value, (str, int, float)) else [f"{place}: found {value!r}; expected {kind}"]
    if not isinstance(value, dict):
        return [f"{place}: found {value!r}; expected {kind}"]
    attributes = {name: attribute for attribute, name in model.attribute_map.items()}
    wrong = [f"{place}.{name}: {kind} has no such field" for name in value if name not in attributes]
    for name, one in value.items():
        if name in attributes:
            wrong += faults(one, model.openapi_types[attributes[name]], f"{place}.{name}")
    try:  # the classes refuse objects that lack a field
        model(**{attributes[name]: one for name, one in value.items() if name in attributes})
    except ValueError as error:
        wrong.append(f"{place}: {error}")
    return wrong


def main():
    [path] = sys.argv[1:]
    wrong = []
    with open(path, encoding="utf-8") as file:
        documents = list(yaml.safe_load_all(file))
    for document in documents:
        version = document["apiVersion"].rpartition("/")[2].capitalize()
        wrong += faults(document, version + document["kind"], document["kind"])
    for fault in wrong:
        print(fault, file=sys.stderr)
    print(f"{path}: {len(documents)} objects, {len(wrong)} faults")
    return 1 if wrong or not documents else 0


if __name__ == "__main__":
    sys.exit(main())
