"""The public streams that the benchmarks run on: where they lie, and the formats that other programs want.

DATA_DIR has a folder per stream; a stream is a gzipped CSV file with a header and its label last, or the four
files of MNIST. What is written is the same numbers for everybody: every column scaled to 0 .. 1 by the extremes
of the whole file, a nominal column one-hot, labels as 0, 1, 2 ... in sorted order.
"""
import array
import csv
import gzip
import os
import struct

FASHION = "/usr/share/datasets/fashion-mnist"  # of the Debian package dataset-fashion-mnist

# name: (file below DATA_DIR, columns that are categories)
CSV = {
    "elec2": ("elec2/stream.csv.gz", ["day"]),
    "covtype20k": ("covtype20k/stream.csv.gz", []),
    "noaa_weather": ("noaa_weather/stream.csv.gz", []),
    "cicids2017": ("cicids2017/pwpae_binary_28k.csv.gz", []),
    "nsl_kdd": ("nsl_kdd/train_binary.csv.gz", ["protocol_type", "service", "flag"]),
    "sea": ("synthetic_drift/sea.csv.gz", []),
    "interchanging_rbf": ("synthetic_drift/interchanging_rbf.csv.gz", []),
    "pendigits": ("pendigits/stream.csv.gz", []),
    "letter": ("letter/stream.csv.gz", []),
}
IMAGES = {"mnist": "mnist", "fashion-mnist": FASHION}
NAMES = list(CSV) + list(IMAGES)


def idx_files(data_dir, name):
    """Images and labels to learn from, then those to test with."""
    folder = os.path.join(data_dir, IMAGES[name])  # an absolute path stays what it is
    return [os.path.join(folder, f) for f in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
                                              "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")]


def files(data_dir, name):
    return idx_files(data_dir, name) if name in IMAGES else [os.path.join(data_dir, CSV[name][0])]


def present(data_dir, name):
    return all(os.path.exists(f) for f in files(data_dir, name))


def extract(source, target, rows=None):
    """An idx file as plain bytes, cut to its first rows."""
    data = gzip.open(source, "rb").read()
    kind, count = struct.unpack(">II", data[:8])
    dimensions = kind & 0xFF
    start = 4 + 4 * dimensions
    record = 1
    for i in range(1, dimensions):
        record *= struct.unpack(">I", data[4 + 4 * i:8 + 4 * i])[0]
    rows = min(rows or count, count)
    with open(target + ".part", "wb") as out:
        out.write(data[:4] + struct.pack(">I", rows) + data[8:start] + data[start:start + rows * record])
    os.replace(target + ".part", target)


class Stream:
    """Rows in memory: x is one flat array of floats in file order, y the classes."""

    def __init__(self, name, x, y, classes, width):
        self.name, self.x, self.y, self.classes, self.width = name, x, y, classes, width

    def __len__(self):
        return len(self.y)

    def row(self, i):
        return self.x[i * self.width:(i + 1) * self.width]


def read_idx(name, images, labels):
    pixels = gzip.open(images, "rb").read()[16:]
    y = list(gzip.open(labels, "rb").read()[8:])
    scale = [value / 255 for value in range(256)]
    return Stream(name, array.array("f", (scale[p] for p in pixels)), y, [str(c) for c in range(10)],
                  len(pixels) // len(y))


def read_csv(name, path, nominal):
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.reader(file))
    header, rows = rows[0], rows[1:]
    labels = [row[-1] for row in rows]
    numeric = all(label.lstrip("-").isdigit() for label in labels)
    classes = sorted(set(labels), key=int if numeric else str)
    columns = []
    for i, column in enumerate(header[:-1]):
        values = [row[i] for row in rows]
        if column in nominal:
            for category in sorted(set(values)):
                columns.append([1.0 if value == category else 0.0 for value in values])
        else:
            values = [float(value) for value in values]
            low, high = min(values), max(values)
            columns.append([(value - low) / (high - low) if high > low else 0.0 for value in values])
    width = len(columns)
    x = array.array("f", bytes(4 * width * len(rows)))
    for i, column in enumerate(columns):
        x[i::width] = array.array("f", column)
    index = {c: i for i, c in enumerate(classes)}
    return Stream(name, x, [index[label] for label in labels], classes, width)


def read(data_dir, name, test=False):
    if name in IMAGES:
        train_x, train_y, test_x, test_y = idx_files(data_dir, name)
        return read_idx(name, *((test_x, test_y) if test else (train_x, train_y)))
    path, nominal = CSV[name]
    return read_csv(name, os.path.join(data_dir, path), nominal)


def texts(stream):
    """Every distinct number's shortest text that is good to six digits; most streams repeat theirs."""
    seen = {}

    def text(value):
        known = seen.get(value)
        if known is None:
            known = seen[value] = "%.6g" % value
        return known
    return text


def _write(path, lines):
    with open(path + ".part", "w") as out:
        out.writelines(lines)
    os.replace(path + ".part", path)
    return path


def write_vw(stream, path):
    text = texts(stream)
    return _write(path, ("%d |f %s\n" % (stream.y[i] + 1, " ".join(
        "%d:%s" % (j, text(v)) for j, v in enumerate(stream.row(i)) if v)) for i in range(len(stream))))


def write_arff(stream, path):
    text = texts(stream)

    def lines():
        yield "@relation %s\n" % stream.name
        for j in range(stream.width):
            yield "@attribute x%d numeric\n" % j
        yield "@attribute label {%s}\n@data\n" % ",".join("c%s" % c for c in stream.classes)
        for i in range(len(stream)):
            yield "%s,c%s\n" % (",".join(map(text, stream.row(i))), stream.classes[stream.y[i]])
    return _write(path, lines())


def write_libsvm(stream, path, header=False, order=None):
    """Indices from 1; the header is the one that the reference code of Online Random Forests wants."""
    text = texts(stream)
    order = range(len(stream)) if order is None else order

    def lines():
        if header:
            yield "%d %d %d 1\n" % (len(order), stream.width, len(stream.classes))
        for i in order:
            pairs = ["%d:%s" % (j + 1, text(v)) for j, v in enumerate(stream.row(i)) if v]
            yield "%d %s\n" % (stream.y[i], " ".join(pairs or ["1:0"]))
    return _write(path, lines())


def write_binary(stream, path):
    """Little-endian: rows and columns as u32, then float32 by rows, then the classes as i32."""
    with open(path + ".part", "wb") as out:
        out.write(struct.pack("<II", len(stream), stream.width))
        stream.x.tofile(out)
        array.array("i", stream.y).tofile(out)
    os.replace(path + ".part", path)
    return path
