"""Small files as instruments write them, made byte by byte where no library writes them."""

import struct

import numpy as np

DM_TYPES = {
    "float32": (2, 6),
    "int16": (1, 2),
    "uint16": (10, 4),
    "int32": (7, 3),
    "uint8": (6, 10),
}
DM_RGB = 23


def dm(path, images, version=4):
    """Write DM3 or DM4: images are (array, title, pixel size, unit)."""
    big = ">q" if version == 4 else ">i"

    def group(entries):
        return b"\0\0" + struct.pack(big, len(entries)) + b"".join(entries)

    def named(kind, name, body):
        head = struct.pack(">bH", kind, len(name)) + name.encode()
        if version == 4:
            head += struct.pack(">q", len(body))
        if kind == 20 and version == 4:  # the size stands inside the group
            head = head[:-8]
            body = body[:2] + struct.pack(">q", len(body)) + body[2:]
        return head + body

    def data(name, info, body):
        listed = b"".join(struct.pack(big, n) for n in info)
        return named(21, name, b"%%%%" + struct.pack(big, len(info)) + listed + body)

    def text(name, value):
        return data(name, (20, 4, len(value)), value.encode("utf-16-le"))

    def number(name, value):
        return data(name, (5,), struct.pack("<I", value))

    def real(name, value):
        return data(name, (6,), struct.pack("<f", value))

    def tags(name, entries):
        return named(20, name, group(entries))

    listed = []
    for array, title, size, unit in images:
        axis = [real("Origin", 0), real("Scale", size), text("Units", unit)]
        if array.dtype.names:
            kind, info = DM_RGB, (20, 5, array.size)
        else:
            kind, code = DM_TYPES[array.dtype.name]
            info = (20, code, array.size)
        calibration = tags(
            "Calibrations",
            [
                tags("Brightness", [real("Origin", 0), real("Scale", 1), text("Units", "")]),
                tags("Dimension", [tags("", axis) for _ in array.shape]),
            ],
        )
        content = [
            calibration,
            data("Data", info, array.tobytes()),
            number("DataType", kind),
            tags("Dimensions", [number("", n) for n in array.shape[::-1]]),
            number("PixelDepth", array.dtype.itemsize),
        ]
        about = tags("ImageTags", [tags("DataBar", [text("Device Name", "camera")])])
        listed.append(tags("", [tags("ImageData", content), about, text("Name", title)]))
    root = group([tags("ImageList", listed)])
    size = struct.pack(big, len(root))
    path.write_bytes(struct.pack(">i", version) + size + struct.pack(">i", 1) + root + b"\0" * 8)
    return path


def ser(path, array, size_m):
    """Write the images (N, H, W) float32 of a TIA series."""
    count, rows, columns = array.shape
    head = struct.pack("<HHHIIII", 0x4949, 0x0197, 0x0210, 0x4122, 0x4152, count, count)
    dimension = struct.pack("<Idd", count, 0.0, 1.0) + struct.pack("<III", 0, 0, 0)
    places = len(head) + 8 + len(dimension)
    head += struct.pack("<II", places, 1) + dimension
    element = 50 + 4 * rows * columns
    offsets = [places + 8 * count + n * (element + 8) for n in range(count)]
    tags = [o + element for o in offsets]
    body = struct.pack(f"<{2 * count}I", *offsets, *tags)
    for image in array:
        body += struct.pack("<ddI", 0.0, size_m, 0) * 2
        body += struct.pack("<HII", 7, columns, rows) + image[::-1].astype("<f4").tobytes()
        body += struct.pack("<HHI", 0x4152, 0, 0)
    path.write_bytes(head + body)
    return path


def gwy(path, fields):
    """Write Gwyddion's format: fields are (array, title, width in m, unit of z)."""

    def component(name, kind, value):
        return name.encode() + b"\0" + kind.encode() + value

    def thing(name, parts):
        body = b"".join(parts)
        return name.encode() + b"\0" + struct.pack("<I", len(body)) + body

    def unit(axis, text):
        body = [component("unitstr", "s", text.encode() + b"\0")]
        return component(f"si_unit_{axis}", "o", thing("GwySIUnit", body))

    parts = []
    for n, (array, title, width, z_unit) in enumerate(fields):
        rows, columns = array.shape
        values = struct.pack("<I", array.size) + array.astype("<f8").tobytes()
        field = [
            component("xres", "i", struct.pack("<i", columns)),
            component("yres", "i", struct.pack("<i", rows)),
            component("xreal", "d", struct.pack("<d", width)),
            component("yreal", "d", struct.pack("<d", width * rows / columns)),
            unit("xy", "m"),
            unit("z", z_unit),
            component("data", "D", values),
        ]
        parts += [
            component(f"/{n}/data/visible", "b", b"\1"),  # what Gwyddion itself writes between
            component(f"/{n}/data", "o", thing("GwyDataField", field)),
            component(f"/{n}/data/title", "s", title.encode() + b"\0"),
        ]
    path.write_bytes(b"GWYP" + thing("GwyContainer", parts))
    return path


