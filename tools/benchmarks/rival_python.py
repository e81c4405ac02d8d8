"""The rivals that have a Python interface, run by the interpreter that has them. Prints one line of JSON.

usage: rival_python.py vw CACHE OPTIONS                 one pass of Vowpal Wabbit's own driver over its binary cache
       rival_python.py vw-cache TEXT CACHE OPTIONS      writes that cache
       rival_python.py sklearn FILE LOSS BATCH          test-then-train, FILE of streams.write_binary
       rival_python.py adwin FILE                       one byte per value, 0 or 1

`rows_per_s` counts the processor time of testing and training only. For vw that includes reading its cache,
which its driver does while it learns.
"""
import json
import struct
import sys
import time


def vw(cache, options):
    import vowpalwabbit
    cpu = time.process_time()
    workspace = vowpalwabbit.Workspace(f"-d {cache}.none --cache_file {cache} --quiet {options}")
    cpu = time.process_time() - cpu
    rows = workspace.get_weighted_examples()
    result = {"rows": rows, "rows_per_s": rows / cpu, "accuracy": 1 - workspace.get_sum_loss() / rows,
              "version": vowpalwabbit.__version__}
    workspace.finish()
    return result


def vw_cache(text, cache, options):
    import vowpalwabbit
    workspace = vowpalwabbit.Workspace(f"-d {text} --cache_file {cache} --kill_cache --quiet {options}")
    rows = workspace.get_weighted_examples()
    workspace.finish()
    return {"rows": rows}


def sklearn(path, loss, batch):
    import numpy
    import sklearn
    from sklearn.linear_model import SGDClassifier
    with open(path, "rb") as file:
        rows, width = struct.unpack("<II", file.read(8))
        x = numpy.fromfile(file, "<f4", rows * width).reshape(rows, width)
        y = numpy.fromfile(file, "<i4", rows)
    classes = numpy.unique(y)
    batch = int(batch)
    model = SGDClassifier(loss=loss, random_state=1)
    right = 0
    cpu = time.process_time()
    for start in range(0, rows, batch):
        bx, by = x[start:start + batch], y[start:start + batch]
        if start:
            right += int((model.predict(bx) == by).sum())
            model.partial_fit(bx, by)
        else:
            model.partial_fit(bx, by, classes)
    cpu = time.process_time() - cpu
    return {"rows": rows, "rows_per_s": rows / cpu, "accuracy": right / rows, "version": sklearn.__version__}


def adwin(path):
    import river
    from river.drift import ADWIN
    with open(path, "rb") as file:
        values = [float(b) for b in file.read()]
    detector = ADWIN()
    update = detector.update
    alarms = 0
    cpu = time.process_time()
    for value in values:
        update(value)
        if detector.drift_detected:
            alarms += 1
    cpu = time.process_time() - cpu
    return {"rows": len(values), "ns_per_value": cpu / len(values) * 1e9, "alarms": alarms, "version": river.__version__}


print(json.dumps({"vw": vw, "vw-cache": vw_cache, "sklearn": sklearn, "adwin": adwin}[sys.argv[1]](*sys.argv[2:])))
