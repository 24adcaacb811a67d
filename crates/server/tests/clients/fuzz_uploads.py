"""Uploads damaged, huge and ambiguous files: `python fuzz_uploads.py URL [COUNT] [PID]`. With the server's PID, its memory is
measured before and after. Exit code 1 if an answer is a server error or no problem document, or the memory grew."""

import base64
import collections
import io
import random
import struct
import sys
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from PIL import Image

THREADS = 8
GROWTH_MIB = 64
WARM = 200


def samples():
    """Sound files of each format, name → bytes."""
    rng = random.Random(0)
    image = Image.frombytes("RGB", (48, 40), bytes(rng.randrange(256) for _ in range(48 * 40 * 3)))
    made = {}
    for name in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"):
        file = io.BytesIO()
        image.convert("P" if name == "GIF" else "RGB").save(file, name)
        made[name.lower()] = file.getvalue()
    return made


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(width, height, rows):
    """A PNG that says it is huge; its data, a few bytes packed, unpack to `rows` rows."""
    packer = zlib.compressobj(9)
    line = b"\0" + b"\0" * ((width + 7) // 8)
    data = b"".join(packer.compress(line) for _ in range(rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def text_bomb(sound, size):
    """A sound PNG with a packed text chunk of `size` bytes."""
    text = b"Comment\0\0" + zlib.compress(b"a" * size, 9)
    return sound[:33] + chunk(b"zTXt", text) + sound[33:]


def zipped(name, data):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return file.getvalue()


def bombs(sound):
    gif = bytearray(sound["gif"])
    gif[6:10] = b"\xff\xff\xff\xff"
    bmp = bytearray(sound["bmp"])
    bmp[18:26] = struct.pack("<ii", 0x7FFFFFFF, -0x7FFFFFFF)
    tiff = sound["tiff"].replace(struct.pack("<HHIHH", 256, 4, 1, 48, 0), struct.pack("<HHII", 256, 4, 1, 0x7FFFFFF0))
    return [png_bomb(50_000, 50_000, 2_000), png_bomb(0x7FFFFFFF, 0x7FFFFFFF, 0), png_bomb(0, 0, 0),
            text_bomb(sound["png"], 30_000_000), bytes(gif), bytes(bmp), tiff]


def polyglots(sound):
    html = b"<!doctype html><script>alert(1)</script>"
    svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><image href='file:///etc/passwd'/></svg>"
    entity = b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><svg>&b;</svg>"
    return [sound["png"] + html, sound["gif"] + zipped("a.html", html), sound["jpeg"] + b"%PDF-1.7" + html,
            b"GIF89a/*" + html + b"*/=1;", html, svg, entity, zipped("image.png", sound["png"]), b"BM" + html, b"", b"\0" * 1000]


def damaged(rng, sound):
    """One file with bytes cut off, flipped, repeated or exchanged with those of another format."""
    data = bytearray(rng.choice(list(sound.values())))
    kind = rng.randrange(5)
    if kind == 0:
        return bytes(data[: rng.randrange(len(data))])
    if kind == 1:
        for _ in range(rng.randrange(1, 30)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 2:
        at = rng.randrange(len(data))
        data[at:at] = data[: rng.randrange(2000)] * rng.randrange(1, 5)
    elif kind == 3:
        other = rng.choice(list(sound.values()))
        data = data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]
    else:
        at = rng.randrange(min(80, len(data) - 8))
        data[at : at + 4] = struct.pack("<I", rng.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]))
    return bytes(data)


def request(rng, data, model):
    """A path, and a body or a form that carries the file."""
    kind = rng.choice(["png", "jpeg", "gif", "webp", "svg+xml", "../x", "png\"; x"])
    uri = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    bodies = [
        ("/v1/search", {"query": [{"image": uri}], "top": 3}),
        ("/v1/search", {"query": [{"text": "red"}, {"image": uri, "weight": -0.5}], "top": 3}),
        ("/v1/embeddings", {"model": model, "input": [uri], "modality": "image"}),
        ("/v1/caption", {"image": uri}),
        ("/knn-service", {"image": base64.b64encode(data).decode(), "modality": "image", "num_images": 2}),
    ]
    if rng.randrange(3):
        path, body = rng.choice(bodies)
        return path, {"json": body}
    if rng.randrange(4) == 0:
        # The form itself is damaged.
        return "/v1/search", {"data": data, "headers": {"Content-Type": "multipart/form-data; boundary=" + rng.choice(["x", "GIF89a", '"'])}}
    file = {"image": (rng.choice(["a.png", "../a.png", "", "a\0.gif"]), data, rng.choice([f"image/{kind}", "text/html", "", None]))}
    forms = [("/v1/search", {"text": "red", "weight": "-0.5", "top": "3"}), ("/v1/search", {}), ("/v1/caption", {"n": "1"})]
    path, fields = rng.choice(forms)
    return path, {"files": file, "data": fields}


def resident_mib(pid):
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def fuzz(url, count, pid=None):
    """Sends `count` files; returns how often each status came, and what is wrong."""
    sound, model = samples(), requests.get(url + "/v1/models", timeout=10).json()["data"][0]["id"]
    special = bombs(sound) + polyglots(sound)
    statuses, wrong = collections.Counter(), []

    def send(number):
        rng = random.Random(number)
        data = special[number % len(special)] if number % 3 == 0 else damaged(rng, sound)
        path, body = request(rng, data, model)
        answer = requests.post(url + path, timeout=60, **body)
        statuses[answer.status_code] += 1
        if answer.status_code == 503 and answer.headers.get("Retry-After"):
            return
        is_problem = answer.headers.get("Content-Type", "").startswith("application/problem+json")
        if answer.status_code not in (501, 409) and answer.status_code >= 500 or answer.status_code >= 400 and not is_problem:
            wrong.append(f"{number}: {path} answered {answer.status_code} {answer.text[:200]}")

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(send, range(WARM)))
        before = resident_mib(pid) if pid else 0
        list(pool.map(send, range(WARM, max(count, WARM))))
    after = resident_mib(pid) if pid else 0
    if after - before > GROWTH_MIB:
        wrong.append(f"memory grew from {before:.0f} to {after:.0f} MiB")
    if requests.get(url + "/health", timeout=10).status_code != 200:
        wrong.append("the server is not healthy any more")
    return statuses, wrong, (before, after)


if __name__ == "__main__":
    address = sys.argv[1].rstrip("/")
    counts, faults, memory = fuzz(address, int((sys.argv[2:] or [10_000])[0]), (sys.argv[3:] or [None])[0])
    print(dict(counts), "resident MiB before and after: %.0f, %.0f" % memory)
    print("\n".join(faults[:50]))
    sys.exit(bool(faults))