def ibw(path, array, labels, step_m):
    """Write (channels, H, W) float32 as Asylum's Igor wave; rows from the bottom up."""
    layers = array[:, ::-1].transpose(0, 1, 2)  # x fastest, then y, then channel
    values = layers.astype("<f4").tobytes()
    count, rows, columns = array.shape
    names = b"".join(t.encode().ljust(32, b"\0") for t in ["", *labels])
    wave = struct.pack("<IIIihh6sh32siI", 0, 0, 0, array.size, 2, 0, b"", 1, b"image", 0, 0)
    wave += struct.pack("<4i4d4d", columns, rows, count, 0, step_m, step_m, 1, 1, 0, 0, 0, 0)
    wave += b"\0" * 4 + b"m\0\0\0" * 2 + b"\0" * 8 + struct.pack("<hhdd", 0, 0, 0.0, 0.0)
    wave += b"\0" * (320 - len(wave))
    sizes = (len(wave) + len(values), 0, 0, 0, 0, 0, 0, 0, 0, 0, len(names), 0, 0, 0, 0)
    head = struct.pack("<hh15i", 5, 0, *sizes)
    total = sum(struct.unpack(f"<{(len(head) + len(wave)) // 2}h", head + wave))
    head = struct.pack("<hh15i", 5, (-total + 2**15) % 2**16 - 2**15, *sizes)
    path.write_bytes(head + wave + values + names)
    return path


def wsxm(path, array, width, height, z="12.7 nm"):
    """Write TOP (int16) or STP (float64) of WSxM."""
    head = "WSxM file copyright UAM\r\nSxM Image file\r\nImage header size: {:06d}\r\n\r\n"
    head += "[Control]\r\n\r\n"
    head += f"    X Amplitude: {width}\r\n    Y Amplitude: {height}\r\n"
    head += "[General Info]\r\n"
    head += f"    Number of columns: {array.shape[1]}\r\n    Number of rows: {array.shape[0]}\r\n"
    head += f"    Z Amplitude: {z}\r\n\r\n[Header end]\r\n"
    size = len(head.format(0).encode("latin-1"))
    path.write_bytes(head.format(size).encode("latin-1") + array.tobytes())
    return path


def spm(path, layers, width_nm):
    """Write Bruker's format: layers are (int16 array, name, nm a full range)."""
    offset, blocks = 4096, []
    lines = ["\\*File list", "\\*Scanner list", "\\@Sens. Zsens: V 1 nm/V"]
    for array, name, full in layers:
        rows, columns = array.shape
        lines += [
            "\\*Ciao image list",
            f"\\Data offset: {offset}",
            f"\\Data length: {array.nbytes}",
            "\\Bytes/pixel: 2",
            f"\\Samps/line: {columns}",
            f"\\Number of lines: {rows}",
            f"\\Scan Size: {width_nm} {width_nm} nm",
            "\\Line Direction: Trace",
            f'\\@2:Image Data: S [Height] "{name}"',
            f"\\@2:Z scale: V [Sens. Zsens] (0.0001 V/LSB) {full} V",
            "\\@2:Z offset: V [Sens. Zsens] (0.0001 V/LSB) 0 V",
        ]
        offset += array.nbytes
        blocks.append(array.astype("<i2").tobytes())
    head = "\r\n".join([*lines, "\\*File list end", ""]).encode("latin-1")
    path.write_bytes(head.ljust(4096, b"\x1a") + b"".join(blocks))
    return path


def jpk(path, array, width_m, multiplier=1.0, height_m=None):
    """Write JPK's TIFF: a thumbnail, then one height channel."""
    import tifffile

    rows, columns = array.shape
    grid = [
        (32834, "d", 1, width_m, True),
        (32835, "d", 1, height_m or width_m * rows / columns, True),
        (32838, "I", 1, columns, True),
        (32839, "I", 1, rows, True),
    ]
    about = [
        (32848, "s", 0, "height", True),
        (32849, "I", 1, 0, True),
        (32896, "I", 1, 2, True),
        (32897, "s", 0, "nominal", True),
        (32912, "s", 0, "volts", True),
        (32960, "s", 0, "nominal", True),
        (32979, "s", 0, "LinearScaling", True),
        (32980, "d", 1, multiplier, True),
        (32981, "d", 1, 0.0, True),
    ]
    with tifffile.TiffWriter(path) as file:
        file.write(np.zeros((4, 4), np.uint8), extratags=grid, metadata=None)
        file.write(array, extratags=about, metadata=None)
    return path


