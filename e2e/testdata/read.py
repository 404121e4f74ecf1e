"""Reads Avro files with fastavro and prints each record as one line of JSON.

Standard input: one file a line, and after a tab, if another than the writer's is to be used, a reader's schema file.
"""
import json
import sys

import fastavro

for line in sys.stdin:
    path, _, schema = line.rstrip("\n").partition("\t")
    reader_schema = fastavro.parse_schema(json.load(open(schema))) if schema else None
    with open(path, "rb") as f:
        for record in fastavro.reader(f, reader_schema):
            print(json.dumps({"file": path, "record": record}))