def asd(path, frames, width_nm, height_nm, channels=("TP", ""), version=1, bits=12, skip=32):
    """Write a video of high-speed AFM: frames are (channel, N, H, W) int16 levels.

    Unipolar of 5 V; the piezo's gain is 2 and its extension 3 nm/V.
    """
    _, count, rows, columns = frames.shape
    names, size = [c.encode() for c in channels], (columns, rows, width_nm, height_nm)
    date, tail = (2020, 1, 2, 3, 4, 5), b"me\0\0" + b"note"
    if version == 0:
        head = struct.pack("<i2s2s5i4h", 0, *names, 165, skip, 4, 0, 4, *size)
        head += struct.pack("<fffIi?ih", 0.1, 3.0, 2.0, 4, bits, False, 0, 0)
        head += struct.pack("<h6Bff", *date, 0, 100.0, 100.0) + b"\0" * 12
        head += struct.pack("<iiih4sffi", count, count, 0, 0, tail[:4], 7.0, 5.0, 0) + tail[4:]
    else:
        head = struct.pack("<6i", version, 165, skip, 0, 4, 4)
        head += struct.pack("<4s4s", *(bytes(b for c in n for b in (c, 0)) for n in names))
        head += struct.pack("<8i?i", count, count, 0, 0, *size, False, 0)
        head += struct.pack("<8i3fi12xi", *date, 0, 0, 0.1, 7.0, 5.0, 0, 0)
        head += struct.pack("<Ii6f", 4, bits, 100.0, 100.0, 1.0, 1.0, 3.0, 2.0) + tail
    if version == 2:
        head += struct.pack("<iid5i2i", count, 0, 0.0, 1, 0, 1, 0, 0, 3, 4)
    body = b""
    for frame in frames.reshape(-1, rows, columns)[: count * sum(map(bool, channels))]:
        start = struct.pack("<i4h2f?bhii", 0, 0, 0, 0, 0, 0.0, 0.0, False, 0, 0, 0, 0)
        body += start[:skip].ljust(skip, b"\0") + frame.astype("<i2").tobytes()
    path.write_bytes(head + body)
    return path


def h5jpk(path, channels, width_m, height_m):
    """Write JPK's HDF5: channels are ((N, H, W) array, name, retrace, nm a level)."""
    import h5py

    with h5py.File(path, "w") as file:
        scan = file.create_group("Measurement_000")
        for number, (frames, name, retrace, nm) in enumerate(channels):
            _, rows, columns = frames.shape
            group = scan.create_group(f"Channel_{number:03d}")
            group.attrs["channel.name"] = name
            group.attrs["retrace"] = "true" if retrace else "false"
            group.attrs["net-encoder.scaling.multiplier"] = nm * 1e-9
            group.attrs["net-encoder.scaling.offset"] = 0.0
            group[name.capitalize()] = frames[:, ::-1].reshape(len(frames), -1).T
        for letter, size, count in (("u", width_m, columns), ("v", height_m, rows)):
            scan.attrs[f"position-pattern.grid.{letter}length"] = size
            scan.attrs[f"position-pattern.grid.{'ij'[letter == 'v']}length"] = count
        scan.attrs["timing-settings.scanRate"] = 2.0
    return path


def velox(path, images, size_m, unit="m"):
    """Write the EMD of Velox: images are ((H, W, N) array, name of the detector)."""
    import json

    import h5py

    def text(content, length=4000):
        raw = json.dumps(content).encode().ljust(length, b"\0")
        return np.frombuffer(raw, np.uint8)[:, None]

    with h5py.File(path, "w") as file:
        file["Version"] = np.array([json.dumps({"format": "Velox", "version": "1.11"})], "S60")
        detectors = {f"Detector-{n}": {"DetectorName": name} for n, (_, name) in enumerate(images)}
        for number, (array, _) in enumerate(images):
            group = file.create_group(f"Data/Image/{number:032x}")
            group.create_dataset("Data", data=array, chunks=(*array.shape[:2], 1))
            result = {"DetectorIndex": str(number), "PixelUnitX": unit, "PixelUnitY": unit}
            result["PixelSize"] = {"width": str(size_m), "height": str(size_m)}
            result["Offset"] = {"x": "0", "y": "0"}
            about = {
                "BinaryResult": result,
                "Detectors": detectors,
                "Scan": {"FrameTime": "0.5"},
                "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "1500000000"}},
            }
            group["Metadata"] = text(about)
    return path


def emi(path, images, size_m, mode="TEM uP SA Zoom Image"):
    """Write TIA's EMI and beside it one SER a series (N, H, W) float32."""
    info = "<ObjectInfo><AcquireInfo><CameraNamePath>c</CameraNamePath></AcquireInfo>"
    info += "<ExperimentalDescription><Root><Data><Label>Mode</Label><Value>{}</Value><Unit/>"
    info += "</Data></Root></ExperimentalDescription></ObjectInfo>"
    path.write_bytes(b"JFL\0" + b"\0".join(info.format(mode).encode() for _ in images) + b"\0")
    for number, series in enumerate(images, 1):
        ser(path.with_name(f"{path.stem}_{number}.ser"), series, size_m)
    return path
